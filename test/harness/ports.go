package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePorts returns n ports on loopback that nothing listens on. They lie below the range from which the kernel takes the
// ports of outgoing connections, so that a node that restarts finds its port free.
func FreePorts(n int) ([]int, error) {
	const low, high = 20_000, 32_000
	for range 100 {
		base := low + rand.IntN(high-low-n)
		ports := make([]int, 0, n)
		for p := base; p < base+n && portFree(p); p++ {
			ports = append(ports, p)
		}
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports between %d and %d: none in 100 tries", n, low, high)
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
