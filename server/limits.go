package server

import (
	"math"
	"strconv"

	"balsa/server/cluster"
)

// connectionLimits returns the limits of the Kafka listener as they are configured now.
func (s *Server) connectionLimits() ConnectionLimits {
	image := s.machine.Image()
	number := func(name string, otherwise int) int {
		// The value was checked when it was set.
		if n, err := strconv.Atoi(s.resolver.BrokerValue(image, name)); err == nil {
			return n
		}
		return otherwise
	}
	limits := ConnectionLimits{
		All:       number(cluster.ConfigMaxConnections, s.config.MaxConnections),
		PerIP:     number(cluster.ConfigMaxConnectionsPerIP, s.config.MaxConnectionsPerIP),
		PerSecond: math.Inf(1),
	}
	if rate := number(cluster.ConfigMaxConnectionRate, math.MaxInt32); rate < math.MaxInt32 {
		limits.PerSecond = float64(rate)
	}
	return limits
}
