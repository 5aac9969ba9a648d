#!/usr/bin/env bash
# Measures balsa's queue mode beside RabbitMQ and NATS JetStream on this machine: scripts/queue-bench.sh [FLAGS OF test/bench/queue].
# RabbitMQ is Debian's package, installed if it is missing; NATS is built from its Go module. Everything runs on loopback and is ended and
# removed afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*' >/dev/null; then
	sudo=()
	[ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
	"${sudo[@]}" apt-get update -q
	# With this run level no service is started.
	"${sudo[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends rabbitmq-server
fi
make build
BALSA_BINARY=$PWD/bin/balsa
export BALSA_BINARY
cd test/bench/queue
exec go run . "$@"
