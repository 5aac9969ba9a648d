package server

import (
	"log/slog"
	"math"
	"strconv"

	"balsa/server/cluster"
	"balsa/server/network"
)

// LeveledHandler is a slog.Handler whose level can be changed while the broker runs, as Kafka's can with the configs of BROKER_LOGGER.
type LeveledHandler interface {
	slog.Handler
	LogLevel() *slog.LevelVar
}

// logLevel returns the level of the broker's log, nil if it cannot be changed.
func (s *Server) logLevel() *slog.LevelVar {
	if h, ok := s.logger.Handler().(LeveledHandler); ok {
		return h.LogLevel()
	}
	return nil
}

// connectionLimits returns the limits of the Kafka listener as they are configured now.
func (s *Server) connectionLimits() network.ConnectionLimits {
	image := s.machine.Image()
	number := func(name string, otherwise int) int {
		// The value was checked when it was set.
		if n, err := strconv.Atoi(s.resolver.BrokerValue(image, name)); err == nil {
			return n
		}
		return otherwise
	}
	limits := network.ConnectionLimits{
		All:       number(cluster.ConfigMaxConnections, s.config.MaxConnections),
		PerIP:     number(cluster.ConfigMaxConnectionsPerIP, s.config.MaxConnectionsPerIP),
		PerSecond: math.Inf(1),
	}
	if rate := number(cluster.ConfigMaxConnectionRate, math.MaxInt32); rate < math.MaxInt32 {
		limits.PerSecond = float64(rate)
	}
	return limits
}
