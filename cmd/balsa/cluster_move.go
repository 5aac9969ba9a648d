package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/balance"
)

// requester is a client that sends a request to whichever broker it is for.
type requester = kmsg.Requestor

// planning is embedded by every command that changes what nodes there are or what they hold.
type planning struct {
	connection
	output
	Plan bool `help:"Only show what would be done."`
}

// moving is embedded by every command that moves replicas.
type moving struct {
	planning
	NoWait bool `help:"Return when the moves have begun; the cluster goes on without this command."`
}

// moveReport is what such a command did or, with --plan, would do.
type moveReport struct {
	State      string        `json:"state"` // planned, started or done
	Partitions int           `json:"partitions"`
	Replicas   int           `json:"replicas_to_copy"`
	Bytes      int64         `json:"bytes_to_copy"`
	Leaders    int           `json:"preferred_leaders_changed"`
	Seconds    float64       `json:"seconds"`
	Moves      []plannedMove `json:"moves"`
}

type plannedMove struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	From      []int32 `json:"from"`
	To        []int32 `json:"to"`
	Bytes     int64   `json:"bytes_to_copy"`
}

// mover carries out a plan and tells how far it is.
type mover struct {
	*moving
	client *kgo.Client
	admin  *kadm.Client
	std    *streams
	report moveReport
}

// withMover connects and runs what a command does.
func (m *moving) withMover(ctx context.Context, std *streams, run func(*mover) error) error {
	client, err := m.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(min(m.Timeout, 24*time.Hour).Milliseconds()))
	return run(&mover{moving: m, client: client, admin: admin, std: std})
}

// limited bounds one request.
func (m *mover) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, m.Timeout+time.Second)
}

func (m *mover) view(ctx context.Context) (*clusterView, error) {
	ctx, cancel := m.limited(ctx)
	defer cancel()
	return viewCluster(ctx, m.admin, m.client)
}

// move carries out a plan, as far as the flags want it, and prints the report.
func (m *mover) move(ctx context.Context, view *clusterView, moves []balance.Move) error {
	m.report = planReport(view, moves)
	if m.Plan {
		return m.print()
	}
	m.say("%s", m.report.summary())
	if err := m.begin(ctx, moves); err != nil {
		return err
	}
	return m.finish(ctx)
}

// finish waits for the moves of the report, unless the flags do not want it, and prints it.
func (m *mover) finish(ctx context.Context) error {
	started := time.Now()
	m.report.State = "started"
	if !m.NoWait {
		if err := m.follow(ctx, started); err != nil {
			return err
		}
		m.report.State = "done"
		m.electMoved(ctx)
	}
	m.report.Seconds = time.Since(started).Seconds()
	return m.print()
}

func planReport(view *clusterView, moves []balance.Move) moveReport {
	r := moveReport{State: "planned", Partitions: len(moves), Moves: []plannedMove{}}
	for _, move := range moves {
		added := len(move.Added())
		bytes := int64(added) * view.sizes[partitionKey{move.Topic, move.Number}]
		r.Replicas += added
		r.Bytes += bytes
		if move.From[0] != move.To[0] {
			r.Leaders++
		}
		r.Moves = append(r.Moves, plannedMove{move.Topic, move.Number, move.From, move.To, bytes})
	}
	return r
}

func (r *moveReport) summary() string {
	if r.Partitions == 0 {
		return "nothing to move"
	}
	return fmt.Sprintf("%s to change: %s to copy (%s), %s of preferred leader", plural(int64(r.Partitions), "partition"),
		plural(int64(r.Replicas), "replica"), byteSize(r.Bytes), plural(int64(r.Leaders), "change"))
}

// say tells a person what goes on; with --output json that goes to the standard error, beside the document.
func (m *mover) say(format string, args ...any) {
	w := m.std.out
	if m.json() {
		w = m.std.err
	}
	fmt.Fprintf(w, format+"\n", args...)
}

func (m *mover) print() error {
	if m.json() {
		return printJSON(m.std.out, m.report)
	}
	switch m.report.State {
	case "planned":
		m.report.printPlan(m.std.out)
	case "started":
		if m.report.Partitions > 0 {
			fmt.Fprintln(m.std.out, "the moves have begun; watch them with `balsa cluster status`")
		}
	default:
		fmt.Fprintf(m.std.out, "done in %.1f s\n", m.report.Seconds)
	}
	return nil
}

func (r *moveReport) printPlan(w io.Writer) {
	if len(r.Moves) > 0 {
		g := newGrid("topic", "partition", "replicas", "becomes", "to copy")
		for _, move := range r.Moves {
			g.add(move.Topic, int64(move.Partition), nodeList(move.From), nodeList(move.To), byteSize(move.Bytes))
		}
		g.print(w)
	}
	fmt.Fprintln(w, r.summary())
}

// maxPartitionsPerRequest keeps one request within what a controller writes at once.
const maxPartitionsPerRequest = 500

// begin hands the plan to the controller. From then on the cluster carries it out by itself.
func (m *mover) begin(ctx context.Context, moves []balance.Move) error {
	for start := 0; start < len(moves); start += maxPartitionsPerRequest {
		var req kadm.AlterPartitionAssignmentsReq
		for _, move := range moves[start:min(start+maxPartitionsPerRequest, len(moves))] {
			req.Assign(move.Topic, move.Number, move.To)
		}
		if err := m.assign(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

// assign sends one request, and fails with the first partition's error if one is refused.
func (m *mover) assign(ctx context.Context, req kadm.AlterPartitionAssignmentsReq) error {
	ctx, cancel := m.limited(ctx)
	defer cancel()
	resp, err := m.admin.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return fmt.Errorf("reassign partitions: %w", err)
	}
	for _, p := range resp.Sorted() {
		if err := withMessage(p.Err, p.ErrMessage); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) { // deleted meanwhile
			return fmt.Errorf("reassign %s-%d: %w", p.Topic, p.Partition, err)
		}
	}
	return nil
}

// electMoved has the preferred leaders lead at once what has moved. The brokers do so by themselves after some seconds; a leader that
// cannot be elected now is left to them.
func (m *mover) electMoved(ctx context.Context) {
	var set kadm.TopicsSet
	for _, move := range m.report.Moves {
		set.Add(move.Topic, move.Partition)
	}
	if len(set) == 0 {
		return
	}
	ctx, cancel := m.limited(ctx)
	defer cancel()
	_, _ = m.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
}
