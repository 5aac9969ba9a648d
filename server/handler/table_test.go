package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/bytepool"
	"balsa/protocol"
)

// served is api-table.md for the APIs that are served: key, minimum, maximum.
var served = map[int16][2]int16{
	0: {0, 13}, 1: {4, 18}, 2: {1, 11}, 3: {0, 13}, 8: {2, 10}, 9: {1, 10}, 10: {0, 6}, 11: {0, 9}, 12: {0, 4}, 13: {0, 5},
	14: {0, 5}, 15: {0, 6}, 16: {0, 5}, 18: {0, 4}, 19: {2, 7}, 20: {1, 6}, 21: {0, 2}, 22: {0, 5}, 23: {2, 4}, 24: {0, 5}, 25: {0, 4}, 26: {0, 5}, 27: {1, 2}, 28: {0, 5}, 32: {1, 4},
	33: {0, 2}, 35: {1, 5}, 37: {0, 3}, 42: {0, 2}, 44: {0, 1}, 47: {0, 0}, 60: {0, 2}, 65: {0, 0}, 66: {0, 2},
	43: {0, 2}, 45: {0, 1}, 46: {0, 0}, 55: {0, 2}, 64: {0, 0}, 75: {0, 0},
	17: {0, 1}, 29: {1, 3}, 30: {1, 3}, 31: {1, 3}, 34: {1, 2}, 36: {0, 2}, 38: {1, 3}, 39: {1, 2}, 40: {1, 2}, 41: {1, 3},
	48: {0, 1}, 49: {0, 1}, 50: {0, 0}, 51: {0, 0}, 57: {0, 2}, 68: {0, 1}, 69: {0, 1}, 71: {0, 0}, 72: {0, 0}, 74: {0, 1}, 76: {1, 1}, 77: {1, 1}, 78: {1, 2}, 79: {1, 2}, 88: {0, 0}, 89: {0, 0}, 90: {0, 1}, 91: {0, 0}, 92: {0, 0}, 61: {0, 0},
}

func TestServedVersions(t *testing.T) {
	w := newWorld(t)
	for version := int16(0); version <= 4; version++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "test", "1.0"
		resp := ask[*kmsg.ApiVersionsResponse](w, req)
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != len(served) {
			t.Fatalf("v%d: error %d, %d keys, want %d", version, resp.ErrorCode, len(resp.ApiKeys), len(served))
		}
		for i, k := range resp.ApiKeys {
			if want := served[k.ApiKey]; want != [2]int16{k.MinVersion, k.MaxVersion} {
				t.Errorf("v%d: %s is %d..%d, want %v", version, kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion, want)
			}
			if i > 0 && k.ApiKey <= resp.ApiKeys[i-1].ApiKey {
				t.Errorf("v%d: %s is out of order", version, kmsg.NameForKey(k.ApiKey))
			}
		}
	}
	if got := w.session.Software(); got != (Software{"test", "1.0"}) {
		t.Errorf("software %+v", got)
	}
}

func TestApiVersionsOfTheFuture(t *testing.T) {
	w := newWorld(t)
	req := kmsg.NewPtrApiVersionsRequest()
	for _, version := range []int16{5, 99} {
		req.Version = version
		p := w.start(context.Background(), req)
		reply := p.Finish(context.Background())
		resp, ok := reply.Message.(*kmsg.ApiVersionsResponse)
		if !ok || resp.Version != 0 || resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 {
			t.Fatalf("v%d: %+v", version, reply.Message)
		}
		if k := resp.ApiKeys[0]; k.ApiKey != 18 || k.MinVersion != 0 || k.MaxVersion != 4 {
			t.Errorf("v%d: %+v", version, k)
		}
	}
}

func TestApiVersionsSoftwareName(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, version string
		want          int16
	}{
		{"apache-kafka-java", "4.3.1", 0},
		{"a", "1", 0},
		{"", "", kerr.InvalidRequest.Code},
		{"bad name", "1", kerr.InvalidRequest.Code},
		{"ok", "-1", kerr.InvalidRequest.Code},
		{"ok\n", "1", kerr.InvalidRequest.Code},
	} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, test.name, test.version
		if got := ask[*kmsg.ApiVersionsResponse](w, req).ErrorCode; got != test.want {
			t.Errorf("%q %q: %d, want %d", test.name, test.version, got, test.want)
		}
	}
}

// Every version that is announced decodes, is answered, and its answer decodes again to the last byte.
func TestEveryAnnouncedVersionAnswers(t *testing.T) {
	for _, a := range apis() {
		for version := a.min; version <= a.max; version++ {
			t.Run(fmt.Sprintf("%s/v%d", a.key.Name(), version), func(t *testing.T) {
				w := newWorld(t)
				w.control = func(req kmsg.Request) (kmsg.Response, error) { return req.ResponseKind(), nil }
				req := a.key.Request()
				req.SetVersion(version)
				fillSmall(req)
				if resp := w.answer(w.start(context.Background(), req), req); resp.GetVersion() != version {
					t.Errorf("answered in version %d", resp.GetVersion())
				}
			})
		}
	}
}

