package share

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the scenarios give into their files; review the difference")

// TestScenarios runs the transcripts in testdata: lines that begin with "> " are commands, the lines below are what they lead
// to, and at last the window, if they changed it. Every change is replicated at once. See script.command for the commands.
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
			if got != string(want) {
				t.Fatalf("want:\n%s\ngot:\n%s", want, got)
			}
		})
	}
}

// script runs a transcript.
type script struct {
	*testing.T
	policy     Policy
	replicated *Partition
	leader     *Leader
	out        strings.Builder
}

func newScript(t *testing.T) *script {
	p := New(0)
	policy := Policy{LockMs: 100, DeliveryLimit: 5, MaxLocks: 1000, MaxWindow: 1000, Renew: true}
	return &script{T: t, policy: policy, replicated: p, leader: NewLeader(p)}
}

func (s *script) run(text string) string {
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "> "); ok {
			s.out.WriteString(line)
			words := strings.Fields(command)
			before := s.window()
			s.changed(s.command(words[0], words[1:]))
			if after := s.window(); after != before {
				s.printf("%s", after)
			}
		} else if strings.HasPrefix(line, "#") || line == "\n" {
			s.out.WriteString(line)
		}
	}
	return s.out.String()
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// changed replicates a change, and checks that replica and leader agree.
func (s *script) changed(c Change) {
	s.Helper()
	decoded, err := DecodeChange(c.AppendTo(nil))
	if err != nil {
		s.Fatal(err)
	}
	s.replicated.Apply(decoded)
	for _, p := range []*Partition{s.replicated, s.leader.p} {
		if err := p.verify(); err != nil {
			s.Fatal(err)
		}
	}
	if string(s.replicated.AppendTo(nil)) != string(s.leader.p.AppendTo(nil)) {
		s.Fatalf("%+v: the replica has %v", c, slices.Collect(s.replicated.Runs(0)))
	}
}

func (s *script) window() string {
	var runs []string
	for r := range s.leader.p.Runs(0) {
		text := fmt.Sprintf("%s %s", span(r.First, r.Last), r.State)
		if r.Member != "" {
			text += " by " + r.Member
		}
		if r.Until != 0 {
			text += fmt.Sprint(" until ", r.Until)
		}
		if r.State == Archiving {
			text += " (" + r.Reason.String() + ")"
		}
		if !r.State.Decided() {
			text += fmt.Sprint(" #", r.DeliveryCount)
		}
		runs = append(runs, text)
	}
	return fmt.Sprintf("[%d, %d) %s", s.leader.Start(), s.leader.End(), strings.Join(runs, ", "))
}

func span(first, last Offset) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// command runs one command. Options are words with a "=".
func (s *script) command(name string, words []string) Change {
	options := map[string]int64{}
	var rest []string
	for _, word := range words {
		option, value, ok := strings.Cut(word, "=")
		if ok && !strings.ContainsAny(option, "0123456789") {
			options[option] = s.number(value)
		} else {
			rest = append(rest, word)
		}
	}
	switch name {
	case "policy": // lock=MS limit=N locks=N window=N dead-letters=0|1 renew=0|1 ordered=0|1
		s.setPolicy(options)
	case "next": // where to read
		from, ok := s.leader.NextFetch(s.policy)
		s.printf("next %d %v", from, ok)
	case "acquire": // MEMBER now=MS max=N exact=1 size=N lock=MS BATCH...; a batch is 0-9, skip:0-9, or 0-9[0,1=key,2@MS]
		return s.acquire(options, rest)
	case "ack": // MEMBER now=MS delay=MS lock=MS RANGE:TYPE,... ...
		return s.acknowledge(options, rest)
	case "tick": // MS
		return s.leader.Tick(s.number(rest[0]), s.policy)
	case "deadline":
		s.printf("deadline %d", s.leader.NextDeadline())
	case "release": // MEMBER
		return s.leader.ReleaseMember(rest[0], s.policy)
	case "expire": // OFFSET
		return s.leader.ExpireBelow(Offset(s.number(rest[0])), s.policy)
	case "log-start": // OFFSET
		return s.leader.AdvanceStart(Offset(s.number(rest[0])))
	case "reset": // OFFSET
		return s.leader.SetStart(Offset(s.number(rest[0])))
	case "archiving": // N
		for _, r := range s.leader.Archiving(int(s.number(rest[0]))) {
			s.printf("%s %s #%d", span(r.First, r.Last), r.Reason, r.DeliveryCount)
		}
	case "written": // RANGE...
		var runs []Run
		for _, word := range rest {
			first, last := s.span(word)
			runs = append(runs, Run{First: first, Last: last})
		}
		return s.leader.DeadLettersWritten(runs)
	case "counts":
		s.printf("%+v", s.leader.Counts())
	case "keys": // which are missing
		from, to, ok := s.leader.NeedsKeys(s.policy)
		s.printf("keys [%d, %d) %v", from, to, ok)
	case "learn": // RANGE RECORD...
		first, last := s.span(rest[0])
		return s.leader.LearnKeys(first, last+1, s.records(rest[1:]))
	case "failover":
		s.leader = NewLeader(s.replicated)
	default:
		s.Fatalf("unknown command %q", name)
	}
	return Change{}
}

