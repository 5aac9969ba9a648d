package conversation

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestEveryVersion asks a running broker in every version of every API that it announces, with an empty request and with one that has
// something in every field: each is answered in that version, with an answer that encodes to the same bytes again. The versions
// next to those that are announced end the connection, and nothing else.
func TestEveryVersion(t *testing.T) {
	address := startNode(t)
	ask := func(t *testing.T, c *connection, req kmsg.Request, version int16) string {
		t.Helper()
		text, err := c.ask(Turn{Request: req, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	announced := announced(t, address)
	if len(announced) < 60 {
		t.Errorf("only %d APIs are announced", len(announced))
	}
	for _, api := range announced {
		key := kmsg.Key(api.ApiKey)
		t.Run(key.Name(), func(t *testing.T) {
			c, err := connect(address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			for version := max(api.MinVersion, leastServed(key)); version <= api.MaxVersion; version++ {
				for _, full := range []bool{false, true} {
					req := key.Request()
					req.SetVersion(version)
					if full {
						fill(reflect.ValueOf(req).Elem())
					}
					if p, ok := req.(*kmsg.ProduceRequest); ok {
						p.Acks = -1 // with 0 there is no answer
					}
					if text := ask(t, c, req, version); text == closed {
						t.Fatalf("v%d, full %v: %s", version, full, text)
					}
				}
			}
			for _, version := range []int16{api.MinVersion - 1, api.MaxVersion + 1} {
				if version < 0 || version > key.Request().MaxVersion() {
					continue
				}
				other, err := connect(address)
				if err != nil {
					t.Fatal(err)
				}
				text := ask(t, other, key.Request(), version)
				other.close()
				if (text == closed) == (key == kmsg.ApiVersions) { // only this one is answered in any version
					t.Errorf("v%d: %s", version, text)
				}
			}
		})
	}
}

// leastServed is the first version that is answered as what it is: older ones of Produce are announced for the sake of old clients,
// and refused.
func leastServed(key kmsg.Key) int16 {
	if key == kmsg.Produce {
		return 3
	}
	return 0
}

func announced(t *testing.T, address string) []kmsg.ApiVersionsResponseApiKey {
	t.Helper()
	c, err := connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "conversation", "1"
	resp, err := c.response(Turn{Request: req, Version: 4})
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.ApiVersionsResponse).ApiKeys
}

// fill puts something into every field: one element into each array, a name into each string. Numbers keep their defaults, because
// what they mean differs too much.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if d, ok := v.Index(0).Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for _, field := range v.Fields() {
			fill(field)
		}
	default: // see above
	}
}

// TestFill: the tests above are worth what fill does.
func TestFill(t *testing.T) {
	req := kmsg.NewPtrCreateTopicsRequest()
	fill(reflect.ValueOf(req).Elem())
	if got := fmt.Sprintf("%d %s %d %d %s", len(req.Topics), req.Topics[0].Topic, len(req.Topics[0].ReplicaAssignment),
		len(req.Topics[0].Configs), *req.Topics[0].Configs[0].Value); got != "1 x 1 1 x" {
		t.Errorf("filled: %s", got)
	}
}
