package server

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/group"
	"balsa/server/handler"
	"balsa/server/partition"
)

// markerWriter writes transaction markers to what this node leads (handler.Markers).
type markerWriter struct {
	partitions *partition.Manager
	shards     *coordinator.Host
}

var _ handler.Markers = markerWriter{}

// WriteMarkers implements handler.Markers. All markers are proposed before any is waited for.
func (w markerWriter) WriteMarkers(ctx context.Context, markers []handler.TransactionMarker) []error {
	errs := make([]error, len(markers))
	appends := make([]*partition.Append, len(markers))
	var wg sync.WaitGroup
	for i := range markers {
		m := &markers[i]
		if m.Partition.Topic == cluster.CoordinatorTopic {
			wg.Go(func() {
				errs[i] = w.shards.EndTransaction(ctx, m.Partition.Partition, group.Marker(m.Marker))
			})
			continue
		}
		appends[i], errs[i] = w.propose(m)
	}
	for i, a := range appends {
		if a != nil {
			_, errs[i] = a.Wait(ctx)
		}
	}
	wg.Wait()
	for i, err := range errs {
		errs[i] = markerError(err)
	}
	return errs
}

func (w markerWriter) propose(m *handler.TransactionMarker) (*partition.Append, error) {
	p, err := w.partitions.Get(m.Partition.Topic, m.Partition.Partition)
	if err != nil {
		return nil, err
	}
	return p.WriteMarker(m.Marker)
}

// markerError says NOT_LEADER_OR_FOLLOWER, as Kafka does, where the shard of a group's offsets has to be looked for.
func markerError(err error) error {
	var known *kerr.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &known):
		return fmt.Errorf("%w: %w", kerr.NotLeaderForPartition, err)
	case known == kerr.NotCoordinator, known == kerr.CoordinatorLoadInProgress, known == kerr.CoordinatorNotAvailable:
		return fmt.Errorf("%w: %w", kerr.NotLeaderForPartition, err)
	}
	return err
}

// serve writes the markers that another broker's coordinator sends; its signature is raft.Service.
func (w markerWriter) serve(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	markers, err := decodeMarkers(payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, markersCallTimeout)
	defer cancel()
	codes := make([]int16, len(markers))
	for i, err := range w.WriteMarkers(ctx, markers) {
		codes[i] = wireCode(err)
	}
	return encodeCodes(codes), nil
}

// wireCode is how an error that is or wraps a *kerr.Error travels between brokers.
func wireCode(err error) int16 {
	var known *kerr.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known):
		return known.Code
	}
	return kerr.UnknownServerError.Code
}
