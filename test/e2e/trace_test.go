//go:build linux

package e2e

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"balsa/test/harness"
)

// The tests in this file look at brokers' system calls: what they do to the disk and the network is what happened, however
// the code is written.

// traceSizes are the numbers of nodes to look at.
var traceSizes = []int{1, 3}

// payloadBytes are the bytes of values that the tests write. They are random, and so take the room that they take.
const payloadBytes = 16 << 20

// batchBytes bounds a batch: many batches cost many entries in indexes.
const batchBytes = 64 << 10

// batchHeader are the bytes of a batch before its records.
const batchHeader = 61

// meter counts what a client sends and receives.
type meter struct {
	mu       sync.Mutex
	batches  int64 // bytes of the batches written
	read     int64 // bytes of the batches received
	sent     int   // fetch requests
	answered int   // fetch responses
}

func (m *meter) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, b kgo.ProduceBatchMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches += int64(b.CompressedBytes) + batchHeader
}

func (m *meter) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, b kgo.FetchBatchMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read += int64(b.CompressedBytes) + batchHeader
}

func (m *meter) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key == int16(kmsg.Fetch) && err == nil {
		m.sent++
	}
}

func (m *meter) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key == int16(kmsg.Fetch) && err == nil {
		m.answered++
	}
}

// fetches returns how many fetch requests went out, and how many are answered.
func (m *meter) fetches() (sent, answered int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent, m.answered
}

// fill writes payloadBytes of random values with acks=all and returns the bytes of their batches.
func fill(t *testing.T, c *harness.Cluster, topic string) int64 {
	t.Helper()
	m := &meter{}
	cl := client(t, c, kgo.WithHooks(m), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(batchBytes))
	random := rand.NewChaCha8([32]byte{1})
	records := make([]*kgo.Record, payloadBytes>>12)
	for i := range records {
		value := make([]byte, 4<<10)
		_, _ = random.Read(value) // never fails
		records[i] = &kgo.Record{Value: value}
	}
	must(t, cl.ProduceSync(within(t), records...).FirstErr())
	cl.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.batches < payloadBytes || m.batches > payloadBytes*102/100 {
		t.Fatalf("batches of %d bytes for a payload of %d: the client does not do what this test assumes", m.batches, payloadBytes)
	}
	return m.batches
}

// TestBytesAreWrittenOncePerNode is the promise that the Raft log is the partition's log.
func TestBytesAreWrittenOncePerNode(t *testing.T) {
	for _, nodes := range traceSizes {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			c := start(t, nodes)
			createTopic(t, c, "once", 1)
			produce(t, client(t, c), "once", "there is a leader")
			tracers := trace(t, c)
			batches, id := fill(t, c, "once"), topicID(t, c, "once")
			eventually(t, "every node has all", func() bool { return allStored(t, c, id, batches) })
			for _, tr := range tracers {
				written := map[string]int64{} // by path
				for _, call := range tr.stop(t) {
					switch {
					case call.name == "mmap" && call.on(".log"), strings.HasPrefix(call.name, "io_uring"):
						t.Errorf("%s writes in a way that this test does not see: %v", tr.node.Name, &call)
					case call.isWrite() && call.on("") || call.name == "copy_file_range":
						written[call.files[len(call.files)-1]] += call.n
					}
				}
				checkWritten(t, tr.node, written, batches)
			}
		})
	}
}

func checkWritten(t *testing.T, n *harness.Node, written map[string]int64, batches int64) {
	t.Helper()
	var logs, other int64
	files := 0 // that hold a percent of the records
	for path, bytes := range written {
		if !strings.HasSuffix(path, ".log") {
			other += bytes
			continue
		}
		logs += bytes
		if bytes > batches/100 {
			files++
		}
	}
	t.Logf("%s: %.4f bytes to segments per byte of batches, %.4f to other files", n.Name, ratio(logs, batches), ratio(other, batches))
	if logs < batches || logs > batches*105/100 {
		t.Errorf("%s wrote %d bytes to segments for batches of %d: not once", n.Name, logs, batches)
	}
	if files != 1 {
		t.Errorf("%s wrote the records to %d files, want one: %v", n.Name, files, written)
	}
	if other > batches*5/100 {
		t.Errorf("%s wrote %d bytes to other files for batches of %d: %v", n.Name, other, batches, written)
	}
}

