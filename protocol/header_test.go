package protocol

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseRequestHeader(t *testing.T) {
	tests := []struct {
		name, in string
		want     RequestHeader
		body     string
		err      error
	}{
		{"v1", "0003" + "0004" + "00000007" + "0003616263" + "aabb", RequestHeader{3, 4, 7, "abc"}, "aabb", nil},
		{"v1, null client id", "0003" + "0004" + "ffffffff" + "ffff", RequestHeader{3, 4, -1, ""}, "", nil},
		{"v2", "0003" + "0009" + "00000007" + "0003616263" + "00" + "aa", RequestHeader{3, 9, 7, "abc"}, "aa", nil},
		{"v2, a tag", "0003" + "0009" + "00000007" + "ffff" + "01" + "0502aabb" + "cc", RequestHeader{3, 9, 7, ""}, "cc", nil},
		{"ApiVersions of the future", "0012" + "0063" + "00000001" + "ffff" + "00", RequestHeader{18, 99, 1, ""}, "", nil},
		{"unknown key", "7fff" + "0000" + "00000001" + "ffff", RequestHeader{32767, 0, 1, ""}, "", ErrUnknownAPI},
		{"negative key", "ffff" + "0000" + "00000001" + "ffff", RequestHeader{-1, 0, 1, ""}, "", ErrUnknownAPI},
		{"unknown version", "0003" + "0063" + "00000001" + "ffff", RequestHeader{3, 99, 1, ""}, "", ErrUnknownAPI},
		{"negative version", "0003" + "ffff" + "00000001" + "ffff", RequestHeader{3, -1, 1, ""}, "", ErrUnknownAPI},
		{"short", "000300", RequestHeader{}, "", ErrMalformed},
		{"no client id", "0003" + "0004" + "00000007" + "00", RequestHeader{3, 4, 7, ""}, "", ErrMalformed},
		{"client id too long", "0003" + "0004" + "00000007" + "0004616263", RequestHeader{3, 4, 7, ""}, "", ErrMalformed},
		{"lying tag", "0003" + "0009" + "00000007" + "ffff" + "01" + "05ff01aa", RequestHeader{3, 9, 7, ""}, "", ErrMalformed},
		{"4 billion tags", "0003" + "0009" + "00000007" + "ffff" + "ffffffff0f", RequestHeader{3, 9, 7, ""}, "", ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, body, err := ParseRequestHeader(unhex(t, test.in))
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil && (h != test.want || !bytes.Equal(body, unhex(t, test.body))) {
				t.Errorf("got %+v, body %x", h, body)
			}
			if errors.Is(err, ErrUnknownAPI) && (h.Key != test.want.Key || h.CorrelationID != test.want.CorrelationID) {
				t.Errorf("got %+v with the error", h)
			}
		})
	}
}

// What kmsg's client side writes, header included, is what we read.
func TestHeaderOfEveryRequest(t *testing.T) {
	everyRequest(t, func(t *testing.T, key, version int16) {
		req := randomRequest(rand.New(rand.NewPCG(2, uint64(key))), key, version)
		b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, req, 42)
		h, body, err := ParseRequestHeader(b[4:])
		if err != nil || h != (RequestHeader{key, version, 42, "me"}) {
			t.Fatalf("%+v, %v", h, err)
		}
		if !bytes.Equal(body, req.AppendTo(nil)) {
			t.Error("the body starts elsewhere")
		}
	})
}

func TestAppendResponse(t *testing.T) {
	apiVersions := kmsg.NewPtrApiVersionsResponse()
	apiVersions.Version = 3
	heartbeat := kmsg.NewPtrHeartbeatResponse()
	tests := []struct {
		name    string
		resp    kmsg.Response
		version int16
		want    string
	}{
		{"old header", heartbeat, 3, "0000000a" + "00000005" + "00000000" + "0000"},
		{"flexible header", heartbeat, 4, "0000000c" + "00000005" + "00" + "00000000" + "0000" + "00"},
		{"ApiVersions keeps header version 0", apiVersions, 3, "0000000c" + "00000005" + "0000" + "01" + "00000000" + "00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.resp.SetVersion(test.version)
			prefix := []byte("kept")
			got := AppendResponse(prefix, 5, test.resp)
			if want := append(prefix, unhex(t, test.want)...); !bytes.Equal(got, want) {
				t.Errorf("got %x, want %x", got, want)
			}
		})
	}
}

func TestErrorCode(t *testing.T) {
	tests := []struct {
		err  error
		want *kerr.Error
	}{
		{kerr.MessageTooLarge, kerr.MessageTooLarge},
		{fmt.Errorf("append: %w", kerr.InvalidRecord), kerr.InvalidRecord},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), kerr.RequestTimedOut},
		{context.Canceled, kerr.RequestTimedOut},
		{&syscallError{syscall.ENOSPC}, kerr.KafkaStorageError},
		{&syscallError{syscall.EIO}, kerr.KafkaStorageError},
		{errors.New("no idea"), kerr.UnknownServerError},
	}
	for _, test := range tests {
		if got := ErrorCode(test.err); got != test.want.Code {
			t.Errorf("%v: %d, want %v", test.err, got, test.want)
		}
	}
	if got := ErrorCode(nil); got != 0 {
		t.Errorf("nil: %d", got)
	}
}

type syscallError struct{ errno syscall.Errno }

func (e *syscallError) Error() string { return "write: " + e.errno.Error() }
func (e *syscallError) Unwrap() error { return e.errno }

// Whatever arrives: no panic, memory within bounds, and what is accepted is what kmsg would write.
func FuzzDecodeRequest(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for key := range shapes {
		for version := range kmsg.RequestForKey(key).MaxVersion() + 1 {
			req := randomRequest(rng, key, version)
			f.Add(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)[4:])
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, body, err := ParseRequestHeader(in)
		if err != nil {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		req, err := DecodeRequest(h, body)
		runtime.ReadMemStats(&after)
		// Below freeElements the cost is bounded by their number, whatever their size.
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(8*len(in)+freeElements*256); got > most {
			t.Errorf("%d bytes allocated for %d", got, len(in))
		}
		if err == nil && req.Key() != h.Key {
			t.Errorf("key %d decoded as %d", h.Key, req.Key())
		}
	})
}