func (s *script) setPolicy(options map[string]int64) {
	for name, v := range options {
		switch name {
		case "lock":
			s.policy.LockMs = v
		case "limit":
			s.policy.DeliveryLimit = int16(v)
		case "locks":
			s.policy.MaxLocks = int(v)
		case "window":
			s.policy.MaxWindow = int(v)
		case "dead-letters":
			s.policy.DeadLetters = v == 1
		case "renew":
			s.policy.Renew = v == 1
		case "ordered":
			s.policy.Ordered = v == 1
		default:
			s.Fatalf("unknown setting %q", name)
		}
	}
}

func (s *script) acquire(options map[string]int64, words []string) Change {
	args := AcquireArgs{
		Member: words[0], Now: options["now"], Policy: s.policy, LockMs: options["lock"], MaxRecords: 1000,
		BatchSize: int(options["size"]), RecordLimit: options["exact"] == 1,
	}
	if n, ok := options["max"]; ok {
		args.MaxRecords = int(n)
	}
	for _, word := range words[1:] {
		var b Batch
		word, b.Skip = strings.CutPrefix(word, "skip:")
		word, records, looked := strings.Cut(strings.TrimSuffix(word, "]"), "[")
		b.First, b.Last = s.span(word)
		if looked {
			b.Records = s.records(strings.Split(records, ","))
		}
		args.Batches = append(args.Batches, b)
	}
	got, c := s.leader.Acquire(args)
	for _, a := range got {
		s.printf("%s gets %s #%d", args.Member, span(a.First, a.Last), a.DeliveryCount)
	}
	return c
}

func (s *script) records(words []string) []Record {
	records := []Record{}
	for _, word := range words {
		if word == "" {
			continue
		}
		word, at, delayed := strings.Cut(word, "@")
		offset, key, keyed := strings.Cut(word, "=")
		r := Record{Offset: Offset(s.number(offset))}
		if delayed {
			r.DeliverAt = s.number(at)
		}
		if keyed {
			h := fnv.New64a()
			h.Write([]byte(key))
			r.Key = h.Sum64()
		}
		records = append(records, r)
	}
	return records
}

func (s *script) acknowledge(options map[string]int64, words []string) Change {
	names := []string{"gap", "accept", "release", "reject", "renew"}
	args := AcknowledgeArgs{Member: words[0], Now: options["now"], Policy: s.policy, LockMs: options["lock"], DelayMs: options["delay"]}
	for _, word := range words[1:] {
		offsets, types, _ := strings.Cut(word, ":")
		var ack Ack
		ack.First, ack.Last = s.span(offsets)
		for name := range strings.SplitSeq(types, ",") {
			ack.Types = append(ack.Types, AckType(slices.Index(names, name)))
		}
		args.Acks = append(args.Acks, ack)
	}
	c, err := s.leader.Acknowledge(args)
	if err != nil {
		s.printf("error: %v", err)
	}
	return c
}

func (s *script) span(word string) (first, last Offset) {
	a, b, ok := strings.Cut(word, "-")
	if !ok {
		b = a
	}
	return Offset(s.number(a)), Offset(s.number(b))
}

func (s *script) number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}
