package main

import (
	"context"
	"errors"
	"log/slog"

	"balsa/server/config"
)

// broker is what cmd needs of server.Server.
type broker interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}

func newServer(config.Config, *slog.Logger) (broker, error) {
	return nil, errors.New("this build has no server yet")
}
