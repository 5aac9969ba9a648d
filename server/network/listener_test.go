package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/vfs"
	"balsa/server/handler"
)

// withFile gives the broker a real file of n random bytes to serve.
func withFile(t testing.TB, b *fakeBroker, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{7})
	if _, err := rng.Read(data); err != nil {
		t.Fatal(err)
	}
	f, err := vfs.OS{}.OpenFile(t.TempDir()+"/segment.log", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	b.file, b.fileSize = f, int64(n)
	return data
}

// Any number of requests in one go are answered one by one, in their order.
func TestPipelining(t *testing.T) {
	b := newFakeBroker()
	withFile(t, b, 10_000)
	_, address, _ := serve(t, b, func(c *ListenerConfig) { c.MaxInFlightRequests = 4 })
	c := dial(t, address)
	const n = 400
	var stream []byte
	for i := range int32(n) {
		switch i % 4 {
		case 0:
			stream = append(stream, encode(produceRequest(-1, 100), i)...)
		case 1:
			stream = append(stream, encode(fetchRequest(0), i)...)
		case 2:
			stream = append(stream, encode(kmsg.NewPtrMetadataRequest(), i)...)
		case 3:
			stream = append(stream, encode(versionsRequest(), i)...)
		}
	}
	go func() {
		if _, err := c.Write(stream); err != nil {
			t.Errorf("send: %v", err)
		}
	}()
	for i := range int32(n) {
		if got, _ := c.receive(); got != i {
			t.Fatalf("answer %d where %d was due", got, i)
		}
	}
}

// A request that is ready waits for the one before it; the next one is started meanwhile.
func TestAnswersKeepTheirOrder(t *testing.T) {
	b := newFakeBroker()
	b.hold = true
	_, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, produceRequest(-1, 10))
	c.send(2, produceRequest(-1, 10))
	c.send(3, versionsRequest())
	other := dial(t, address)
	other.send(9, versionsRequest())
	other.receive() // others go on
	go func() {
		until(func() bool { return b.holding() == 2 })
		b.letGo()
	}()
	for want := int32(1); want <= 3; want++ {
		if got, _ := c.receive(); got != want {
			t.Fatalf("answer %d where %d was due", got, want)
		}
	}
}

func TestProduceWithoutAcksSendsNothing(t *testing.T) {
	b := newFakeBroker()
	_, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, produceRequest(0, 10))
	c.send(2, versionsRequest())
	if got, _ := c.receive(); got != 2 {
		t.Errorf("answer %d to a produce without acks", got)
	}
	bad := produceRequest(0, 10)
	bad.Topics[0].Topic = "none"
	c.send(3, bad)
	c.ended() // which is how its producer learns
}

// Many connections fetch the same open file at the same time, by sendfile with positions of their own.
func TestFetchFromFile(t *testing.T) {
	b := newFakeBroker()
	data := withFile(t, b, 6<<20+123)
	_, address, _ := serve(t, b, nil)
	var wg sync.WaitGroup
	for range 4 {
		c := dial(t, address)
		wg.Go(func() {
			for i := range int32(3) {
				c.send(i, fetchRequest(0))
				id, rest, err := receive(c)
				if err != nil || id != i || !bytes.HasSuffix(rest, data) {
					t.Errorf("answer %d of %d bytes, %v", id, len(rest), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestFetchFromMemoryFile(t *testing.T) {
	b := newFakeBroker()
	f, err := vfs.NewMem().OpenFile("segment.log", true)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("abcdefg"), 100_000)
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	b.file, b.fileSize = f, int64(len(data))
	_, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, fetchRequest(0))
	if _, rest := c.receive(); !bytes.HasSuffix(rest, data) {
		t.Error("records differ")
	}
}

// A file that is shorter than promised must not leave the client with half an answer and a connection that looks alive.
func TestFetchFromTruncatedFile(t *testing.T) {
	b := newFakeBroker()
	withFile(t, b, 1<<20)
	if err := b.file.Truncate(1000); err != nil {
		t.Fatal(err)
	}
	_, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, fetchRequest(0))
	if _, _, err := receive(c); err == nil {
		t.Error("a whole answer from half a file")
	}
}

// A receiver with a tiny buffer gets all, and no timer of the kernel is waited for in between (200 ms for each head of an
// answer that is held back for more): the time is logged to be looked at. The buffer is set before the connection is made, as
// clients do. Shrinking it afterwards, below the segment size of loopback, costs 200 ms for each window whatever the
// sender does.
func TestTinyReceiveBuffer(t *testing.T) {
	b := newFakeBroker()
	data := withFile(t, b, 200_000)
	_, address, _ := serve(t, b, nil)
	for _, size := range []int{1, 4 << 10, 64 << 10} {
		d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(fd uintptr) {
				if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, size); err != nil {
					t.Error(err)
				}
			})
		}}
		nc, err := d.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		start := time.Now()
		for i := range int32(10) {
			if _, err := nc.Write(encode(fetchRequest(0), i)); err != nil {
				t.Fatal(err)
			}
			if _, rest, err := receive(nc); err != nil || !bytes.HasSuffix(rest, data) {
				t.Errorf("records differ: %v", err)
			}
		}
		t.Logf("10 answers of 200 kB through a receive buffer of %d: %v", size, time.Since(start))
	}
}

