package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// minHeaderLen is the part that all request headers share: API key, API version, correlation id.
const minHeaderLen = 8

// maxClientID bounds client.id, which is kept with group members and shown in logs. It is what a Kafka string can hold.
const maxClientID = 1<<15 - 1

var (
	// ErrMalformed means that bytes do not parse as what they claim to be.
	ErrMalformed = errors.New("malformed request")
	// ErrUnknownAPI means that no message is known for the API key and version.
	ErrUnknownAPI = errors.New("unknown API key or version")
)

// RequestHeader is a request's header: versions 1 and 2 (version 0 was ControlledShutdown's alone).
type RequestHeader struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string // null reads as ""
}

// ParseRequestHeader parses the header of any API that kmsg knows, and of ApiVersions in any version, and returns what
// comes after it. An API key that is not known is ErrUnknownAPI together with the fields that could be read.
func ParseRequestHeader(b []byte) (h RequestHeader, body []byte, err error) {
	if len(b) < minHeaderLen {
		return h, nil, fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(b))
	}
	h.Key = int16(binary.BigEndian.Uint16(b))
	h.Version = int16(binary.BigEndian.Uint16(b[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(b[4:]))
	flexible, err := headerFlexible(h.Key, h.Version)
	if err != nil {
		return h, nil, err
	}
	w := walker{src: b[minHeaderLen:]}
	// The client id stays an old-style string in header version 2 too.
	id := w.span(int(w.int16()), true)
	if w.bad || len(id) > maxClientID {
		return h, nil, fmt.Errorf("%w: client id", ErrMalformed)
	}
	h.ClientID = string(id)
	if flexible {
		w.tags(nil, h.Version)
		if w.bad {
			return h, nil, fmt.Errorf("%w: header tags", ErrMalformed)
		}
	}
	return h, w.src, nil
}

func headerFlexible(key, version int16) (bool, error) {
	req := kmsg.RequestForKey(key)
	if req == nil || version < 0 {
		return false, fmt.Errorf("%w: key %d, version %d", ErrUnknownAPI, key, version)
	}
	if version > req.MaxVersion() && key != int16(kmsg.ApiVersions) {
		return false, fmt.Errorf("%w: key %d, version %d", ErrUnknownAPI, key, version)
	}
	req.SetVersion(version)
	return req.IsFlexible(), nil
}

// DecodeRequest decodes the body that follows h. It first walks the body to see that every length and count in it is
// backed by bytes: kmsg asks for one byte per array element only, and loops over tag counts without looking at them at
// all, so that a few bytes could make it allocate gigabytes or spin for minutes. Byte fields of the result point into
// body; strings are copies.
func DecodeRequest(h RequestHeader, body []byte) (req kmsg.Request, err error) {
	req = kmsg.RequestForKey(h.Key)
	form, known := shapes[h.Key]
	if req == nil || !known || h.Version < 0 || h.Version > req.MaxVersion() {
		return nil, fmt.Errorf("%w: key %d, version %d", ErrUnknownAPI, h.Key, h.Version)
	}
	req.SetVersion(h.Version)
	if err := form.check(body, h.Version, req.IsFlexible()); err != nil {
		return nil, fmt.Errorf("%s v%d: %w", kmsg.NameForKey(h.Key), h.Version, err)
	}
	// The decoder is generated code of a library that was written for clients: a panic in it must cost one connection,
	// not the process.
	defer func() {
		if p := recover(); p != nil {
			req, err = nil, fmt.Errorf("%w: %s v%d: decoder: %v", ErrMalformed, kmsg.NameForKey(h.Key), h.Version, p)
		}
	}()
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: %s v%d: %w", ErrMalformed, kmsg.NameForKey(h.Key), h.Version, err)
	}
	return req, nil
}

// AppendResponse appends a whole response frame: length, header, body.
func AppendResponse(dst []byte, correlationID int32, resp kmsg.Response) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	// ApiVersions is answered with header version 0 always: the client that asks does not know yet what we speak.
	flexible := resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions)
	dst = appendResponseHeader(dst, correlationID, flexible)
	dst = resp.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func appendResponseHeader(dst []byte, correlationID int32, flexible bool) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if flexible {
		dst = append(dst, 0) // no tags
	}
	return dst
}
