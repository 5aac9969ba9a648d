// Package conversation holds a fixed conversation with a Kafka broker and the answers that Apache Kafka gave to it, so that
// balsa's answers can be compared field by field with those of the real thing.
//
// The answers are in testdata. To record them anew, run a single node of Apache Kafka with an empty data directory and
//
//	go test ./test/conversation -run TestConversation -record 127.0.0.1:9092
package conversation

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTime is how long a broker may take for one answer.
const answerTime = 20 * time.Second

// Turn is one request of the conversation. A turn with Reconnect begins a connection of its own.
type Turn struct {
	Name      string
	Request   kmsg.Request
	Version   int16
	Reconnect bool
}

// closed is the answer of a broker that closes the connection instead.
const closed = "connection closed\n"

// Play holds the conversation with the broker at address, with a pause after each answer, and returns the answers as text, in
// order. Kafka needs the pause: it answers before a change shows everywhere.
func Play(address string, turns []Turn, pause time.Duration) ([]string, error) {
	var c *connection
	defer func() { c.close() }()
	answers := make([]string, 0, len(turns))
	for _, t := range turns {
		if c == nil || t.Reconnect {
			c.close()
			var err error
			if c, err = connect(address); err != nil {
				return nil, fmt.Errorf("connect for %s: %w", t.Name, err)
			}
		}
		text, err := c.ask(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		if text == closed {
			c.close()
			c = nil
		}
		answers = append(answers, text)
		time.Sleep(pause)
	}
	return answers, nil
}

// connection is one connection to a broker; nil is none.
type connection struct {
	net.Conn
	correlation int32
}

func connect(address string) (*connection, error) {
	nc, err := net.DialTimeout("tcp", address, answerTime)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: nc}, nil
}

func (c *connection) close() {
	if c != nil {
		_ = c.Close()
	}
}

// ask sends one request and renders the answer.
func (c *connection) ask(t Turn) (string, error) {
	resp, err := c.response(t)
	switch {
	case errors.Is(err, errClosed):
		return closed, nil
	case err != nil:
		return "", err
	}
	return render(resp)
}

var errClosed = errors.New("connection closed")

// response sends one request and returns the answer, which has to be canonical: encoding it again must give the same bytes, so that
// comparing its fields is comparing its bytes.
func (c *connection) response(t Turn) (kmsg.Response, error) {
	c.correlation++
	t.Request.SetVersion(t.Version)
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return nil, err
	}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("conversation")).AppendRequest(nil, t.Request, c.correlation)
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	raw, err := readFrame(c)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET):
		return nil, errClosed
	case err != nil:
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(raw)); got != c.correlation {
		return nil, fmt.Errorf("answer to request %d, want %d", got, c.correlation)
	}
	body := raw[4:]
	resp := t.Request.ResponseKind()
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	if resp.Key() == int16(kmsg.ApiVersions) && binary.BigEndian.Uint16(body) == 35 {
		resp.SetVersion(0) // the answer to a version that is not served
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		return nil, fmt.Errorf("the answer is not canonical:\n%x\n%x", body, again)
	}
	return resp, nil
}

// render shows a response as JSON, with a line for each element of an array, and no commas between those. Arrays are sorted: most of Kafka's are in the order
// of a hash map.
func render(resp kmsg.Response) (string, error) {
	if err := sortArrays(reflect.ValueOf(resp).Elem()); err != nil {
		return "", err
	}
	text, err := json.Marshal(resp)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(`,"UnknownTags":{}`, "", "},{", "}\n {", "[{", "[\n {", "}]", "}\n]").Replace(string(text)) + "\n", nil
}

// sortArrays sorts arrays of structs, the inner ones first.
func sortArrays(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return sortArrays(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if err := sortArrays(field); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return nil
		}
		keys := make([]string, v.Len())
		for i := range keys {
			if err := sortArrays(v.Index(i)); err != nil {
				return err
			}
			text, err := json.Marshal(v.Index(i).Interface())
			if err != nil {
				return err
			}
			keys[i] = string(text)
		}
		sort.Sort(byKey{keys, reflect.Swapper(v.Interface())})
	default: // nothing inside
	}
	return nil
}

// byKey sorts something by keys that are kept beside it.
type byKey struct {
	keys []string
	swap func(i, j int)
}

func (b byKey) Len() int           { return len(b.keys) }
func (b byKey) Less(i, j int) bool { return b.keys[i] < b.keys[j] }
func (b byKey) Swap(i, j int) {
	b.keys[i], b.keys[j] = b.keys[j], b.keys[i]
	b.swap(i, j)
}

// readFrame reads an answer without its length.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