// A client that does not read holds nothing but its own connection, and not for ever.
func TestStuckClient(t *testing.T) {
	b := newFakeBroker()
	withFile(t, b, 64<<20)
	l, address, out := serve(t, b, func(c *ListenerConfig) { c.IdleTimeout = 50 * time.Millisecond })
	stuck := dial(t, address)
	stuck.send(1, fetchRequest(0))
	until(func() bool { return l.Connections() > 0 })
	other := dial(t, address)
	for i := range int32(20) {
		other.send(i, versionsRequest())
		other.receive()
	}
	other.Close()
	until(func() bool { return l.Connections() == 0 })
	if !strings.Contains(out.String(), "i/o timeout") {
		t.Errorf("no word about it:\n%s", out)
	}
}

// A consumer is not read by its application while that works on the last records, for up to max.poll.interval.ms; Kafka
// waits for connections.max.idle.ms.
func TestSlowConsumersAreWaitedFor(t *testing.T) {
	l, address, _ := serve(t, newFakeBroker(), nil)
	dial(t, address)
	until(func() bool { return l.Connections() > 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		deadline := &deadlineConn{Conn: c.nc}
		c := &conn{listener: l, nc: deadline}
		if err := c.writeSoon(); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(deadline.write); left < 5*time.Minute {
			t.Errorf("a client has %v to receive the next part of an answer", left)
		}
	}
}

// deadlineConn remembers the last deadline of writes.
type deadlineConn struct {
	net.Conn
	write time.Time
}

func (c *deadlineConn) SetWriteDeadline(t time.Time) error {
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}

// A client may close its sending side and still gets what it asked for.
func TestHalfClosed(t *testing.T) {
	b := newFakeBroker()
	b.hold = true
	_, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, produceRequest(-1, 10))
	c.send(2, versionsRequest())
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	go func() {
		until(func() bool { return b.holding() == 1 })
		b.letGo()
	}()
	for want := int32(1); want <= 2; want++ {
		if got, _ := c.receive(); got != want {
			t.Errorf("answer %d, want %d", got, want)
		}
	}
	c.ended()
}

// What waits for something ends when its client has gone.
func TestClientGone(t *testing.T) {
	for name, req := range map[string]kmsg.Request{
		"fetch": fetchRequest(1 << 30), "share fetch": shareFetchRequest("m", 1<<30), "join": kmsg.NewPtrJoinGroupRequest(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newFakeBroker()
			waiting := make(chan struct{})
			b.onWatch = func() { close(waiting) }
			_, address, _ := serve(t, b, nil)
			c := dial(t, address)
			c.send(1, req)
			<-waiting
			c.Close()
			<-b.unwatch
		})
	}
}

func TestMalformed(t *testing.T) {
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	metadata := encode(&kmsg.MetadataRequest{Version: 12}, 1)
	lying := bytes.Clone(metadata)
	lying[len(lying)-4] = 0xff // topics
	random := make([]byte, 4096)
	rng := rand.NewChaCha8([32]byte{9})
	if _, err := rng.Read(random); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		in     []byte
		reason string
	}{
		{"2 GiB", length(1<<31 - 1), "frame length"},
		{"negative length", length(1 << 31), "frame length"},
		{"empty frame", length(0), "frame shorter"},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: balsa\r\n\r\n"), "frame length"},
		{"TLS", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0}, "frame length"},
		{"random bytes", random, "frame length"},
		{"unknown API", append(length(10), 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff), "unknown API"},
		{"unsupported version", append(length(10), 0, 1, 0, 1, 0, 0, 0, 1, 0xff, 0xff), "not supported"},
		{"lying array", lying, "malformed"},
		{"truncated body", append(length(uint32(len(metadata)-5)), metadata[4:len(metadata)-1]...), "malformed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, address, out := serve(t, newFakeBroker(), nil)
			c, other := dial(t, address), dial(t, address)
			c.send(7, versionsRequest())
			if _, err := c.Write(test.in); err != nil {
				t.Fatal(err)
			}
			if got, _ := c.receive(); got != 7 { // what came before is answered
				t.Errorf("answer %d", got)
			}
			c.ended()
			other.send(8, versionsRequest())
			if got, _ := other.receive(); got != 8 {
				t.Errorf("the other client got answer %d", got)
			}
			until(func() bool { return strings.Contains(out.String(), "connection closed") })
			line := out.String()
			if !strings.Contains(line, test.reason) || !strings.Contains(line, c.LocalAddr().String()) || strings.Count(line, "level=INFO") != 1 {
				t.Errorf("log:\n%s", line)
			}
		})
	}
}

