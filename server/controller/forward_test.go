package controller

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

func TestForwardGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := kmsg.NewPtrAllocateProducerIDsRequest()
		req.BrokerID, req.BrokerEpoch = 2, 3
		const want = "01" + "0043" + "0000" + "000003e8" + "00000002" + "0000000000000003" + "00"
		got := encodeRequest(ctx, req)
		if hex.EncodeToString(got) != want {
			t.Errorf("%x, want %s", got, want)
		}
		decoded, left, err := decodeRequest(got)
		if err != nil || left != time.Second || !reflect.DeepEqual(decoded, req) {
			t.Errorf("%+v, %v, %v", decoded, left, err)
		}
	})
}

func TestAnswerRoundTrip(t *testing.T) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	resp := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	resp.ProducerIDStart = 7
	got, err := decodeAnswer(encodeAnswer(statusOK, answer{resp, 99}), req)
	if err != nil || got.version != 99 || !reflect.DeepEqual(got.response, resp) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := decodeAnswer(encodeAnswer(statusNotLeader, answer{}), req); !errors.Is(err, raft.ErrNotLeader) || errors.Is(err, errForwarded) {
		t.Errorf("not the leader: %v", err)
	}
	if _, err := decodeAnswer(encodeAnswer(statusUnsettled, answer{}), req); !errors.Is(err, errForwarded) {
		t.Errorf("unsettled: %v", err)
	}
	if _, err := decodeAnswer(nil, req); !errors.Is(err, errForwarded) || !errors.Is(err, errMalformed) {
		t.Errorf("empty: %v", err)
	}
}

func TestServeRefuses(t *testing.T) {
	good := encodeRequest(t.Context(), createTopic("t"))
	for name, change := range map[string]func([]byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"short":           func(b []byte) []byte { return b[:requestHeader-1] },
		"other format":    func(b []byte) []byte { b[0] = 2; return b },
		"not served":      func(b []byte) []byte { b[2] = byte(kmsg.Metadata); return b },
		"unknown version": func(b []byte) []byte { b[4] = 100; return b },
		"truncated body":  func(b []byte) []byte { return b[:len(b)-3] },
		"4 billion tags":  func(b []byte) []byte { return append(b[:len(b)-1], 0xff, 0xff, 0xff, 0xff, 0x0f) },
	} {
		if req, _, err := decodeRequest(change(bytes.Clone(good))); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %+v, %v", name, req, err)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(encodeRequest(f.Context(), createTopic("t")))
	f.Add(encodeRequest(f.Context(), kmsg.NewPtrAllocateProducerIDsRequest()))
	f.Fuzz(func(t *testing.T, b []byte) {
		req, _, err := decodeRequest(b)
		if err != nil {
			return
		}
		again, _, err := decodeRequest(encodeRequest(t.Context(), req))
		if err != nil || again.Key() != req.Key() || again.GetVersion() != req.GetVersion() {
			t.Fatalf("%+v became %+v, %v", req, again, err)
		}
	})
}
