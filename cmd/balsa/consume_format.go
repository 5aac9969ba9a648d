package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// printer returns the function that prints one record.
func (c *consumeCmd) printer() (func(*bufio.Writer, *kgo.Record) error, error) {
	if c.Output == "json" {
		if c.Format != "" {
			return nil, usagef("", "--format and --output json exclude each other")
		}
		return printRecordJSON, nil
	}
	layout := c.Format
	if layout == "" {
		layout = `%v\n`
	}
	parts, err := parseFormat(layout, "balsa consume", verb)
	if err != nil {
		return nil, err
	}
	return func(w *bufio.Writer, record *kgo.Record) error { return printParts(w, parts, record) }, nil
}

func printParts(w *bufio.Writer, parts []formatPart, record *kgo.Record) error {
	for _, part := range parts {
		if _, err := w.Write(part(record)); err != nil {
			return err
		}
	}
	return nil
}

type formatPart func(*kgo.Record) []byte

// verbs are kcat's, plus %v for the value as in most other tools.
func verb(letter byte) formatPart {
	number := func(n int64) []byte { return strconv.AppendInt(nil, n, 10) }
	switch letter {
	case 'v', 's':
		return func(r *kgo.Record) []byte { return r.Value }
	case 'k':
		return func(r *kgo.Record) []byte { return r.Key }
	case 't':
		return func(r *kgo.Record) []byte { return []byte(r.Topic) }
	case 'p':
		return func(r *kgo.Record) []byte { return number(int64(r.Partition)) }
	case 'o':
		return func(r *kgo.Record) []byte { return number(r.Offset) }
	case 'T':
		return func(r *kgo.Record) []byte { return number(r.Timestamp.UnixMilli()) }
	case 'V', 'S':
		return func(r *kgo.Record) []byte { return lengthOf(r.Value) }
	case 'K':
		return func(r *kgo.Record) []byte { return lengthOf(r.Key) }
	case 'h':
		return func(r *kgo.Record) []byte { return []byte(headerList(r.Headers)) }
	case '%':
		return func(*kgo.Record) []byte { return []byte{'%'} }
	}
	return nil
}

// lengthOf is -1 for null, as in the protocol.
func lengthOf(b []byte) []byte {
	if b == nil {
		return []byte("-1")
	}
	return strconv.AppendInt(nil, int64(len(b)), 10)
}

func headerList(headers []kgo.RecordHeader) string {
	var b strings.Builder
	for i, header := range headers {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(header.Key)
		b.WriteByte('=')
		b.Write(header.Value)
	}
	return b.String()
}

// parseFormat compiles a format of a command once, so that printing does not look at it again for every record. verb returns
// nil for a letter that it does not know.
func parseFormat(layout, command string, verb func(letter byte) formatPart) ([]formatPart, error) {
	var parts []formatPart
	var text []byte
	flush := func() {
		if len(text) > 0 {
			literal := text
			parts = append(parts, func(*kgo.Record) []byte { return literal })
			text = nil
		}
	}
	for i := 0; i < len(layout); i++ {
		switch {
		case layout[i] == '%' && i+1 < len(layout):
			i++
			part := verb(layout[i])
			if part == nil {
				return nil, usagef("see `"+command+" --help`", "--format: unknown %%%c", layout[i])
			}
			flush()
			parts = append(parts, part)
		case layout[i] == '\\' && i+1 < len(layout):
			char, used, err := escape(layout[i+1:])
			if err != nil {
				return nil, err
			}
			text = append(text, char)
			i += used
		default:
			text = append(text, layout[i])
		}
	}
	flush()
	return parts, nil
}

// escape decodes what follows a backslash and says how many bytes that took.
func escape(rest string) (char byte, used int, err error) {
	switch rest[0] {
	case 'n':
		return '\n', 1, nil
	case 't':
		return '\t', 1, nil
	case 'r':
		return '\r', 1, nil
	case '0':
		return 0, 1, nil
	case '\\':
		return '\\', 1, nil
	case 'x':
		if len(rest) >= 3 {
			if value, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
				return byte(value), 3, nil
			}
		}
	}
	return 0, 0, usagef(`known are \n \t \r \0 \\ \xNN`, `--format: unknown escape \%c`, rest[0])
}

// jsonRecord is one line of --output json. A key or value that is not UTF-8 is in its _base64 field instead.
type jsonRecord struct {
	Topic       string       `json:"topic"`
	Partition   int32        `json:"partition"`
	Offset      int64        `json:"offset"`
	Timestamp   int64        `json:"timestamp"` // milliseconds since the epoch
	Key         *string      `json:"key"`
	KeyBase64   string       `json:"key_base64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 string       `json:"value_base64,omitempty"`
	Headers     []jsonHeader `json:"headers,omitempty"`
}

type jsonHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"value_base64,omitempty"`
}

func printRecordJSON(w *bufio.Writer, record *kgo.Record) error {
	return printLine(w, newJSONRecord(record))
}

func newJSONRecord(record *kgo.Record) jsonRecord {
	line := jsonRecord{
		Topic: record.Topic, Partition: record.Partition, Offset: record.Offset, Timestamp: record.Timestamp.UnixMilli(),
	}
	line.Key, line.KeyBase64 = textOrBase64(record.Key)
	line.Value, line.ValueBase64 = textOrBase64(record.Value)
	for _, header := range record.Headers {
		h := jsonHeader{Key: header.Key}
		h.Value, h.ValueBase64 = textOrBase64(header.Value)
		line.Headers = append(line.Headers, h)
	}
	return line
}

// printLine writes a document on one line.
func printLine(w io.Writer, line any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(line)
}

func textOrBase64(b []byte) (text *string, encoded string) {
	if b == nil {
		return nil, ""
	}
	if !utf8.Valid(b) {
		return nil, base64.StdEncoding.EncodeToString(b)
	}
	s := string(b)
	return &s, ""
}
