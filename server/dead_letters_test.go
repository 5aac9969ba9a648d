package server

import (
	"context"
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
)

// A dead-letter topic may take less at once than what is written together.
func TestDeadLettersOfASmallTopic(t *testing.T) {
	const limit = 1000
	image := cluster.NewImage()
	image.TopicsByName["dead"] = &cluster.Topic{ID: cluster.TopicID{1}, Name: "dead", Partitions: make([]cluster.Partition, 1)}
	var got []string
	l := &deadLetters{
		node: 1, image: func() *cluster.Image { return image }, logger: slog.New(slog.DiscardHandler),
		leader: func(cluster.TopicID, int32) raft.Leadership { return raft.Leadership{Leader: 2} },
		call: func(_ context.Context, _ raft.NodeID, _ uint8, payload []byte) ([]byte, error) {
			d := wire.Decoder{B: payload}
			d.U8()
			d.ID()
			d.I32()
			if len(d.B) > limit {
				return encodeCodes([]int16{kerr.MessageTooLarge.Code}), nil
			}
			r := batch.Batch(d.B).Records(batch.DefaultMaxInflate)
			defer r.Close()
			for r.Next() {
				got = append(got, string(r.Record().Key))
			}
			return encodeCodes([]int16{0}), r.Err()
		},
	}
	var records []batch.Record
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		records = append(records, batch.Record{Key: []byte(key), Value: make([]byte, 400)})
	}
	records[3].Value = make([]byte, 2*limit) // goes without its record
	if n, err := l.WriteDeadLetters(t.Context(), "dead", cluster.TopicPartition{}, records); err != nil || n != len(records) {
		t.Fatal(n, err)
	}
	want := []string{"a", "b", "c", "", "e"}
	if len(got) != len(want) {
		t.Fatalf("written: %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("written: %q, want %q", got, want)
		}
	}
}
