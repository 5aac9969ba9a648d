package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"golang.org/x/term"

	"balsa/log/vfs"
	"balsa/server"
	"balsa/server/config"
)

// serverCmd runs a broker. The flags of the group "Settings" are settings of [config.Config] under the same name;
// they are strings here, because parsing and validation belong to one place for all sources.
type serverCmd struct {
	Config string `env:"BALSA_CONFIG" type:"existingfile" placeholder:"FILE" help:"YAML file with settings (environment ${env})."`

	DataDir          string `group:"Settings" placeholder:"DIR" help:"Where the logs are kept (default data)."`
	Listen           string `group:"Settings" placeholder:"HOST:PORT" help:"Address for Kafka clients (default localhost:9092)."`
	Advertise        string `group:"Settings" placeholder:"HOST:PORT" help:"Address that clients are told to use (default: --listen)."`
	NodeID           string `group:"Settings" name:"node-id" placeholder:"N" help:"Id of this node in the cluster (default 1)."`
	PeerListen       string `group:"Settings" placeholder:"HOST:PORT" help:"Address for the other nodes (default: this node's entry in --peers)."`
	Peers            string `group:"Settings" placeholder:"ID@HOST:PORT,..." help:"All nodes of the cluster, this one included; none: a single node."`
	Join             string `group:"Settings" placeholder:"HOST:PORT,..." help:"Peer addresses of a cluster that this node joins, if it has no data."`
	Rack             string `group:"Settings" placeholder:"NAME" help:"Rack or zone of this node; replicas spread over racks."`
	AutoCreateTopics bool   `group:"Settings" aliases:"auto-create" negatable:"" help:"Create a topic when a client first uses it (default true)."`
	NumPartitions    string `group:"Settings" placeholder:"N" help:"Partitions of a topic that does not say (default 1)."`
	LogLevel         string `group:"Settings" placeholder:"LEVEL" help:"debug, info, warn or error (default info)."`
	LogFormat        string `group:"Settings" placeholder:"FORMAT" help:"text or json (default text)."`

	Other kong.Plugins `embed:""` // the settings that few people change, see otherSettings

	PrintConfig bool `help:"Print all settings with their values as YAML and exit."`
}

// otherSettings makes a flag of every setting that serverCmd does not declare, so that no setting can be forgotten. They
// are left out of the help, which would drown in them; --print-config lists them.
func otherSettings() kong.Plugins {
	declared := map[string]bool{}
	for field := range reflect.TypeFor[serverCmd]().Fields() {
		declared[flagName(field)] = true
	}
	var fields []reflect.StructField
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		name := field.Tag.Get("koanf")
		if field.Anonymous || declared[name] {
			continue
		}
		kind, extra := reflect.TypeFor[string](), ""
		if field.Type.Kind() == reflect.Bool {
			kind, extra = reflect.TypeFor[bool](), ` negatable:""`
		}
		fields = append(fields, reflect.StructField{
			Name: field.Name, Type: kind,
			Tag: reflect.StructTag(fmt.Sprintf(`name:%q group:"Settings" hidden:""%s`, name, extra)),
		})
	}
	return kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}
}

// flagName is the name that kong gives to the flag of a field.
func flagName(field reflect.StructField) string {
	if name := field.Tag.Get("name"); name != "" {
		return name
	}
	var b strings.Builder
	for i, r := range field.Name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Help is shown below the flags.
func (c *serverCmd) Help() string {
	return `A server without flags is a working single node that keeps its data in ./data.

Settings come from flags, BALSA_ environment variables (--data-dir is BALSA_DATA_DIR), the YAML file (data-dir: ...)
and defaults, in this order. There are more settings than shown: --print-config lists all, each is a flag too.
SIGINT and SIGTERM stop the server gracefully: leadership moves away first.

One node of three:
  balsa server --node-id 1 --data-dir data/1 --listen 127.0.0.1:19092 \
    --peers 1@127.0.0.1:19192,2@127.0.0.1:19193,3@127.0.0.1:19194`
}

// Run serves until the context ends.
func (c *serverCmd) Run(ctx context.Context, std *streams, parsed *kong.Context) error {
	cfg, err := loadConfig(c.Config, os.Environ(), settingFlags(parsed))
	if err != nil {
		return err
	}
	if c.PrintConfig {
		return printConfig(std.out, cfg)
	}
	logger := newLogger(std.err, cfg.LogLevel, cfg.LogFormat)
	prepareProcess(logger)
	srv, err := server.New(cfg, logger)
	if err != nil {
		return startError(cfg, err)
	}
	go func() {
		if awaitReady(ctx, srv.Ready(), cfg, logger) {
			greet(std.err, cfg)
		}
	}()
	return startError(cfg, srv.Run(ctx))
}

// patience is how long a start may be silent before it says what it waits for.
const patience = 3 * time.Second

// awaitReady returns true when the broker serves. A node of a cluster serves only once a majority of the nodes runs,
// and a person who has started the first of them should read why nothing happens.
func awaitReady(ctx context.Context, ready <-chan struct{}, cfg config.Config, logger *slog.Logger) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-ready:
			return true
		case <-ctx.Done():
			return false
		case <-timer.C:
			if majority := len(cfg.Peers)/2 + 1; len(cfg.Peers) > 1 {
				logger.Warn("not serving yet: waiting for other nodes", "node", cfg.NodeID, "needed", majority, "peers", cfg.Peers)
			} else {
				logger.Warn("not serving yet: still recovering", "node", cfg.NodeID, "data-dir", cfg.DataDir)
			}
		}
	}
}