// CVE-2022-34917: what is claimed costs nothing until it comes.
func TestClaimedLengthsCostNothing(t *testing.T) {
	const conns = 400
	l, address, _ := serve(t, newFakeBroker(), nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	head := append(binary.BigEndian.AppendUint32(nil, 99<<20), 0, 0, 0, 9, 0, 0, 0, 1) // a Produce of 99 MiB
	for range conns {
		if _, err := dial(t, address).Write(head); err != nil {
			t.Fatal(err)
		}
	}
	until(func() bool { return l.Connections() == conns })
	runtime.ReadMemStats(&after)
	if grown := after.Sys - before.Sys; grown > conns*64<<10 {
		t.Errorf("%d bytes for %d connections that claim 99 MiB each", grown, conns)
	}
	other := dial(t, address)
	other.send(1, produceRequest(-1, 1<<20)) // nor does it hold up others
	other.receive()
}

func TestMaxConnections(t *testing.T) {
	_, address, out := serve(t, newFakeBroker(), func(c *ListenerConfig) { c.MaxConnections = 2 })
	a, b := dial(t, address), dial(t, address)
	for _, c := range []*client{a, b} {
		c.send(1, versionsRequest())
		c.receive()
	}
	dial(t, address).ended()
	dial(t, address).ended()
	until(func() bool { return strings.Contains(out.String(), "limit=max.connections ") })
	if n := strings.Count(out.String(), "limit=max.connections "); n != 1 {
		t.Errorf("said %d times:\n%s", n, out)
	}
	a.send(2, versionsRequest())
	a.receive()
}

func TestMaxConnectionsPerIP(t *testing.T) {
	_, address, out := serve(t, newFakeBroker(), func(c *ListenerConfig) { c.MaxConnectionsPerIP = 1 })
	a := dial(t, address)
	a.send(1, versionsRequest())
	a.receive()
	dial(t, address).ended()
	until(func() bool { return strings.Contains(out.String(), "limit=max.connections.per.ip") })

	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	nc, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Skipf("no second address to connect from: %v", err)
	}
	other, _ := nc.(*net.TCPConn)
	b := &client{t, other}
	b.send(1, versionsRequest())
	b.receive()

	// A connection that ends makes room for another.
	a.Close()
	until(func() bool {
		c := dial(t, address)
		if _, err := c.Write(encode(versionsRequest(), 2)); err != nil {
			return false
		}
		_, _, err := receive(c)
		return err == nil
	})
}

// A silent client is disconnected, unless it waits for us.
func TestIdleTimeout(t *testing.T) {
	b := newFakeBroker()
	_, address, _ := serve(t, b, func(c *ListenerConfig) { c.IdleTimeout = 20 * time.Millisecond })
	waiting := dial(t, address)
	waiting.send(1, fetchRequest(300))
	dial(t, address).ended()
	if got, _ := waiting.receive(); got != 1 {
		t.Errorf("answer %d", got)
	}
	waiting.ended()
}

func TestInFlightBytes(t *testing.T) {
	b := newFakeBroker()
	b.hold = true
	const size, n = 10_000, 20
	_, address, _ := serve(t, b, func(c *ListenerConfig) { c.MaxInFlightBytes = 3*size + 1000 })
	c := dial(t, address)
	go func() {
		for i := range int32(n) {
			c.send(i, produceRequest(-1, size))
		}
	}()
	for range n {
		until(func() bool { return b.holding() > 0 })
		b.mu.Lock() // let them go one by one, as they come
		if len(b.held) > 3 {
			t.Errorf("%d in flight", len(b.held))
		}
		b.held[0].settle()
		b.held = b.held[1:]
		b.mu.Unlock()
		c.receive()
	}
}

