package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

var update = flag.Bool("update", false, "rewrite the golden files with what the commands print now")

// kafka is an in-process Kafka of three brokers that the commands under test talk to.
type kafka struct {
	*testing.T
	cluster *kfake.Cluster
}

func newKafka(t *testing.T, opts ...kfake.Opt) *kafka {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &kafka{T: t, cluster: cluster}
}

// balsa runs one command line against the cluster.
func (k *kafka) balsa(input string, args ...string) (stdout, stderr string, code exitCode) {
	k.Helper()
	return balsa(k.T, input, append(args, "--brokers", strings.Join(k.cluster.ListenAddrs(), ","))...)
}

// must is balsa for a command that has to succeed.
func (k *kafka) must(input string, args ...string) string {
	k.Helper()
	stdout, stderr, code := k.balsa(input, args...)
	if code != exitOK {
		k.Fatalf("balsa %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// produce writes records at known times, which the command line cannot.
func (k *kafka) produce(records ...*kgo.Record) {
	k.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		k.Fatal(err)
	}
	defer client.Close()
	for i, record := range records {
		if record.Timestamp.IsZero() {
			record.Timestamp = time.UnixMilli(1_700_000_000_000 + int64(i)*1000)
		}
		// One by one: the batches, and so the offsets, must not depend on timing.
		if err := client.ProduceSync(k.Context(), record).FirstErr(); err != nil {
			k.Fatal(err)
		}
	}
}

func balsa(t *testing.T, input string, args ...string) (stdout, stderr string, code exitCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, args, &streams{in: strings.NewReader(input), out: &out, err: &errs})
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("balsa %s did not end", strings.Join(args, " "))
	}
	return out.String(), errs.String(), code
}

// transcript collects commands with what they print, as a person would see them.
type transcript struct {
	*kafka
	text strings.Builder
}

func (s *transcript) run(input string, args ...string) {
	s.Helper()
	stdout, stderr, code := s.balsa(input, args...)
	s.text.WriteString("$ balsa " + strings.Join(args, " ") + "\n" + stdout)
	for line := range strings.Lines(stderr) {
		s.text.WriteString("! " + line)
	}
	if code != exitOK {
		s.text.WriteString("exit code " + string('0'+rune(code)) + "\n")
	}
	s.text.WriteString("\n")
}

// coordinator is where a group lives, which kfake decides at random.
var coordinator = regexp.MustCompile(`(coordinator(?:": )? ?)\d`)

// unstable are the parts of outputs that differ from run to run.
var unstable = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`id [A-Za-z0-9_-]{22}`), "id TOPIC-ID"},
	{regexp.MustCompile(`"id": "[A-Za-z0-9_-]{22}"`), `"id": "TOPIC-ID"`},
	{regexp.MustCompile(`in \d+\.\d+ s`), "in 0.00 s"},
	{regexp.MustCompile(`"seconds": [0-9.e-]+`), `"seconds": 0`},
	{regexp.MustCompile(`balsa-cli-[0-9a-f]{32}`), "balsa-cli-MEMBER"},
	{regexp.MustCompile(`\bAQ[\w-]{28,}`), "RECEIPT"},
	{regexp.MustCompile(`"locked_until":\d+`), `"locked_until":0`},
	{regexp.MustCompile(`\d+d\d+h`), "1d1h"},
	{regexp.MustCompile(`"oldest_seconds": \d[0-9.]+`), `"oldest_seconds": 1`},
}

// golden compares text with testdata/name.golden.
func golden(t *testing.T, name, text string) {
	t.Helper()
	for _, u := range unstable {
		text = u.pattern.ReplaceAllString(text, u.with)
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with go test ./cmd/balsa -update", err)
	}
	if text != string(want) {
		t.Errorf("output differs from %s (go test ./cmd/balsa -update rewrites it), first at\n%s", file, firstDifference(text, string(want)))
	}
}

// firstDifference shows where two texts part, with the lines before.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	i := 0
	for i < len(g) && i < len(w) && g[i] == w[i] {
		i++
	}
	at := func(lines []string) string {
		return strings.Join(lines[min(i, len(lines)):min(i+5, len(lines))], "\n  ")
	}
	return "  " + strings.Join(g[max(0, i-5):i], "\n  ") + "\n got:\n  " + at(g) + "\n want:\n  " + at(w)
}
