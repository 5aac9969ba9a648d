//go:build !linux

package network

import "net"

// writeMore writes b; only Linux can be told that more follows.
func writeMore(c *net.TCPConn, b []byte) error {
	_, err := c.Write(b)
	return err
}
