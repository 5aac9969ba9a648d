package main

import (
	"bufio"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestQueueCommands(t *testing.T) {
	s := &transcript{kafka: newQueues(t, kfake.SeedTopics(1, "stream"))}
	s.run("", "queue", "list")
	s.run("", "queue", "stats")
	s.run("", "queue", "create", "jobs", "--partitions", "1", "--replicas", "1", "--dead-letters", "--visibility", "5m", "--max-deliveries", "3", "--ordered")
	s.run("", "queue", "create", "jobs")
	s.run("", "queue", "create", "jobs", "--if-not-exists", "--dead-letters")
	s.run("", "queue", "create", "news", "-p", "2", "-r", "1", "-g", "mail", "-g", "push", "--ttl", "7d", "--dead-letters=lost", "-o", "json")
	s.run("", "queue", "create", "stream", "--if-not-exists")
	s.run("", "queue", "create", "bad", "--dead-letters=bad")
	s.run("", "queue", "create", "bad", "--ttl", "7 days")
	s.run("", "queue", "create", "bad", "--replicas", "9")
	s.run("", "queue", "list")
	s.run("", "queue", "list", "-o", "json")
	s.run("", "queue", "send", "jobs", "-k", "a", "one", "two\nlines")
	s.run("three\n", "queue", "send", "jobs", "--header", "from=test", "--delay", "5m")
	s.run("", "queue", "send", "jobs", "--quiet", "four")
	s.run("", "queue", "send", "jobs", "-K", ":", "a:five", "six")
	s.run("", "queue", "send", "jobs", "-K", ":", "-k", "a", "x")
	s.run("", "queue", "send", "job", "x")
	s.run("", "queue", "send", "jobs", "--delay", "1d", "x")
	s.run("", "queue", "send", "jobs", "--at", "tomorrow", "x")
	s.run("", "queue", "send", "jobs", "--at", "2023-11-14T22:13:20Z", "x", "-o", "json")
	s.run("", "queue", "send", "stream", "--delay", "5m", "x")
	s.run("", "queue", "send", "stream", "--delay", "5m", "--at", "2023-11-14", "x")
	s.run("", "queue", "receive", "nwes")
	s.run("", "queue", "receive", "news")
	s.run("", "queue", "receive", "stream", "--wait", "0s")
	s.run("", "queue", "receive", "jobs", "--max", "0")
	s.run("", "queue", "receive", "jobs", "--parallel", "2")
	s.run("", "queue", "receive", "jobs", "--exec", "true", "--ack")
	s.run("", "queue", "receive", "jobs", "--format", "%z")
	s.run("", "queue", "ack", "nonsense")
	s.run("", "queue", "purge", "stream")
	s.run("", "queue", "purge", "jobs")
	s.run("", "queue", "purge", "jobs", "--execute", "-o", "json")
	s.run("", "queue", "receive", "jobs", "--wait", "0s")
	s.run("", "queue", "delete", "stream")
	s.run("", "queue", "delete", "jobs", "--dead-letters")
	s.run("", "queue", "delete", "jobs", "--if-exists")
	s.run("", "queue", "delete", "news")
	s.run("", "group", "list")
	golden(t, "queue", s.text.String())
}

func TestQueueMessages(t *testing.T) {
	s := &transcript{kafka: newQueues(t)}
	s.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	s.produce(
		&kgo.Record{Topic: "jobs", Key: []byte("a"), Value: []byte("one")},
		&kgo.Record{Topic: "jobs", Value: []byte("two\nlines"), Headers: []kgo.RecordHeader{{Key: "from", Value: []byte("test")}}},
		&kgo.Record{Topic: "jobs", Key: []byte{0xff}, Value: []byte("a long message, of which a table that only tells what there is shows the beginning")},
	)
	s.run("", "queue", "peek", "jobs")
	s.run("", "queue", "peek", "jobs", "--max", "1", "--output", "json")
	s.run("", "queue", "peek", "jobs", "--group", "nobody")
	s.run("", "queue", "receive", "jobs")
	s.run("", "queue", "receive", "jobs", "--format", `%k=%v [%h] delivery %d %r\n`)
	s.run("", "queue", "receive", "jobs", "--max", "10", "--output", "json")
	s.run("", "queue", "receive", "jobs", "--wait", "0s")
	s.run("", "queue", "stats", "jobs")
	s.run("", "queue", "stats", "--output", "json")
	golden(t, "queue-messages", s.text.String())
}

// Each command is a process of its own, so the receipt is all that connects them.
func TestQueueReceipts(t *testing.T) {
	s := &transcript{kafka: newQueues(t)}
	s.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	s.must("one\ntwo\nthree\nfour\nfive\n", "queue", "send", "jobs")
	first := receipts(s.must("", "queue", "receive", "jobs", "--max", "2"))
	s.run("", "queue", "extend", first[0], "--visibility", "10m")
	s.run("", "queue", "ack", first[0])
	s.run("", "queue", "ack", first[0], first[0], "-q")
	s.run("", "queue", "nack", first[1], "-o", "json")
	s.run("", "queue", "nack", first[1], "--delay", "1d")
	s.run("", "queue", "nack", first[1], "--delay", "1m", "--reject")
	again := s.must("", "queue", "receive", "jobs", "--max", "10", "--format", `%r %v %d\n`)
	if fields := strings.Fields(again); len(fields) != 12 || fields[1] != "two" || fields[2] != "2" || fields[11] != "1" {
		t.Fatalf("received again:\n%s", again)
	}
	s.run("", "queue", "ack", first[1])
	s.run("", "queue", "ack", first[1], receipts(again)[3], "-o", "json")
	s.run("", "queue", "nack", "--reject", receipts(again)[0])
	s.run(again, "queue", "ack", "-")
	s.run("", "queue", "receive", "jobs", "--wait", "0s")
	s.run("", "queue", "stats", "jobs")
	golden(t, "queue-receipts", s.text.String())
}

func TestQueueReceiveAcknowledges(t *testing.T) {
	k := newQueues(t)
	k.must("", "queue", "create", "jobs", "-p", "3", "-r", "1")
	k.must(strings.Join([]string{"a", "b", "c", "d", "e"}, "\n"), "queue", "send", "jobs")
	var got []string
	for len(got) < 5 {
		got = append(got, strings.Fields(k.must("", "queue", "receive", "jobs", "--max", "2", "--ack", "--format", `%v\n`))...)
	}
	if slices.Sort(got); strings.Join(got, "") != "abcde" {
		t.Errorf("received %v", got)
	}
	var stats []queueStats
	decode(t, k.must("", "queue", "stats", "jobs", "-o", "json"), &stats)
	if len(stats) != 1 || stats[0].Waiting != 0 || stats[0].OldestSeconds != -1 {
		t.Errorf("stats %+v", stats)
	}
}

// A message that nobody acknowledges is delivered again, and then its first receipt is worth nothing.
func TestQueueVisibilityEnds(t *testing.T) {
	k := newQueues(t, kfake.BrokerConfigs(map[string]string{
		"group.share.record.lock.duration.ms": "200", "share.record.lock.sweep.interval.ms": "20",
	}))
	k.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	k.must("", "queue", "send", "jobs", "one")
	first := receipts(k.must("", "queue", "receive", "jobs"))
	second := k.must("", "queue", "receive", "jobs", "--format", "%d %v")
	if second != "2 one" {
		t.Errorf("received %q", second)
	}
	_, stderr, code := k.balsa("", "queue", "ack", first[0])
	if code != exitFailed || !strings.Contains(stderr, "visibility timeout has ended") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestQueueFanOut(t *testing.T) {
	k := newQueues(t)
	k.must("", "queue", "create", "news", "-p", "2", "-r", "1", "--group", "mail", "--group", "push")
	k.must("a\nb\nc\n", "queue", "send", "news")
	for _, group := range []string{"mail", "push"} {
		var got []string
		for len(got) < 3 {
			got = append(got, strings.Fields(k.must("", "queue", "receive", "news", "-g", group, "-n", "9", "--ack", "--format", `%v\n`))...)
		}
		if slices.Sort(got); strings.Join(got, "") != "abc" {
			t.Errorf("group %s received %v", group, got)
		}
	}
}

func TestQueueExec(t *testing.T) {
	k := newQueues(t)
	k.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	k.must("", "queue", "send", "jobs", "-k", "a", "-H", "from=test", "one")
	got := k.must("", "queue", "receive", "jobs", "--max", "1", "--exec",
		`cat; echo " $MESSAGE_KEY $MESSAGE_HEADERS $MESSAGE_TOPIC/$MESSAGE_PARTITION@$MESSAGE_OFFSET $MESSAGE_GROUP $MESSAGE_DELIVERIES ${MESSAGE_RECEIPT%"${MESSAGE_RECEIPT#AQ}"}"`)
	if got != "one a from=test jobs/0@0 jobs 1 AQ\n" {
		t.Errorf("the command saw %q", got)
	}
	k.must("1\n2\n3\n4\n5\n6\n7\n8\n", "queue", "send", "jobs")
	var out lockedBuffer
	code := run(t.Context(), []string{
		"queue", "receive", "jobs", "--brokers", strings.Join(k.cluster.ListenAddrs(), ","), "--max", "11", "--parallel", "3",
		"--exec", `read n; [ $((n % 3)) -ne 0 ] || [ "$MESSAGE_DELIVERIES" -ge $((n / 3 + 1)) ]`,
	}, &streams{in: strings.NewReader(""), out: &out, err: &out})
	if code != exitOK || !strings.HasSuffix(out.String(), "handled 11 messages, 3 failed\n") || !strings.Contains(out.String(), "delivery 2: exit status 1\n") {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
	_, stderr, code := k.balsa("", "queue", "receive", "jobs", "--exec", "true", "--wait", "0s")
	if code != exitNothing || !strings.Contains(stderr, "no message came") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// An interrupt ends the receiving; the command that runs is waited for, and its message acknowledged.
func TestQueueExecIsInterrupted(t *testing.T) {
	k := newQueues(t)
	k.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	k.must("", "queue", "send", "jobs", "one", "two")
	ctx, interrupt := context.WithCancel(t.Context())
	pipe, started := io.Pipe()
	go func() {
		_, _ = bufio.NewReader(pipe).ReadString('\n')
		interrupt()
		_, _ = io.Copy(io.Discard, pipe)
	}()
	var said lockedBuffer
	code := run(ctx, []string{
		"queue", "receive", "jobs", "--brokers", strings.Join(k.cluster.ListenAddrs(), ","), "--exec", "echo started; sleep 0.3",
	}, &streams{in: strings.NewReader(""), out: started, err: &said})
	if code != exitOK || said.String() != "handled 1 message, 0 failed\n" {
		t.Errorf("exit code %d: %s", code, said.String())
	}
	if left := k.must("", "queue", "receive", "jobs", "--format", "%d %v"); left != "1 two" {
		t.Errorf("left is %q", left)
	}
}

// A command that takes longer than the visibility timeout keeps its message.
func TestQueueExecExtends(t *testing.T) {
	k := newQueues(t, kfake.BrokerConfigs(map[string]string{
		"group.share.record.lock.duration.ms": "1200", "share.record.lock.sweep.interval.ms": "20",
	}))
	k.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	k.must("", "queue", "send", "jobs", "one")
	_, stderr, code := k.balsa("", "queue", "receive", "jobs", "--max", "1", "--exec", "sleep 2.5")
	if code != exitOK || !strings.Contains(stderr, "handled 1 message, 0 failed") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// letter is a record of a dead-letter topic.
func letter(offset int, group, reason, key, value string) *kgo.Record {
	header := func(name, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: []byte(value)} }
	return &kgo.Record{
		Topic: "jobs.dead", Key: []byte(key), Value: []byte(value),
		Headers: []kgo.RecordHeader{
			header("from", "test"), header(letterTopic, "jobs"), header(letterPartition, "0"), header(letterOffset, strconv.Itoa(offset)),
			header(letterGroup, group), header(letterDeliveries, "5"), header(letterReason, reason), header(letterTime, "1700000000000"),
			header(delayHeader, "1000"),
		},
	}
}

func TestQueueDeadLetters(t *testing.T) {
	s := &transcript{kafka: newQueues(t)}
	s.run("", "queue", "dead-letters", "jobs")
	s.must("", "queue", "create", "jobs", "-p", "1", "-r", "1")
	s.run("", "queue", "dead-letters", "jobs")
	s.must("", "queue", "create", "jobs", "-p", "1", "-r", "1", "--if-not-exists", "--dead-letters")
	s.run("", "queue", "dead-letters", "jobs")
	s.run("", "queue", "redrive", "jobs")
	foreign := letter(9, "other", "rejected", "k9", "of another queue")
	foreign.Headers[1].Value = []byte("other")
	s.produce(
		letter(3, "jobs", "rejected", "k1", "one"), letter(4, "jobs", "delivery count limit reached", "k2", "two"), foreign,
		letter(5, "jobs", "expired", "k1", "three"), &kgo.Record{Topic: "jobs.dead", Value: []byte("not a letter")},
		letter(6, "jobs", "expired", "k3", "four"),
	)
	s.run("", "queue", "dead-letters", "jobs")
	s.run("", "queue", "dead-letters", "jobs", "--reason", "limit", "-o", "json")
	s.run("", "queue", "dead-letters", "jobs.dead", "--group", "other")
	s.run("", "queue", "stats", "jobs")
	s.run("", "queue", "redrive", "jobs", "--match-key", "(")
	s.run("", "queue", "redrive", "jobs", "--limit=-1")
	s.run("", "queue", "redrive", "jobs", "--match-key", "^k1$", "--plan")
	s.run("", "queue", "redrive", "jobs", "--match-key", "^k1$")
	s.run("", "queue", "receive", "jobs", "-n", "9", "--ack", "--format", `%k=%v [%h]\n`)
	s.run("", "queue", "redrive", "jobs", "--limit", "1", "--reason", "e", "-o", "json")
	s.run("", "queue", "redrive", "jobs", "--rate", "1000")
	s.run("", "queue", "receive", "jobs", "-n", "9", "--ack", "--format", `%k=%v [%h]\n`)
	s.run("", "queue", "redrive", "jobs")
	s.run("", "queue", "redrive", "jobs.dead")
	golden(t, "queue-dead-letters", s.text.String())
}

func TestPeriod(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "0": 0, "1.5h": 90 * time.Minute,
	} {
		var p period
		if err := p.UnmarshalText([]byte(text)); err != nil || p.duration() != want {
			t.Errorf("%s is %v, %v; want %v", text, p.duration(), err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-1s", "-1d", "1d-1h", "7 days", "99999999999d"} {
		var p period
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, p.duration())
		}
	}
	for d, want := range map[time.Duration]string{
		12*time.Second + 400*time.Millisecond: "12s", 90 * time.Second: "1m30s", 90 * time.Minute: "1h30m", 50 * time.Hour: "2d2h",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v is roughly %s, want %s", d, got, want)
		}
	}
}
