package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
)

func encodeFrame(typ frameType, id uint64, body []byte) []byte {
	b := make([]byte, frameHeaderLen, frameHeaderLen+len(body))
	putFrameHeader(b, typ, id, len(body))
	return append(b, body...)
}

func TestFrameRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, 4096, firstRead - 1, firstRead, firstRead + 1, 3*firstRead + 7} {
		body := bytes.Repeat([]byte{7}, size)
		f, err := readFrame(bytes.NewReader(encodeFrame(frameAppend, 99, body)), &buffers{})
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if f.typ != frameAppend || f.id != 99 || !bytes.Equal(f.body, body) {
			t.Errorf("size %d: got type %d id %d and %d bytes", size, f.typ, f.id, len(f.body))
		}
	}
}

func TestFrameRefusesLyingLengths(t *testing.T) {
	for _, n := range []uint32{0, 8, maxFrame + frameHeaderLen, 1 << 31, 1<<32 - 1} {
		b := encodeFrame(frameVote, 1, nil)
		binary.BigEndian.PutUint32(b, n)
		if _, err := readFrame(bytes.NewReader(b), &buffers{}); !errors.Is(err, errFrame) {
			t.Errorf("length %d: err = %v, want a malformed frame", n, err)
		}
	}
}

func TestFrameGivesMemoryAsBytesArrive(t *testing.T) {
	b := encodeFrame(frameAppend, 1, nil)
	binary.BigEndian.PutUint32(b, maxFrame) // claims 256 MiB and sends none
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readFrame(bytes.NewReader(b), &buffers{}); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("err = %v, want an end of file", err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2*firstRead {
		t.Errorf("allocated %d bytes for a frame of which none came", got)
	}
}

func FuzzInboundBodies(f *testing.F) {
	f.Add(uint8(frameAppend), appendHeader{count: 1, batches: true}.appendTo(nil))
	f.Add(uint8(frameVote), vote{term: 3}.appendTo(nil))
	f.Add(uint8(frameHello), hello{from: 1, to: 2}.appendTo(nil))
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		switch frameType(typ) {
		case frameAppend:
			if _, req, err := decodeAppend(2, body); err == nil && len(req.Entries) > len(body) {
				t.Errorf("%d entries from %d bytes", len(req.Entries), len(body))
			}
		case frameVote:
			_ = (&reader{b: body}).vote()
		case frameSnapshot:
			_, _ = (&reader{b: body}).snapshotRequest(2)
		case frameHello:
			_, _ = decodeHello(body)
		case frameCall:
			_, _ = decodePosition(body)
		}
	})
}
