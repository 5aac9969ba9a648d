package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/harness"
)

// frame prefixes a request with its length.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// header is a request header of version 1.
func header(key, version int16, correlation int32) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	return append(b, 0, 4, 't', 'e', 's', 't')
}

// malformed are inputs that a broker may refuse in any way it likes, as long as it stays well.
func malformed() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 64<<10)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	metadata := append(header(3, 1, 1), 0x7f, 0xff, 0xff, 0xff) // a list of 2^31-1 topics in no bytes
	inputs := map[string][]byte{
		"random bytes":           random,
		"a request of TLS":       []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		"a request of HTTP":      []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"length 2 GiB":           binary.BigEndian.AppendUint32(nil, 1<<31-1),
		"negative length":        binary.BigEndian.AppendUint32(nil, 1<<31),
		"length 0":               frame(nil),
		"truncated header":       frame([]byte{0, 3}),
		"a frame cut off":        frame(header(3, 1, 1))[:9],
		"unknown API":            frame(header(9999, 0, 1)),
		"negative API":           frame(header(-1, 0, 1)),
		"unknown version":        frame(header(3, 999, 1)),
		"Metadata, lying count":  frame(metadata),
		"client id beyond frame": frame([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff}),
	}
	for _, key := range []int16{0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 22, 32, 44} {
		body := header(key, 0, 1)
		for range 64 {
			body = append(body, byte(rng.Uint32()))
		}
		inputs[fmt.Sprintf("random body of API %d", key)] = frame(body)
	}
	return inputs
}

// send writes input and waits until the broker answers or closes; what it answers is its own business.
func send(t *testing.T, addr string, input []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	if _, err := conn.Write(input); err != nil {
		return // closed already
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return
	}
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection is neither answered nor closed")
	}
}

func TestMalformedInput(t *testing.T) {
	c := start(t, 1)
	createTopic(t, c, "well", 1)
	cl := client(t, c) // its connections are open all the while
	n := 0
	well := func() {
		t.Helper()
		if got := produce(t, cl, "well", fmt.Sprint(n)); got != int64(n) {
			t.Errorf("record %d got offset %d", n, got)
		}
		n++
	}
	well()
	for name, input := range malformed() {
		t.Run(name, func(t *testing.T) { send(t, c.Nodes[0].Address, input) })
		well()
	}
	if !c.Nodes[0].Running() {
		t.Fatal("the broker died")
	}
	if got := consume(t, c, "well", kgo.NewOffset().At(0), n); len(got) != n {
		t.Errorf("read %d records, wrote %d", len(got), n)
	}
}

// TestHugeLengthsCostNoMemory opens many connections that each claim a request of the greatest length that is
// accepted, and then send little of it.
func TestHugeLengthsCostNoMemory(t *testing.T) {
	c := start(t, 1)
	addr, pid := c.Nodes[0].Address, c.Nodes[0].PID()
	before, err := harness.Memory(pid)
	must(t, err)
	for _, length := range []uint32{100 << 20, 1<<31 - 1} {
		for range 250 {
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			t.Cleanup(func() { conn.Close() })
			_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, length), header(0, 9, 1)...))
			must(t, err)
		}
	}
	// Another client is served meanwhile, which also shows that the lengths were read.
	cl := client(t, c)
	createTopic(t, c, "served", 1)
	for i := range 20 {
		produce(t, cl, "served", fmt.Sprint(i))
	}
	after, err := harness.Memory(pid)
	must(t, err)
	if grown := after - before; grown > 64<<20 {
		t.Errorf("500 connections that claim up to 2 GiB each cost %d MiB", grown>>20)
	}
}

// TestUnsupportedApiVersions asks as a client of the future does: the answer, of version 0, says what is there.
func TestUnsupportedApiVersions(t *testing.T) {
	c := start(t, 1)
	conn, err := net.Dial("tcp", c.Nodes[0].Address)
	must(t, err)
	defer conn.Close()
	_, err = conn.Write(frame(append(header(18, 99, 7), 0))) // 0: no tagged fields
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	var length [4]byte
	_, err = io.ReadFull(conn, length[:])
	must(t, err)
	body := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err = io.ReadFull(conn, body)
	must(t, err)
	if correlation := binary.BigEndian.Uint32(body); correlation != 7 {
		t.Errorf("correlation id %d, want 7", correlation)
	}
	response := kmsg.NewPtrApiVersionsResponse() // version 0
	must(t, response.ReadFrom(body[4:]))
	if response.ErrorCode != kerr.UnsupportedVersion.Code {
		t.Errorf("error code %d, want UNSUPPORTED_VERSION", response.ErrorCode)
	}
	if len(response.ApiKeys) == 0 {
		t.Error("the answer names no API")
	}
}
