package group

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "write what the scenarios give into their files; review the difference")

// TestScenarios runs the transcripts in testdata: lines that begin with "> " are commands, the lines below are all
// answers that a command leads to, in order. See script.commands for the commands.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newScript(t).run(string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			diff(t, string(want), got)
		})
	}
}

func diff(t *testing.T, want, got string) {
	t.Helper()
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var wl, gl string
		if i < len(w) {
			wl = w[i]
		}
		if i < len(g) {
			gl = g[i]
		}
		if wl != gl {
			t.Fatalf("line %d:\nwant %q\ngot  %q\nwhole transcript:\n%s", i+1, wl, gl, got)
		}
	}
}

// actor is a client of a scenario: it remembers what it was told, as clients do.
type actor struct {
	member     string
	generation int32
	protocol   *string
	ptype      *string
}

type script struct {
	*harness
	actors map[string]*actor
	out    strings.Builder
}

func newScript(t *testing.T) *script {
	return &script{harness: newHarness(t), actors: map[string]*actor{}}
}

func (s *script) run(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		command, ok := strings.CutPrefix(line, "> ")
		switch {
		case ok:
			fmt.Fprintln(&s.out, line)
			s.command(strings.Fields(command))
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&s.out, line)
		}
	}
	return strings.TrimRight(s.out.String(), "\n") + "\n"
}

// options are a command's key=value words; the rest are arguments.
type options struct {
	t    testing.TB
	args []string
	vals map[string]string
}

func parseOptions(t testing.TB, words []string) options {
	o := options{t: t, vals: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			o.vals[k] = v
		} else {
			o.args = append(o.args, w)
		}
	}
	return o
}

func (o options) str(key, otherwise string) string {
	if v, ok := o.vals[key]; ok {
		return v
	}
	return otherwise
}

func (o options) num(key string, otherwise int) int {
	v, ok := o.vals[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		o.t.Fatalf("%s=%s: %v", key, v, err)
	}
	return n
}

func (o options) millis(key, otherwise string) int32 {
	d, err := time.ParseDuration(o.str(key, otherwise))
	if err != nil {
		o.t.Fatal(err)
	}
	return int32(d.Milliseconds())
}

func (o options) optional(key string) *string {
	if v, ok := o.vals[key]; ok {
		return &v
	}
	return nil
}

func (o options) list(key string) []string {
	if v := o.vals[key]; v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

func (s *script) commands() map[string]func(o options) {
	return map[string]func(o options){
		"join":           s.joinCommand,
		"sync":           s.syncCommand,
		"heartbeat":      s.heartbeatCommand,
		"leave":          s.leaveCommand,
		"commit":         s.commitCommand,
		"fetch":          s.fetchCommand,
		"offset-delete":  s.offsetDeleteCommand,
		"delete-group":   s.deleteGroupCommand,
		"describe":       s.describeCommand,
		"list":           s.listCommand,
		"forget":         func(o options) { delete(s.actors, o.args[0]) },
		"advance":        func(o options) { s.advance(time.Duration(o.millisArg()) * time.Millisecond) },
		"hold":           func(options) { s.hold = true },
		"release":        func(options) { s.hold = false; s.settle() },
		"failover":       func(options) { s.failover() },
		"config":         s.configCommand,
		"topic":          func(o options) { s.topics.create(o.args[0], int32(o.num("partitions", 3))) },
		"delete-topic":   func(o options) { s.topics.remove(o.args[0]); s.leader.DeleteOrphans(s.now); s.settle() },
		"forget-history": func(options) { s.topics.version = 0 },
	}
}

func (o options) millisArg() int64 {
	d, err := time.ParseDuration(o.args[0])
	if err != nil {
		o.t.Fatal(err)
	}
	return d.Milliseconds()
}

func (s *script) command(words []string) {
	run, ok := s.commands()[words[0]]
	if !ok {
		s.t.Fatalf("unknown command %q", words[0])
	}
	run(parseOptions(s.t, words[1:]))
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) actor(name string) *actor {
	if s.actors[name] == nil {
		s.actors[name] = &actor{generation: -1}
	}
	return s.actors[name]
}

// request decides a request and prints the answer when it comes.
func (s *script) request(client string, req kmsg.Request, print func(kmsg.Response)) {
	answered := false
	s.leader.Handle(s.now, Client{ID: client, Host: "/127.0.0.1"}, req, func(r kmsg.Response) {
		if answered {
			s.t.Errorf("%s: second answer to %T", client, req)
		}
		answered = true
		// Show what a client reads in this version.
		read := req.ResponseKind()
		if err := read.ReadFrom(r.AppendTo(nil)); err != nil {
			s.t.Errorf("%T does not survive encoding: %v", r, err)
		}
		print(read)
	})
	s.settle()
}

func (s *script) configCommand(o options) {
	for k, v := range o.vals {
		d, _ := time.ParseDuration(v)
		n, _ := strconv.Atoi(v)
		switch k {
		case "delay":
			s.config.InitialRebalanceDelay = d
		case "size":
			s.config.MaxSize = int32(n)
		case "record":
			s.config.MaxRecordBytes = n
		case "retention":
			s.config.OffsetsRetention = d
		default:
			s.t.Fatalf("unknown setting %q", k)
		}
	}
	s.leader.env.Config = s.config
}

func show(s *string) string {
	if s == nil {
		return "null"
	}
	return strconv.Quote(*s)
}

func sortedFields(fields []string) string {
	slices.Sort(fields)
	return strings.Join(fields, " ")
}

func TestLimits(t *testing.T) {
	h := newHarness(t)
	h.config.MaxRecordBytes = 2000
	h.config.MaxSize = 2
	h.leader.env.Config = h.config
	commit := newCommit("g", 0, 1)
	p := commit.Topics[0].Partitions[0]
	for range 30 { // the same partition again and again
		commit.Topics[0].Partitions = append(commit.Topics[0].Partitions, p)
	}
	resp := (*h.send("c", commit)).(*kmsg.OffsetCommitResponse)
	if got := errorName(resp.Topics[0].Partitions[0].ErrorCode); got != "INVALID_COMMIT_OFFSET_SIZE" {
		t.Errorf("a huge commit: %s", got)
	}
	for i, want := range []string{"MEMBER_ID_REQUIRED", "MEMBER_ID_REQUIRED", "GROUP_MAX_SIZE_REACHED"} {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.SessionTimeoutMillis, join.ProtocolType = 4, "g", 10_000, "consumer"
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		if got := errorName((*h.send("c", join)).(*kmsg.JoinGroupResponse).ErrorCode); got != want {
			t.Errorf("join %d: %s, want %s", i, got, want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	var none Config
	err := none.Validate()
	for _, want := range []string{"group.min.session.timeout.ms", "group.max.size", "group.share.max.size", "offsets.retention.minutes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the zero config does not complain about %s: %v", want, err)
		}
	}
}
