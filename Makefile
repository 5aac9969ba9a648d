# balsa. `make help` lists the targets.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
TOOL    := go tool -modfile=scripts/tools/go.mod
# Packages of our module with Go files in them; test/clients and test/bench have programs with modules of their own.
PACKAGES := ./...
# Not in scripts/tools/go.mod, because it brings hundreds of modules along.
GOLANGCI := v2.15.0
# How long each fuzz target runs, and how many faults each crash test causes.
FUZZTIME ?= 10s
ROUNDS   ?= 50
CRASHFLAGS ?=
KGOFLAGS ?=
EOSFLAGS ?=
QUEUEFLAGS ?=
PROGRAMFLAGS ?=
BENCH    ?= --records 1000000 --size 1024 --partitions 12

.DEFAULT_GOAL := build
.PHONY: build run test race lint golangci vuln fmt bench cluster demo fuzz clients kgo eos queue programs crash ci clean help

build: ## build bin/balsa, one static binary
	$(GOBUILD) -o bin/balsa ./cmd/balsa

run: build ## serve on localhost:9092 with the defaults, data in ./data
	./bin/balsa server

test: ## run every Go test
	go vet $(PACKAGES)
	go test $(PACKAGES)
	cd test/clients/sarama && go vet ./...
	cd test/bench/queue && go vet ./...

# Not test/e2e: what it tests are processes, built without the detector.
race: ## run the Go tests under the race detector, the long random ones with fewer seeds
	go test -race -short $$(go list $(PACKAGES) | grep -v '/test/e2e$$')

lint: ## check format, vet, staticcheck, the shell scripts; the tools are pinned in scripts/tools/go.mod
	@unformatted=$$($(TOOL) gofumpt -l $$(git ls-files -co --exclude-standard '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted, run 'make fmt':"; echo "$$unformatted"; exit 1; fi
	go vet $(PACKAGES)
	go vet -tags crash,kgo,eos,queue,programs ./test/...
	go mod tidy -diff
	$(TOOL) staticcheck -checks inherit,-ST1005 $(PACKAGES) # ST1005: errors that Kafka clients show are sentences
	go test ./test/arch
	scripts/shellcheck.sh

golangci: .bin/golangci-lint-$(GOLANGCI) ## run the second, stricter linter, see .golangci.yml
	$< run $(PACKAGES)

.bin/golangci-lint-$(GOLANGCI):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	mv .bin/golangci-lint $@

vuln: ## look for known vulnerabilities in what the binary calls (needs the network)
	$(TOOL) govulncheck ./cmd/balsa

fmt: ## format all Go files
	$(TOOL) gofumpt -w $$(git ls-files -co --exclude-standard '*.go')

bench: build ## measure three fresh nodes on this machine (BENCH="flags of balsa bench produce")
	scripts/bench.sh $(BENCH)

cluster: build ## start three nodes; stop them with scripts/cluster.sh down
	scripts/cluster.sh up

demo: build ## tell the stories of the README, of a log and of queues, and check them
	scripts/demo.sh
	scripts/queue-demo.sh

fuzz: ## run each fuzz target for FUZZTIME
	scripts/fuzz.sh $(FUZZTIME)

clients: build ## run real Kafka clients in six languages against three nodes
	test/clients/run.sh $(if $(CI),--strict --calm)

kgo: build ## run franz-go's own integration tests against three nodes (KGOFLAGS="flags of test/kgo")
	BALSA_BINARY=$(CURDIR)/bin/balsa go test -tags kgo -timeout 0 -v ./test/kgo -run TestFranzGo $(KGOFLAGS)

eos: build ## prove exactly-once processing while workers and nodes are killed (EOSFLAGS="flags of test/eos")
	BALSA_BINARY=$(CURDIR)/bin/balsa go test -tags eos -timeout 0 -v ./test/eos -run TestExactlyOnce $(EOSFLAGS)

queue: build ## prove queue mode while workers and nodes are killed (QUEUEFLAGS="flags of test/queue")
	BALSA_BINARY=$(CURDIR)/bin/balsa go test -tags queue -timeout 0 -v ./test/queue $(QUEUEFLAGS)

programs: build ## run Kafka Streams, Connect, MirrorMaker 2 and console tools on three nodes (PROGRAMFLAGS="flags of test/programs")
	BALSA_BINARY=$(CURDIR)/bin/balsa go test -tags programs -timeout 0 -v ./test/programs $(PROGRAMFLAGS)

crash: build ## kill, pause and power-fail nodes under load, ROUNDS times each
	BALSA_BINARY=$(CURDIR)/bin/balsa go test -tags crash -timeout 0 -v ./test/crash -rounds $(ROUNDS) $(CRASHFLAGS)

ci: ## everything that continuous integration runs
	.ci/run

clean: ## remove what was built; data stays
	rm -rf bin .bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