func ratio(a, b int64) float64 { return float64(a) / float64(b) }

// allStored says whether the segments of a topic have that size on every node. Raft may acknowledge before the last has all.
func allStored(t *testing.T, c *harness.Cluster, topicID string, batches int64) bool {
	t.Helper()
	for _, n := range c.Nodes {
		var stored int64
		for _, name := range segments(t, n, topicID) {
			info, err := os.Stat(name)
			must(t, err)
			stored += info.Size()
		}
		if stored < batches {
			return false
		}
	}
	return true
}

// TestIdleLongPollDoesNothing has a consumer wait at the end of a partition.
func TestIdleLongPollDoesNothing(t *testing.T) {
	const window = 3 * time.Second
	for _, nodes := range traceSizes {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			c := start(t, nodes)
			createTopic(t, c, "idle", 1)
			producer := client(t, c)
			produce(t, producer, "idle", "first")
			m := &meter{}
			consumer := client(t, c, kgo.WithHooks(m), kgo.FetchMaxWait(10*time.Minute), kgo.FetchMinBytes(1),
				kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"idle": {0: kgo.NewOffset().At(0)}}))
			wantValues(t, consumer.PollFetches(within(t)).Records(), 0, "first")
			waiting := func() bool { sent, answered := m.fetches(); return sent == answered+1 }
			eventually(t, "a fetch waits", waiting)
			sent, _ := m.fetches()

			tracers := trace(t, c)
			<-time.After(window) // the time that is looked at, nothing to wait for
			for _, tr := range tracers {
				checkIdle(t, tr.node, tr.stop(t))
			}
			if after, _ := m.fetches(); after != sent || !waiting() {
				t.Errorf("%d fetch requests before, %d after: it was not one that waited", sent, after)
			}
			// The trace sees what there is to see, and it was a fetch that a commit ends.
			tracers = trace(t, c)
			produce(t, producer, "idle", "second")
			wantValues(t, consumer.PollFetches(within(t)).Records(), 1, "second")
			for _, tr := range tracers {
				if touched, _ := work(tr.node, tr.stop(t)); tr.node.ID == leaderOf(t, c, "idle") && len(touched) == 0 {
					t.Errorf("%s wrote a record and strace shows nothing", tr.node.Name)
				}
			}
		})
	}
}

// work returns calls on the files of partitions, and those that send to clients.
func work(n *harness.Node, calls []call) (files, clients []call) {
	for _, c := range calls {
		switch {
		case c.on(".log") || c.on(".index"):
			files = append(files, c)
		case c.sends() && c.to(n.Address):
			clients = append(clients, c)
		}
	}
	return files, clients
}

func checkIdle(t *testing.T, n *harness.Node, calls []call) {
	t.Helper()
	files, clients := work(n, calls)
	t.Logf("%s: %d calls that move bytes, of them on segments %d, to clients %d", n.Name, len(calls), len(files), len(clients))
	for _, c := range files {
		t.Errorf("%s is idle, but called %v", n.Name, &c)
	}
	// One may be the answer to what a client asks by itself, such as metadata.
	if len(clients) > 2 {
		t.Errorf("%s has nothing to say, but wrote to clients %d times", n.Name, len(clients))
	}
}

func leaderOf(t *testing.T, c *harness.Cluster, topic string) int32 {
	t.Helper()
	topics, err := admin(t, c).ListTopics(within(t), topic)
	must(t, err)
	return topics[topic].Partitions[0].Leader
}