// CVE-2026-35554: a buffer goes to another request only when nothing reads from it any more.
// Over all connections, requests that are in memory are bounded; small ones go on all the same.
func TestQueuedBytes(t *testing.T) {
	b := newFakeBroker()
	b.hold = true
	const size = 90_000
	l, address, _ := serve(t, b, func(c *ListenerConfig) { c.MaxRequestBytes, c.QueuedMaxBytes = 100_000, 100_000 })
	clients := make([]*client, 4)
	for i := range clients {
		clients[i] = dial(t, address)
		clients[i].send(1, produceRequest(-1, size))
		// The first fits, the second exceeds the limit as the only one that may, the others wait.
		until(func() bool { return b.holding() == min(i+1, 2) && waitingForBytes(l) == max(i-1, 0) })
	}
	small := dial(t, address)
	small.send(1, versionsRequest())
	small.receive()
	clients[2].Close() // gone while it waits: known when it is let in
	b.letGo()
	for _, i := range []int{0, 1, 3} {
		clients[i].receive()
	}
	until(func() bool { return heldBytes(l) == 0 })
}

func waitingForBytes(l *Listener) int {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	return len(l.budget.begun) + len(l.budget.waiting)
}

func heldBytes(l *Listener) int64 {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	return l.budget.held
}

func TestBuffersAreNotShared(t *testing.T) {
	b := newFakeBroker()
	_, address, _ := serve(t, b, nil)
	var wg sync.WaitGroup
	for range 8 {
		c := dial(t, address)
		wg.Go(func() {
			for i := range int32(50) {
				c.send(i, produceRequest(-1, 5000+int(i)*37))
				if got, _, err := receive(c); err != nil || got != i {
					t.Errorf("answer %d, %v", got, err)
				}
			}
		})
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // settle late, in bursts
		defer close(done)
		for {
			b.letGo()
			b.mu.Lock()
			b.hold = true
			b.mu.Unlock()
			select {
			case <-stop:
				b.letGo()
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-done
	if b.corrupted > 0 {
		t.Errorf("%d batches changed while they were in flight", b.corrupted)
	}
}

// What has been received is answered, long polls at once; then all is closed.
func TestShutdownIsGraceful(t *testing.T) {
	b := newFakeBroker()
	b.hold = true
	waiting := make(chan struct{})
	b.onWatch = func() { close(waiting) }
	l, address, _ := serve(t, b, nil)
	polling, producing, idle := dial(t, address), dial(t, address), dial(t, address)
	polling.send(1, fetchRequest(1<<30))
	<-waiting
	producing.send(2, produceRequest(-1, 10))
	until(func() bool { return b.holding() == 1 })
	down := make(chan error)
	go func() { down <- l.Shutdown(context.Background()) }()
	if got, _ := polling.receive(); got != 1 {
		t.Errorf("answer %d", got)
	}
	idle.ended()
	if nc, err := net.Dial("tcp", address); err == nil {
		nc.Close()
		t.Error("still accepting")
	}
	select {
	case err := <-down:
		t.Errorf("did not wait for the produce in flight: %v", err)
	default:
	}
	b.letGo()
	if got, _ := producing.receive(); got != 2 {
		t.Errorf("answer %d", got)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownCutsInTheEnd(t *testing.T) {
	b := newFakeBroker()
	b.hold = true
	l, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, produceRequest(-1, 10))
	until(func() bool { return b.holding() == 1 })
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Shutdown(over); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	c.ended()
}

func TestServeAfterShutdown(t *testing.T) {
	l, _, _ := serve(t, newFakeBroker(), nil)
	if err := l.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Serve(ln); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket was left open: %v", err)
	}
}

func TestListenerConfig(t *testing.T) {
	for name, change := range map[string]func(*ListenerConfig){
		"connections":    func(c *ListenerConfig) { c.MaxConnections = 0 },
		"request bytes":  func(c *ListenerConfig) { c.MaxRequestBytes = 1023 },
		"idle timeout":   func(c *ListenerConfig) { c.IdleTimeout = 0 },
		"requests":       func(c *ListenerConfig) { c.MaxInFlightRequests = 0 },
		"per address":    func(c *ListenerConfig) { c.MaxConnectionsPerIP = 0 },
		"all requests":   func(c *ListenerConfig) { c.QueuedMaxBytes = int64(c.MaxRequestBytes) - 1 },
		"in-flight size": func(c *ListenerConfig) { c.MaxInFlightBytes = 0 },
	} {
		c := DefaultListenerConfig()
		change(&c)
		if _, err := NewListener(c, &handler.Dispatcher{}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
