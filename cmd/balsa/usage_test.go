package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestMistakesNameWhatWasMeant(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"topc", "list"}, `did you mean "topic"?`},
		{[]string{"topic", "lst"}, `did you mean "list"?`},
		{[]string{"topic", "create", "x", "--partition", "3"}, `did you mean "--partitions"?`},
		{[]string{"consume", "x", "--form", "start"}, `did you mean`},
		{[]string{"server", "--lisen", "x"}, `did you mean "--listen"?`},
		{[]string{"server", "--log-retention-m", "1"}, `did you mean "--log-retention-ms"?`},
		{[]string{"topic", "describe"}, "see `balsa topic describe --help`"},
		{[]string{"produce", "x", "--acks", "2"}, `--acks must be one of`},
		{[]string{"topic", "list", "--brokers", "a:b:c"}, `is not host:port`},
		{[]string{"topic", "list", "--timeout", "5"}, "--timeout"},
	} {
		stdout, stderr, code := balsa(t, "", test.args...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("balsa %s: exit code %d, stdout %q, stderr %q, want %q", strings.Join(test.args, " "), code, stdout, stderr, test.want)
		}
	}
}

func TestUnreachableBroker(t *testing.T) {
	for _, args := range [][]string{
		{"topic", "list"},
		{"produce", "x"},
		{"consume", "x"},
		{"group", "list"},
		{"cluster", "status"},
		{"cluster", "status", "--wait", "300ms"},
		{"bench", "produce"},
		{"queue", "list"},
		{"queue", "receive", "x"},
	} {
		_, stderr, code := balsa(t, "line\n", append(args, "--brokers", "127.0.0.1:1", "--timeout", "2s")...)
		if code != exitUnreachable || !strings.Contains(stderr, "127.0.0.1:1") || !strings.Contains(stderr, "hint: is a broker running there?") {
			t.Errorf("balsa %s: exit code %d, %s", strings.Join(args, " "), code, stderr)
		}
	}
}

// flagAlone is a flag on a line of its own, whose text follows on the next.
var flagAlone = regexp.MustCompile(`^(-\w, )?--[][a-z-]+(=\S+)?$`)

// Every command explains itself, and every flag has a help text.
func TestHelp(t *testing.T) {
	for _, command := range []string{
		"", "server", "topic", "topic create", "topic list", "topic describe", "topic alter", "topic delete", "produce", "consume",
		"group list", "group describe", "group reset-offsets", "group delete", "cluster status",
		"cluster add", "cluster drain", "cluster remove", "cluster rebalance", "topic reassign",
		"bench produce", "bench consume", "bench end-to-end", "version",
		"queue create", "queue list", "queue send", "queue receive", "queue ack", "queue nack", "queue extend", "queue peek",
		"queue purge", "queue stats", "queue dead-letters", "queue redrive", "queue delete",
	} {
		stdout, stderr, code := balsa(t, "", append(strings.Fields(command), "--help")...)
		if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "Usage: balsa") {
			t.Errorf("%s --help: exit code %d\n%s%s", command, code, stdout, stderr)
		}
		lines := strings.Split(stdout, "\n")
		for i, line := range lines {
			flag := strings.TrimSpace(line)
			if !flagAlone.MatchString(flag) {
				continue
			}
			if i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "          ") {
				t.Errorf("%s: %q has no help", command, flag)
			}
		}
	}
}

func TestNoArgumentsShowsHelp(t *testing.T) {
	stdout, _, code := balsa(t, "")
	if code != exitOK || !strings.Contains(stdout, "topic create") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

func TestVersion(t *testing.T) {
	stdout, _, code := balsa(t, "", "version")
	if code != exitOK || !strings.HasPrefix(stdout, "balsa ") {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	var version map[string]string
	stdout, _, _ = balsa(t, "", "version", "--output", "json")
	decode(t, stdout, &version)
	if version["version"] == "" || version["go"] == "" {
		t.Errorf("version is %v", version)
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"retention.ms", "retention.bytes", "segment.ms"}
	for word, want := range map[string]string{
		"retention.ms": "retention.ms", "retension.ms": "retention.ms", "segmnt.ms": "segment.ms", "compression": "", "": "",
	} {
		if got := nearest(word, candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestJoinNegative(t *testing.T) {
	got := strings.Join(joinNegative([]string{"consume", "t", "--from", "-1h", "--max", "1", "--shift-by", "-2", "--from"}), " ")
	if want := "consume t --from=-1h --max 1 --shift-by=-2 --from"; got != want {
		t.Errorf("joined %q, want %q", got, want)
	}
}