// fillSmall gives a request what makes its handler do something.
func fillSmall(req kmsg.Request) {
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		p := kmsg.NewProduceRequestTopicPartition()
		p.Records = records(2)
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.TopicID, rt.Partitions = "t", idT, []kmsg.ProduceRequestTopicPartition{p}
		r.Acks, r.TimeoutMillis, r.Topics = -1, 1000, []kmsg.ProduceRequestTopic{rt}
	case *kmsg.FetchRequest:
		r.ReplicaID = -1
		p := kmsg.NewFetchRequestTopicPartition()
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID, rt.Partitions = "t", idT, []kmsg.FetchRequestTopicPartition{p}
		r.Topics = []kmsg.FetchRequestTopic{rt}
	case *kmsg.MetadataRequest:
		if r.Version >= 1 {
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = kmsg.StringPtr("t")
			r.Topics = []kmsg.MetadataRequestTopic{rt}
		}
	case *kmsg.InitProducerIDRequest:
		r.ProducerID, r.ProducerEpoch = -1, -1
	case *kmsg.WriteTxnMarkersRequest:
		rt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		rt.Topic, rt.Partitions = "t", []int32{0, 9}
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.Topics = 5, []kmsg.WriteTxnMarkersRequestMarkerTopic{rt}
		r.Markers = []kmsg.WriteTxnMarkersRequestMarker{m}
	case *kmsg.FindCoordinatorRequest:
		r.CoordinatorKey, r.CoordinatorKeys = "g", []string{"g", "h"}
	case *kmsg.ShareGroupHeartbeatRequest:
		r.GroupID, r.MemberID, r.SubscribedTopicNames = "g", "m", []string{"t"}
	case *kmsg.ShareGroupDescribeRequest:
		r.GroupIDs = []string{"g"}
	case *kmsg.DescribeShareGroupOffsetsRequest:
		r.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "g"}}
	case *kmsg.ShareFetchRequest:
		p := kmsg.NewShareFetchRequestTopicPartition()
		rt := kmsg.NewShareFetchRequestTopic()
		rt.TopicID, rt.Partitions = idT, []kmsg.ShareFetchRequestTopicPartition{p}
		r.GroupID, r.MemberID, r.MaxRecords = kmsg.StringPtr("g"), kmsg.StringPtr("m"), 500
		r.Topics = []kmsg.ShareFetchRequestTopic{rt}
	case *kmsg.ShareAcknowledgeRequest:
		r.GroupID, r.MemberID = kmsg.StringPtr("g"), kmsg.StringPtr("m")
	case *kmsg.ListOffsetsRequest:
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic, rt.Partitions = "t", []kmsg.ListOffsetsRequestTopicPartition{kmsg.NewListOffsetsRequestTopicPartition()}
		r.Topics = []kmsg.ListOffsetsRequestTopic{rt}
	}
}

func TestUnservedRequests(t *testing.T) {
	tests := []struct {
		name    string
		key     kmsg.Key
		version int16
		want    error
	}{
		{"an API of brokers", kmsg.LeaderAndISR, 0, protocol.ErrUnknownAPI},
		{"an API of controllers", kmsg.Vote, 0, protocol.ErrUnknownAPI},
		{"no API at all", kmsg.Key(999), 0, protocol.ErrUnknownAPI},
		{"below the minimum", kmsg.Fetch, 3, ErrUnsupportedVersion},
		{"above the maximum, known to kmsg", kmsg.DeleteGroups, 3, ErrUnsupportedVersion},
		{"above what kmsg knows", kmsg.Fetch, 99, protocol.ErrUnknownAPI},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := []byte{0, 0, 0, 11, byte(uint16(test.key) >> 8), byte(test.key), byte(test.version >> 8), byte(test.version), 0, 0, 0, 1, 0xff, 0xff, 0}
			frame, err := protocol.NewFrameReader(bytes.NewReader(raw), new(bytepool.Pool), 1<<20).Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := newWorld(t).session.Start(context.Background(), frame); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// Random bytes behind a valid header: answered or refused, never a panic, and never an answer that does not decode.
func FuzzDispatch(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, a := range apis() {
		req := a.key.Request()
		req.SetVersion(a.min + int16(rng.IntN(int(a.max-a.min+1))))
		fillSmall(req)
		f.Add(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := protocol.NewFrameReader(bytes.NewReader(in), new(bytepool.Pool), 1<<20).Next()
		if err != nil {
			return
		}
		w := newWorld(t)
		w.control = func(req kmsg.Request) (kmsg.Response, error) { return req.ResponseKind(), nil }
		over, cancel := context.WithCancel(context.Background())
		cancel() // nobody waits
		p, err := w.session.Start(over, frame)
		if err != nil {
			return
		}
		reply := p.Finish(over)
		if reply.Message != nil || reply.Frame != nil {
			encoded(t, p, &reply)
		}
		reply.Release()
		p.Release()
	})
}

func TestApiVersionsFeatures(t *testing.T) {
	w := newWorld(t)
	w.image.Version = 7
	w.image.Features = map[string]int16{"group.version": 0, "share.version": 1, "transaction.version": 2, "metadata.version": 30}
	for version := int16(0); version <= 4; version++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "test", "1.0"
		resp := ask[*kmsg.ApiVersionsResponse](w, req)
		var supported, finalized []string
		for _, f := range resp.SupportedFeatures {
			supported = append(supported, fmt.Sprintf("%s=%d-%d", f.Name, f.MinVersion, f.MaxVersion))
		}
		for _, f := range resp.FinalizedFeatures {
			finalized = append(finalized, fmt.Sprintf("%s=%d-%d", f.Name, f.MinVersionLevel, f.MaxVersionLevel))
		}
		want := [3]string{"[]", "[]", "-1"}
		if version >= 3 {
			want = [3]string{"[metadata.version=7-30]", "[metadata.version=30-30 share.version=1-1 transaction.version=2-2]", "7"}
		}
		if version >= 4 {
			want[0] = "[group.version=0-1 metadata.version=7-30 share.version=0-1 transaction.version=0-2]"
		}
		if got := [3]string{fmt.Sprint(supported), fmt.Sprint(finalized), fmt.Sprint(resp.FinalizedFeaturesEpoch)}; got != want {
			t.Errorf("v%d: %v, want %v", version, got, want)
		}
	}
}
