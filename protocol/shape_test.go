package protocol

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// filler fills a message with random values.
type filler struct{ rng *rand.Rand }

func (f filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(f.rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.rng.Uint64()))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(uint64(f.rng.IntN(256)))
	case reflect.Float64:
		v.SetFloat(f.rng.NormFloat64())
	case reflect.String:
		v.SetString(string(make([]byte, f.rng.IntN(300))))
	case reflect.Pointer:
		if f.rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Slice:
		n := f.rng.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			f.tags(v)
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" {
				f.fill(v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("message has a %s", v.Type()))
	}
}

func (f filler) tags(v reflect.Value) {
	if f.rng.IntN(4) == 0 {
		tags, _ := v.Addr().Interface().(*kmsg.Tags)
		tags.Set(100+f.rng.Uint32N(1<<20), make([]byte, f.rng.IntN(5)))
	}
}

// everyRequest calls f for each version of each request that we decode.
func everyRequest(t *testing.T, f func(t *testing.T, key, version int16)) {
	t.Helper()
	for key := range shapes {
		for version := range kmsg.RequestForKey(key).MaxVersion() + 1 {
			t.Run(fmt.Sprintf("%s/v%d", kmsg.NameForKey(key), version), func(t *testing.T) { f(t, key, version) })
		}
	}
}

func randomRequest(rng *rand.Rand, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	filler{rng}.fill(reflect.ValueOf(req).Elem())
	req.SetVersion(version)
	return req
}

// The shapes are transcribed by hand; kmsg's encoder is the judge of them: the walk must end at its last byte.
func TestShapesMatchEncoder(t *testing.T) {
	everyRequest(t, func(t *testing.T, key, version int16) {
		rng := rand.New(rand.NewPCG(uint64(key), uint64(version)))
		for range 200 {
			req := randomRequest(rng, key, version)
			body := req.AppendTo(nil)
			s := shapes[key]
			w := walker{src: body, flexible: req.IsFlexible()}
			w.walk(&s, version)
			if w.bad || len(w.src) != 0 {
				t.Fatalf("walk: bad %v, %d of %d bytes left, of %+v", w.bad, len(w.src), len(body), req)
			}
			got, err := DecodeRequest(RequestHeader{Key: key, Version: version}, body)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if again := got.AppendTo(nil); !bytes.Equal(again, body) {
				t.Fatalf("decoded and encoded again:\n%x\nwant\n%x", again, body)
			}
		}
	})
}

// Every proper prefix is a lie of some length, except where only bytes that the version ignores are missing.
func TestDecodeTruncated(t *testing.T) {
	everyRequest(t, func(t *testing.T, key, version int16) {
		rng := rand.New(rand.NewPCG(uint64(key), uint64(version)))
		body := randomRequest(rng, key, version).AppendTo(nil)
		for n := range body {
			if _, err := DecodeRequest(RequestHeader{Key: key, Version: version}, body[:n:n]); err == nil {
				t.Fatalf("first %d of %d bytes decoded", n, len(body))
			}
		}
	})
}

// A count of tags is up to 2^32 and takes five bytes: kmsg alone would count to it.
func TestDecodeTagBomb(t *testing.T) {
	everyRequest(t, func(t *testing.T, key, version int16) {
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if !req.IsFlexible() {
			return
		}
		body := req.AppendTo(nil)
		body = append(body[:len(body)-1], 0xff, 0xff, 0xff, 0xff, 0x0f)
		start := time.Now()
		_, err := DecodeRequest(RequestHeader{Key: key, Version: version}, body)
		if err == nil {
			t.Error("4 billion tags in no bytes were accepted")
		}
		if d := time.Since(start); d > 5*time.Second { // kmsg takes a minute
			t.Errorf("it took %v", d)
		}
	})
}

func TestTagLimit(t *testing.T) {
	for _, test := range []struct {
		tags int
		ok   bool
	}{{maxTags, true}, {maxTags + 1, false}} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version = 3
		for i := range test.tags {
			req.UnknownTags.Set(uint32(i), nil)
		}
		_, err := DecodeRequest(RequestHeader{Key: 18, Version: 3}, req.AppendTo(nil))
		if (err == nil) != test.ok {
			t.Errorf("%d tags: %v", test.tags, err)
		}
	}
}

