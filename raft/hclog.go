package raft

import (
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// hclogAdapter passes hashicorp/raft's log lines to slog, all at debug level: what an operator must know (links and
// leaders coming and going, replicas failing) this package says itself, once a node rather than once a group.
type hclogAdapter struct {
	logger *slog.Logger
	name   string
}

func newHclog(logger *slog.Logger) hclog.Logger { return &hclogAdapter{logger: logger} }

func (a *hclogAdapter) Log(level hclog.Level, msg string, args ...any) {
	if !a.logger.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	a.logger.Debug("raft: "+strings.ToLower(level.String())+": "+msg, args...)
}

func (a *hclogAdapter) Trace(string, ...any)          {}
func (a *hclogAdapter) Debug(msg string, args ...any) { a.Log(hclog.Debug, msg, args...) }
func (a *hclogAdapter) Info(msg string, args ...any)  { a.Log(hclog.Info, msg, args...) }
func (a *hclogAdapter) Warn(msg string, args ...any)  { a.Log(hclog.Warn, msg, args...) }
func (a *hclogAdapter) Error(msg string, args ...any) { a.Log(hclog.Error, msg, args...) }
func (a *hclogAdapter) IsTrace() bool                 { return false }
func (a *hclogAdapter) IsDebug() bool                 { return a.enabled() }
func (a *hclogAdapter) IsInfo() bool                  { return a.enabled() }
func (a *hclogAdapter) IsWarn() bool                  { return a.enabled() }
func (a *hclogAdapter) IsError() bool                 { return a.enabled() }
func (a *hclogAdapter) enabled() bool                 { return a.logger.Enabled(context.Background(), slog.LevelDebug) }
func (a *hclogAdapter) ImpliedArgs() []any            { return nil }
func (a *hclogAdapter) With(args ...any) hclog.Logger {
	return &hclogAdapter{a.logger.With(args...), a.name}
}
func (a *hclogAdapter) Name() string                     { return a.name }
func (a *hclogAdapter) Named(name string) hclog.Logger   { return &hclogAdapter{a.logger, name} }
func (a *hclogAdapter) ResetNamed(n string) hclog.Logger { return &hclogAdapter{a.logger, n} }
func (a *hclogAdapter) SetLevel(hclog.Level)             {}
func (a *hclogAdapter) GetLevel() hclog.Level            { return hclog.Debug }
func (a *hclogAdapter) StandardLogger(*hclog.StandardLoggerOptions) *stdlog.Logger {
	return slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug)
}
func (a *hclogAdapter) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
