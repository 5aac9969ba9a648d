package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"balsa/log/vfs"
	"balsa/server/config"
)

// write makes a configuration file.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "balsa.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigDefaults(t *testing.T) {
	got, err := loadConfig("", []string{"HOME=/root", "BALSA_BROKERS=x:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestConfigPrecedence(t *testing.T) {
	file := write(t, "data-dir: from-file\nrack: from-file\nlog-level: debug\nnum-partitions: 7\nshutdown-grace: 3s\n")
	environ := []string{"BALSA_RACK=from-env", "BALSA_LOG_LEVEL=warn", "BALSA_AUTO_CREATE_TOPICS=false", "BALSA_MAX_REQUEST_BYTES=2000000"}
	got, err := loadConfig(file, environ, map[string]any{"log-level": "error"})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.DataDir, want.NumPartitions, want.ShutdownGrace = "from-file", 7, 3*time.Second
	want.Rack, want.AutoCreate, want.MaxRequestBytes = "from-env", false, 2_000_000
	want.LogLevel = "error"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestConfigPeers(t *testing.T) {
	want := []config.Peer{{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:2"}}
	file := write(t, "peers:\n- 1@a:1\n- 2@b:2\nnode-id: 2\n")
	for name, load := range map[string]func() (config.Config, error){
		"file": func() (config.Config, error) { return loadConfig(file, nil, nil) },
		"environment": func() (config.Config, error) {
			return loadConfig("", []string{"BALSA_PEERS=1@a:1,2@b:2", "BALSA_NODE_ID=2"}, nil)
		},
		"flags": func() (config.Config, error) {
			return loadConfig("", nil, map[string]any{"peers": "1@a:1, 2@b:2", "node-id": "2"})
		},
	} {
		got, err := load()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got.Peers, want) || got.PeerListen != "b:2" {
			t.Errorf("%s: peers %v, peer-listen %s", name, got.Peers, got.PeerListen)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, test := range []struct {
		name, file string
		environ    []string
		flags      map[string]any
		want       []string
	}{
		{name: "unknown key", file: "data-dri: x", want: []string{"unknown key data-dri", "did you mean data-dir?"}},
		{name: "nested key", file: "log:\n  level: info", want: []string{"unknown key log"}},
		{name: "not YAML", file: "a: [", want: []string{"balsa.yaml"}},
		{name: "unknown variable", environ: []string{"BALSA_DATA_DIRS=x"}, want: []string{"BALSA_DATA_DIRS", "did you mean BALSA_DATA_DIR?"}},
		{name: "unlike anything", environ: []string{"BALSA_XYZZY=1"}, want: []string{"BALSA_XYZZY", "--print-config"}},
		{name: "not a number", flags: map[string]any{"num-partitions": "many"}, want: []string{"num-partitions"}},
		{name: "no unit", file: "shutdown-grace: 10", want: []string{"shutdown-grace", "10s"}},
		{name: "not a duration", environ: []string{"BALSA_SHUTDOWN_GRACE=soon"}, want: []string{"shutdown-grace", "soon"}},
		{name: "peers", flags: map[string]any{"peers": "localhost:1"}, want: []string{"id@host:port"}},
		{name: "invalid", flags: map[string]any{"log-level": "loud", "num-partitions": "0"}, want: []string{"log-level", "num-partitions"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := ""
			if test.file != "" {
				file = write(t, test.file)
			}
			_, err := loadConfig(file, test.environ, test.flags)
			var text strings.Builder
			if code := report(&text, err); code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%q does not mention %q", text.String(), want)
				}
			}
		})
	}
}

// Every setting is a flag, in the file and in the environment under one name, and --print-config prints a file that
// loads to the same.
func TestEverySettingIsEverywhere(t *testing.T) {
	stdout, stderr, code := balsa(t, "", "server", "--print-config", "--peers", "1@a:1,2@b:2", "--log-retention-ms", "5", "--no-delete-topics")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	printed, err := loadConfig(write(t, stdout), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := loadConfig("", nil, map[string]any{"peers": "1@a:1,2@b:2", "log-retention-ms": "5", "delete-topics": false})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(printed, want) {
		t.Errorf("printed %+v\nwant %+v", printed, want)
	}
	for _, name := range settingNames() {
		if name == "" || !strings.Contains(stdout, name+":") {
			t.Errorf("setting %q is not printed", name)
		}
		// An unknown flag is found before --help takes effect.
		_, stderr, _ := balsa(t, "", "server", "--"+name+"=x", "--help")
		if strings.Contains(stderr, "unknown flag") {
			t.Errorf("setting %s is no flag: %s", name, stderr)
		}
	}
}

func TestServerRefusesBadSettings(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "nonsense"},
		{"--log-level", "loud"},
		{"--node-id", "-1"},
		{"--peers", "2@localhost:1"},
		{"--config", "/does/not/exist.yaml"},
	} {
		_, stderr, code := balsa(t, "", append([]string{"server"}, args...)...)
		if code != exitUsage || !strings.Contains(stderr, "hint: ") {
			t.Errorf("balsa server %s: exit code %d, %s", strings.Join(args, " "), code, stderr)
		}
	}
}

// The commands against the broker of the same binary, from the first start to a graceful end.
func TestServerServes(t *testing.T) {
	address, dir := freeAddress(t), t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var output lockedBuffer
	ended := make(chan exitCode, 1)
	go func() {
		ended <- run(ctx, []string{"server", "--listen", address, "--data-dir", dir}, &streams{in: strings.NewReader(""), out: &output, err: &output})
	}()
	client := func(input string, args ...string) string {
		t.Helper()
		stdout, stderr, code := balsa(t, input, append(args, "--brokers", address)...)
		if code != exitOK {
			t.Fatalf("balsa %s: exit code %d\n%s\nserver:\n%s", strings.Join(args, " "), code, stderr, output.String())
		}
		return stdout
	}
	client("", "cluster", "status", "--wait", "30s")
	client("a:1\nb:2\n", "produce", "t", "--key-separator", ":", "--compression", "zstd")
	if got := client("", "consume", "t", "--exit", "--format", `%k=%v\n`); got != "a=1\nb=2\n" {
		t.Errorf("consumed %q", got)
	}
	if _, stderr, code := balsa(t, "", "server", "--listen", address, "--data-dir", t.TempDir()); code != exitFailed || !strings.Contains(stderr, "hint: another process listens there") {
		t.Errorf("a second server on the port: exit code %d, %s", code, stderr)
	}
	if _, stderr, code := balsa(t, "", "server", "--listen", "localhost:0", "--data-dir", dir); code != exitFailed || !strings.Contains(stderr, "hint: another balsa uses that data directory") {
		t.Errorf("a second server on the data: exit code %d, %s", code, stderr)
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("the server ended with exit code %d:\n%s", code, output.String())
	}
}

// freeAddress is a loopback address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// lockedBuffer is written by the server's goroutines and read by the test.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestAwaitReadySaysWhatItWaitsFor(t *testing.T) {
	peers := []config.Peer{{ID: 1, Address: "a:1"}, {ID: 2, Address: "b:1"}, {ID: 3, Address: "c:1"}}
	for name, test := range map[string]struct {
		cfg  config.Config
		want string
	}{
		"node of a cluster": {config.Config{NodeID: 1, Peers: peers}, "needed=2"},
		"single node":       {config.Config{NodeID: 1, DataDir: "d"}, "still recovering"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				ready := make(chan struct{})
				time.AfterFunc(2*patience, func() { close(ready) })
				if !awaitReady(t.Context(), ready, test.cfg, newLogger(&said, "info", "text")) {
					t.Error("did not see that the server is ready")
				}
				if !strings.Contains(said.String(), test.want) {
					t.Errorf("said %q", said.String())
				}
			})
		})
	}
}

func TestStartErrorsHaveHints(t *testing.T) {
	for _, cause := range []error{
		syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.ENOSPC, vfs.ErrLocked,
		&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.ENOTDIR}, &fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES},
	} {
		hint, code := explain(startError(config.Default(), fmt.Errorf("start: %w", cause)))
		if hint == "" || code != exitFailed {
			t.Errorf("%v: hint %q, exit code %d", cause, hint, code)
		}
	}
	if err := startError(config.Default(), nil); err != nil {
		t.Error(err)
	}
}