func TestElementLimit(t *testing.T) {
	for _, test := range []struct {
		elements int
		ok       bool
	}{{freeElements, true}, {freeElements + 1, false}} {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = make([]string, test.elements)
		_, err := DecodeRequest(RequestHeader{Key: 15, Version: 0}, req.AppendTo(nil))
		if (err == nil) != test.ok {
			t.Errorf("%d groups: %v", test.elements, err)
		}
	}
}

// TestTypesAreNoElements: a record's acknowledgement takes one byte, on the wire and decoded.
func TestTypesAreNoElements(t *testing.T) {
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.Version = 2
	types := make([]int8, 4*freeElements)
	req.Topics = []kmsg.ShareAcknowledgeRequestTopic{{Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{
		AcknowledgementBatches: []kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch{{AcknowledgeTypes: types}},
	}}}}
	if _, err := DecodeRequest(RequestHeader{Key: 79, Version: 2}, req.AppendTo(nil)); err != nil {
		t.Errorf("%d types: %v", len(types), err)
	}
}

// hostile returns a body of about size bytes (negative: of so many elements) that is as expensive to decode as the layout allows: the smallest possible
// elements, in the array at position which of all arrays in the message.
func hostile(s *shape, version int16, flexible bool, which *int, size int) []byte {
	var b []byte
	length := func(n int) {
		if flexible {
			for v := uint32(n + 1); ; v >>= 7 {
				if v < 0x80 {
					b = append(b, byte(v))
					return
				}
				b = append(b, byte(v)|0x80)
			}
		}
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	switch s.kind {
	case fixed:
		b = make([]byte, s.size)
	case text:
		if flexible {
			b = []byte{1}
		} else {
			b = []byte{0, 0}
		}
	case blob:
		length(0)
	case array:
		*which--
		chosen := *which == 0
		if *which < 0 {
			length(0)
			break
		}
		elem := hostile(&s.fields[0], version, flexible, which, size)
		n := 1
		if chosen {
			if n = size / len(elem); size < 0 {
				n = -size
			}
		}
		length(n)
		b = append(b, bytes.Repeat(elem, n)...)
	case record:
		for i := range s.fields {
			if f := &s.fields[i]; version >= f.from && version <= f.to {
				b = append(b, hostile(f, version, flexible, which, size)...)
			}
		}
		if flexible {
			b = append(b, 0)
		}
	}
	return b
}

// allocated returns how many bytes decoding body allocates.
func allocated(key, version int16, body []byte) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = DecodeRequest(RequestHeader{Key: key, Version: version}, body)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What a request makes us allocate is at most 8 times its size, or what a request of freeElements elements costs, which
// is the price of letting in honest requests with many short names.
func TestDecodeAmplification(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps append(a, make([]T, n)...) from being one allocation")
	}
	const perElement = 160
	var worstRatio float64
	var worstFew uint64
	everyRequest(t, func(t *testing.T, key, version int16) {
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		// The layout's extremes: the first version, the first flexible one, the last.
		before := kmsg.RequestForKey(key)
		before.SetVersion(version - 1)
		if version > 0 && version < req.MaxVersion() && before.IsFlexible() == req.IsFlexible() {
			return
		}
		s := shapes[key]
		for which := 1; which <= 6; which++ {
			left := which
			// Many elements, and counts that claim more than there is.
			body := hostile(&s, version, req.IsFlexible(), &left, 1<<20)
			if left > 0 {
				break // no such array
			}
			for _, n := range []int{len(body), len(body) / 16} {
				got := allocated(key, version, body[:n])
				worstRatio = math.Max(worstRatio, float64(got)/float64(n))
				if got > 8*uint64(n)+64<<10 {
					t.Errorf("array %d: %d bytes allocated for %d", which, got, n)
				}
			}
			// As many as are free, each as small as can be.
			left = which
			body = hostile(&s, version, req.IsFlexible(), &left, -(freeElements - 3))

			got := allocated(key, version, body)
			worstFew = max(worstFew, got)
			if got > freeElements*perElement+64<<10 {
				t.Errorf("array %d: %d bytes allocated for %d", which, got, len(body))
			}
		}
	})
	t.Logf("worst: %.1f times a large request, %d bytes for a small one", worstRatio, worstFew)
}

func TestShapeNotation(t *testing.T) {
	for _, bad := range []string{"x", "[4", "{4", "4@x", "<a: 4>", "]", "4 }", "0"} {
		if _, err := parseShape(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