// topicID returns a topic's id as directories have it.
func topicID(t *testing.T, c *harness.Cluster, topic string) string {
	t.Helper()
	topics, err := admin(t, c).ListTopics(within(t), topic)
	must(t, err)
	id := topics[topic].ID
	return hex.EncodeToString(id[:])
}

// TestColdFetchLeavesBySendfile reads what brokers that were started again have never seen, and the page cache has forgotten.
func TestColdFetchLeavesBySendfile(t *testing.T) {
	for _, nodes := range traceSizes {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			c := start(t, nodes)
			createTopic(t, c, "cold", 1, "segment.bytes", fmt.Sprint(payloadBytes/4))
			batches, id := fill(t, c, "cold"), topicID(t, c, "cold")
			eventually(t, "every node has all", func() bool { return allStored(t, c, id, batches) })
			for _, n := range c.Nodes {
				must(t, n.Kill())
				evict(t, n, id)
			}
			must(t, c.Start(within(t)))
			m := &meter{}
			disk := diskRead(t, c)
			tracers := trace(t, c)
			// A fetch may read a block of headers to find its place, so its size decides what share that is.
			consumer := client(t, c, kgo.WithHooks(m), kgo.FetchMaxPartitionBytes(4<<20),
				kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"cold": {0: kgo.NewOffset().At(0)}}))
			for read := 0; read < payloadBytes>>12; {
				fetches := consumer.PollFetches(within(t))
				must(t, fetches.Err())
				read += fetches.NumRecords()
			}
			var sent, read, written int64
			for _, tr := range tracers {
				for _, call := range tr.stop(t) {
					switch {
					case call.name == "sendfile" && call.on(".log") && call.to(tr.node.Address):
						sent += call.n
					case (call.reads() || call.name == "mmap") && call.on(".log"):
						read += call.n
					case call.sends() && call.to(tr.node.Address):
						written += call.n
					}
				}
			}
			t.Logf("batches of %d bytes: %.4f sent by sendfile, %.4f read, %.4f written to clients; %.4f came from the disk",
				batches, ratio(sent, batches), ratio(read, batches), ratio(written, batches), ratio(diskRead(t, c)-disk, batches))
			// Leadership goes back to the preferred leader while this reads, and the consumer then drops an answer of the old
			// one's and asks for the same batches again. (Seen once: one batch too many.)
			if m.read < batches || m.read > batches*101/100 {
				t.Errorf("the consumer got batches of %d bytes, written were %d", m.read, batches)
			}
			if sent < batches*99/100 {
				t.Errorf("%d bytes left by sendfile, want the %d of all batches", sent, batches)
			}
			if read > batches/100 {
				t.Errorf("brokers read %d bytes of segments into their memory to send %d", read, batches)
			}
			if written > batches/100 {
				t.Errorf("brokers wrote %d bytes to clients besides the records", written)
			}
		})
	}
}

// diskRead returns the bytes that the nodes had fetched from the disk.
func diskRead(t *testing.T, c *harness.Cluster) int64 {
	t.Helper()
	var total int64
	for _, n := range c.Nodes {
		used, err := harness.ReadIO(n.PID())
		must(t, err)
		total += used.DiskRead
	}
	return total
}

// evict drops a topic's segments from the page cache. They are durable, so nothing holds them there; a file system that
// lives in memory keeps them nevertheless, and they are old data then.
func evict(t *testing.T, n *harness.Node, topicID string) {
	t.Helper()
	for _, name := range segments(t, n, topicID) {
		f, err := os.Open(name)
		must(t, err)
		must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		must(t, f.Close())
	}
}

// segments returns the paths of the segments of a topic's only partition on a node, at least one.
func segments(t *testing.T, n *harness.Node, topicID string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(n.DataDir, "logs", topicID+"-0", "*.log"))
	must(t, err)
	if len(names) == 0 {
		t.Fatalf("%s has no segments of topic %s under %s", n.Name, topicID, n.DataDir)
	}
	return names
}