// settingFlags collects the settings given as flags. Only those: a flag that was not given must not hide the
// environment or the file.
func settingFlags(parsed *kong.Context) map[string]any {
	settings := map[string]any{}
	for _, flag := range parsed.Flags() {
		if flag.Group != nil && flag.Group.Key == "Settings" && flag.Set {
			settings[flag.Name] = flag.Target.Interface()
		}
	}
	return settings
}

// printConfig writes the configuration in the format of the file.
func printConfig(w io.Writer, cfg config.Config) error {
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// newLogger writes structured lines: key=value for people, JSON for collectors.
func newLogger(w io.Writer, level, format string) *slog.Logger {
	threshold := new(slog.LevelVar) // info
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		threshold.Set(slog.LevelInfo)
	}
	options := &slog.HandlerOptions{Level: threshold}
	if format == "json" {
		return slog.New(leveled{slog.NewJSONHandler(w, options), threshold})
	}
	return slog.New(leveled{slog.NewTextHandler(w, options), threshold})
}

// leveled lets the server change the level while it runs (server.LeveledHandler).
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

func (l leveled) LogLevel() *slog.LevelVar { return l.level }

// prepareProcess adapts the process to its machine. None of it is worth refusing to start.
func prepareProcess(logger *slog.Logger) {
	if limit, err := raiseFileLimit(); err != nil {
		logger.Warn("could not raise the limit of open files", "err", err)
	} else if limit < wantedFiles {
		logger.Warn("few open files allowed; a broker keeps several per partition", "limit", limit, "wanted", wantedFiles)
	}
	// In a container the kernel kills the process at the cgroup's limit, which Go's collector does not know of.
	if _, err := memlimit.Set(memlimit.WithRatio(0.8), memlimit.WithLogger(slog.New(slog.DiscardHandler))); err != nil {
		logger.Debug("no memory limit found", "reason", err)
	} else {
		logger.Debug("memory limit", "bytes", debug.SetMemoryLimit(-1))
	}
}

// greet tells a person at a terminal what is served and what to type next. Everyone else gets the server's log lines.
func greet(w io.Writer, cfg config.Config) {
	file, ok := w.(*os.File)
	if !ok || cfg.LogFormat != "text" || !term.IsTerminal(int(file.Fd())) {
		return
	}
	brokers := ""
	if cfg.Advertised() != config.Default().Listen {
		brokers = " -b " + cfg.Advertised()
	}
	fmt.Fprintf(w, "\nbalsa serves Kafka clients on %s, data in %s (Ctrl-C stops). Try:\n"+
		"  echo hello | balsa produce greetings%s\n  balsa consume greetings%s\n\n", cfg.Advertised(), cfg.DataDir, brokers, brokers)
}

// startError adds what to do about the mistakes that people make when they start a server.
func startError(cfg config.Config, err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	pathError, _ := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another process listens there, maybe another balsa; choose another address with --listen or --peer-listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine does not have that address; use --listen 0.0.0.0:PORT with --advertise HOST:PORT"
	case errors.Is(err, os.ErrPermission):
		hint = "check the permissions of " + cfg.DataDir + ", or choose another directory with --data-dir"
	case errors.Is(err, syscall.ENOSPC):
		hint = "the disk of " + cfg.DataDir + " is full"
	case errors.Is(err, vfs.ErrLocked):
		hint = "another balsa uses that data directory; stop it, or choose another with --data-dir"
	case pathError != nil:
		hint = "choose another directory with --data-dir"
	}
	return failf(hint, "%w", err)
}
