package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTopicCommands(t *testing.T) {
	s := &transcript{kafka: newKafka(t, kfake.BrokerConfigs(map[string]string{"default.replication.factor": "3"}))}
	s.run("", "topic", "list")
	s.run("", "topic", "create", "orders", "--partitions", "2", "--replicas", "3", "--config", "retention.ms=1000")
	s.run("", "topic", "create", "orders")
	s.run("", "topic", "create", "orders", "--if-not-exists")
	s.run("", "topic", "create", "wide", "--replicas", "9")
	s.run("", "topic", "create", "bad", "--partitions", "0")
	s.run("", "topic", "create", "bad", "--config", "retention.ms")
	s.run("", "topic", "create", "payments", "--partitions", "1", "--replicas", "1", "--output", "json")
	s.run("", "topic", "list")
	s.run("", "topic", "list", "--output", "json")
	s.run("", "topic", "describe", "ordes")
	s.run("", "topic", "alter", "orders")
	s.run("", "topic", "alter", "orders", "--partitions", "1")
	s.run("", "topic", "alter", "orders", "--partitions", "3", "--config", "retention.bytes=5", "--delete-config", "retention.ms")
	s.run("", "topic", "delete", "orders", "paymets")
	s.run("", "topic", "delete", "orders", "payments")
	s.run("", "topic", "delete", "orders", "--if-exists")
	golden(t, "topic", s.text.String())
}

// The leaders that kfake chooses are random, so describe is checked by what must not vary.
func TestTopicDescribe(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(2, "orders"))
	k.produce(&kgo.Record{Topic: "orders", Partition: 1, Value: []byte("x")})
	k.must("", "topic", "alter", "orders", "--config", "retention.ms=1000")
	var topics []describedTopic
	decode(t, k.must("", "topic", "describe", "orders", "--output", "json"), &topics)
	if len(topics) != 1 || len(topics[0].Partitions) != 2 || len(topics[0].ID) != 22 {
		t.Fatalf("described %+v", topics)
	}
	if p := topics[0].Partitions[1]; p.StartOffset != 0 || p.EndOffset != 1 || len(p.Replicas) != 3 || p.Leader < 0 {
		t.Errorf("partition 1 is %+v", p)
	}
	if c := topics[0].Configs; len(c) != 1 || c[0].Name != "retention.ms" || *c[0].Value != "1000" {
		t.Errorf("configs are %+v", c)
	}
	decode(t, k.must("", "topic", "describe", "orders", "--configs", "--output", "json"), &topics)
	if len(topics[0].Configs) < 5 {
		t.Errorf("--configs shows only %d configs", len(topics[0].Configs))
	}
	table := k.must("", "topic", "describe", "orders")
	if !strings.Contains(table, "PARTITION  LEADER  EPOCH") || !strings.Contains(table, "retention.ms  1000") {
		t.Errorf("table is\n%s", table)
	}
}

func TestProduceAndConsume(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(3, "lines"))
	input := "a:1\nb:2\na:3\n:4\nc:\nlast:without newline"
	var summary produceSummary
	decode(t, k.must(input, "produce", "lines", "--key-separator", ":", "--header", "from=test", "--output", "json"), &summary)
	if summary.Records != 6 || summary.Failed != 0 {
		t.Fatalf("summary %+v", summary)
	}
	got := strings.Split(strings.TrimSpace(k.must("", "consume", "lines", "--exit", "--format", `%k=%s;%h;%K;%S\n`)), "\n")
	slices.Sort(got)
	want := []string{"=4;from=test;0;1", "a=1;from=test;1;1", "a=3;from=test;1;1", "b=2;from=test;1;1", "c=;from=test;1;0", "last=without newline;from=test;4;15"}
	if !slices.Equal(got, want) {
		t.Errorf("consumed %q\nwant %q", got, want)
	}
}

func TestProduceCodecs(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(1, "lines"))
	var want strings.Builder
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for i := range 100 {
			want.WriteString(codec + " " + strconv.Itoa(i) + "\n")
		}
		lines := want.String()
		last := lines[strings.Index(lines, codec+" 0\n"):]
		k.must(last, "produce", "lines", "--compression", codec, "--partition", "0")
	}
	if got := k.must("", "consume", "lines", "--exit"); got != want.String() {
		t.Errorf("consumed %d bytes, produced %d", len(got), want.Len())
	}
}

func TestProduceMistakes(t *testing.T) {
	s := &transcript{kafka: newKafka(t, kfake.SeedTopics(1, "lines"))}
	s.run("a:1\nno separator\n", "produce", "lines", "--key-separator", ":")
	s.run("12345678901\n", "produce", "lines", "--max-record", "10")
	s.run("1234567890\n", "produce", "lines", "--max-record", "10", "--acks", "1")
	s.run("x\n", "produce", "lines", "--partition", "7", "--delivery-timeout", "2s")
	s.run("x\n", "produce", "lines", "--header", "nope")
	s.run("x\n", "produce", "lines", "--key", "a", "--key-separator", ":")
	s.run("x\n", "produce", "lines", "--compression", "brotli")
	s.run("", "produce", "lines", "/does/not/exist")
	s.run("x\n", "produce")
	golden(t, "produce-mistakes", s.text.String())
}

