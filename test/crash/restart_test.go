//go:build crash

package crash

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"balsa/test/harness"
)

var (
	restartBytes      = flag.Int64("restart-bytes", 10<<30, "how much TestRestart writes")
	restartPartitions = flag.Int("restart-partitions", 100, "to how many partitions TestRestart writes")
)

// TestRestart kills a node that holds much data and starts it again, with the data in the page cache and without: how
// long until it serves and every partition takes a write, and how much does it read for that?
func TestRestart(t *testing.T) {
	s := newSuite(t, 1, nil)
	node := s.Cluster.Nodes[0]
	s.CreateTopic(topic, *restartPartitions, 1)
	s.fill(*restartBytes)
	s.Must(node.Kill()) // not Stop: there is no clean shutdown to lean on
	for _, cold := range []bool{false, true} {
		if cold {
			s.Must(dropPages(node.DataDir))
		}
		serving, writing, io := s.restart(node)
		t.Logf("%d MiB in %d partitions, page cache cold: %v: serving after %v, every partition written to after %v; "+
			"read %.2f MiB by system calls, %.2f MiB from the disk (%.3f %% of the data)",
			*restartBytes>>20, *restartPartitions, cold, serving.Round(time.Millisecond), writing.Round(time.Millisecond),
			float64(io.ReadCalls)/(1<<20), float64(io.DiskRead)/(1<<20), 100*float64(io.DiskRead)/float64(*restartBytes))
		if io.ReadCalls > *restartBytes/100 || io.DiskRead > *restartBytes/100 {
			t.Errorf("a restart read more than 1 %% of the data: %+v", io)
		}
		s.Must(node.Kill())
	}
}

// fill writes about n bytes, evenly over the partitions.
func (s *suite) fill(n int64) {
	s.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Cluster.Addresses()...), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	s.Must(err)
	defer cl.Close()
	value := make([]byte, 64<<10)
	for i := range value {
		value[i] = byte(s.Rand.Uint32())
	}
	for range n / int64(len(value)) {
		cl.Produce(s.Context(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				s.Errorf("fill: %v", err)
			}
		})
	}
	s.Must(cl.Flush(s.Within(10 * time.Minute)))
}

// restart measures from the start of the process.
func (s *suite) restart(n *harness.Node) (serving, writing time.Duration, io harness.IO) {
	s.Helper()
	start := time.Now()
	s.Must(s.Cluster.Restore(s.Within(patience), n))
	serving = time.Since(start)
	io, err := harness.ReadIO(n.PID())
	s.Must(err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	s.Must(err)
	defer cl.Close()
	records := make([]*kgo.Record, *restartPartitions)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: int32(i), Value: []byte("back")}
	}
	s.Must(cl.ProduceSync(s.Within(patience), records...).FirstErr())
	return serving, time.Since(start), io
}

// dropPages takes the files below dir out of the page cache.
func dropPages(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil { // a dirty page cannot be dropped
			return fmt.Errorf("sync %s: %w", path, err)
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
