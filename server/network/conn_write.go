package network

import (
	"fmt"
	"net"
	"time"

	"balsa/log"
	"balsa/protocol"
	"balsa/server/handler"
)

const (
	// writeChunk is how much of a response a client has to receive within the idle timeout.
	writeChunk = 256 << 10
	// keptOut is the largest encoding buffer that a connection keeps between responses.
	keptOut = 64 << 10
)

// write sends a reply, if there is one to send.
func (c *conn) write(correlationID int32, r *handler.Reply) error {
	switch {
	case r.Message != nil:
		c.out = protocol.AppendResponse(c.out[:0], correlationID, r.Message)
		err := c.writeBytes(c.out, false)
		if cap(c.out) > keptOut {
			c.out = nil
		}
		return err
	case r.Frame != nil:
		return c.writeFrame(r)
	default:
		return nil
	}
}

// writeFrame sends a frame with the records at their places: file ranges go from the page cache to the socket without
// passing through this process.
func (c *conn) writeFrame(r *handler.Reply) error {
	from := 0
	for i, cut := range r.Cuts {
		if err := c.writeBytes(r.Frame[from:cut], true); err != nil {
			return err
		}
		from = cut
		for _, piece := range r.Records[i].Ranges {
			if err := c.writeRange(piece); err != nil {
				return err
			}
		}
	}
	return c.writeBytes(r.Frame[from:], false)
}

// writeBytes sends b. With more, something follows at once, and the kernel may put both into one packet.
func (c *conn) writeBytes(b []byte, more bool) error {
	for len(b) > 0 {
		chunk := b[:min(len(b), writeChunk)]
		b = b[len(chunk):]
		if err := c.writeSoon(); err != nil {
			return err
		}
		var err error
		if tcp, ok := c.nc.(*net.TCPConn); ok && more && len(b) == 0 {
			err = writeMore(tcp, chunk)
		} else {
			_, err = c.nc.Write(chunk)
		}
		if err != nil {
			return fmt.Errorf("write response: %w", err)
		}
	}
	return nil
}

// writeRange sends a file range.
func (c *conn) writeRange(r log.Range) error {
	for sent := int64(0); sent < r.Len; {
		n := min(r.Len-sent, writeChunk)
		if err := c.writeSoon(); err != nil {
			return err
		}
		if err := r.Send(c.nc, sent, n); err != nil {
			return fmt.Errorf("write records: %w", err)
		}
		sent += n
	}
	return nil
}

func (c *conn) writeSoon() error {
	return c.nc.SetWriteDeadline(time.Now().Add(c.listener.config.IdleTimeout))
}