func TestProduceFile(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(1, "lines"))
	file := filepath.Join(t.TempDir(), "lines.txt")
	if err := os.WriteFile(file, []byte("one\r\ntwo\n\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.must("ignored", "produce", "lines", file)
	if got := k.must("", "consume", "lines", "--exit"); got != "one\ntwo\n\nthree\n" {
		t.Errorf("consumed %q", got)
	}
}

func TestConsumePositionsAndFormats(t *testing.T) {
	s := &transcript{kafka: newKafka(t, kfake.SeedTopics(2, "log"))}
	var records []*kgo.Record
	for i := range 6 {
		records = append(records, &kgo.Record{
			Topic: "log", Partition: int32(i / 4), Key: []byte("k" + strconv.Itoa(i)), Value: []byte("v" + strconv.Itoa(i)),
			Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.Itoa(i))}},
		})
	}
	records[2].Key, records[3].Value = nil, nil
	records[1].Value = []byte{0xff, 0x00}
	s.produce(records...)
	at := func(args ...string) {
		s.run("", append([]string{"consume", "log", "--partition", "0", "--exit"}, args...)...)
	}
	at("--format", `%t/%p@%o %T %k=%v [%h] %K %V%%\x21\n`)
	at("--from", "offset:2", "--format", `%o\n`)
	at("--from", "offset:99", "--format", `%o\n`)
	at("--from", "end-1", "--format", `%o\n`)
	at("--from", "end", "--format", `%o\n`)
	at("--from", "time:2023-11-14T22:13:21Z", "--format", `%o\n`)
	at("--from", "1700000003000", "--format", `%o\n`)
	at("--from", "-1h", "--format", `%o\n`)
	at("--max", "1", "--format", `%o\n`)
	at("--output", "json")
	at("--from", "yesterday")
	at("--from", "offset:x")
	at("--format", "%q")
	at("--format", `\q`)
	s.run("", "consume", "log", "--partition", "9")
	s.run("", "consume", "lgo")
	s.run("", "consume", "log", "--group", "g", "--partition", "0")
	golden(t, "consume", s.text.String())
}

func TestConsumeGroupCommitsWhatItPrinted(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(2, "log"))
	for i := range 10 {
		k.produce(&kgo.Record{Topic: "log", Partition: int32(i % 2), Value: []byte{byte('0' + i)}})
	}
	first := k.must("", "consume", "log", "--group", "g", "--max", "3", "--format", "%v")
	second := k.must("", "consume", "log", "--group", "g", "--exit", "--format", "%v")
	third := k.must("", "consume", "log", "--group", "g", "--exit", "--format", "%v")
	got := strings.Split(first+second, "")
	slices.Sort(got)
	if len(first) != 3 || strings.Join(got, "") != "0123456789" || third != "" {
		t.Errorf("three runs printed %q, %q, %q", first, second, third)
	}
}

func TestGroupCommands(t *testing.T) {
	s := &transcript{kafka: newKafka(t, kfake.SeedTopics(2, "log"))}
	for i := range 10 {
		s.produce(&kgo.Record{Topic: "log", Partition: int32(i % 2), Value: []byte("x"), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)*1000)})
	}
	s.run("", "group", "list")
	s.run("", "group", "describe", "readers")
	s.must("", "consume", "log", "--group", "readers", "--exit")
	s.run("", "group", "describe", "readers")
	s.run("", "group", "describe", "reader")
	s.run("", "group", "reset-offsets", "readers")
	s.run("", "group", "reset-offsets", "readers", "--to-earliest", "--to-latest")
	s.run("", "group", "reset-offsets", "readers", "--to-earliest")
	s.run("", "group", "reset-offsets", "readers", "--shift-by", "-2", "--topic", "log:1")
	s.run("", "group", "reset-offsets", "readers", "--to-offset", "99", "--topic", "log:0", "--output", "json")
	s.run("", "group", "reset-offsets", "readers", "--to-time", "2023-11-14T22:13:24Z", "--execute")
	s.run("", "group", "reset-offsets", "readers", "--to-latest", "--topic", "log:7")
	s.run("", "group", "reset-offsets", "new", "--to-latest", "--topic", "log", "--execute")
	s.run("", "group", "describe", "readers", "--output", "json")
	s.run("", "group", "delete", "readers", "new")
	s.run("", "group", "delete", "readers")
	text := s.text.String()
	// kfake places coordinators at random.
	golden(t, "group", coordinator.ReplaceAllString(text, "${1}N"))
}

func TestClusterStatus(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(4, "log"))
	var status clusterStatus
	decode(t, k.must("", "cluster", "status", "--nodes", "3", "--output", "json"), &status)
	leaders := 0
	for _, node := range status.Nodes {
		leaders += node.Leaders
		if node.State != "up" || node.Replicas != 4 || node.InSync != 4 {
			t.Errorf("node %+v", node)
		}
	}
	if !status.Healthy || leaders != 4 || status.Partitions != 4 || len(status.Nodes) != 3 {
		t.Errorf("status %+v", status)
	}
	stdout, _, code := k.balsa("", "cluster", "status", "--nodes", "4")
	if code != exitFailed || !strings.Contains(stdout, "UNHEALTHY") || !strings.Contains(stdout, "problem: 3 of 4 nodes are up") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

func TestClusterStatusJudges(t *testing.T) {
	status := clusterStatus{
		Controller: -1, Leaderless: 1, UnderReplicated: 2,
		Nodes: []nodeStatus{{ID: 1, State: "up"}, {ID: 2, State: "down: connection refused"}},
		Troubled: []troubledPartition{
			{Topic: "log", Partition: 0, Problem: "leaderless", Leader: -1, Replicas: []int32{1, 2}},
			{Topic: "__consumer_offsets", Partition: 0, Problem: "under-replicated", Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1}},
			{Topic: "__consumer_offsets", Partition: 1, Problem: "under-replicated", Leader: 1, Replicas: []int32{2, 1}, ISR: []int32{1}},
		},
	}
	status.judge(2)
	var text strings.Builder
	status.print(&text)
	golden(t, "cluster-unhealthy", text.String())
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
