//go:build programs

package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/test/harness"
)

// worker is a process of a Connect cluster.
type worker struct {
	*harness.Process
	url string // of its REST interface
}

// TestConnect copies a file to a file through a topic with Kafka Connect in distributed mode: two workers, exactly-once
// support for sources, a file source and a file sink. The worker that runs the tasks is stopped on the way.
func TestConnect(t *testing.T) {
	s := newSuite(t)
	workers := []worker{s.connectWorker(0), s.connectWorker(1)}
	for _, w := range workers {
		s.Eventually("Connect's REST interface", patience, func(ctx context.Context) error {
			return w.call(ctx, http.MethodGet, "/connectors", nil, nil)
		})
	}
	from, to := s.write("from.txt", ""), filepath.Join(s.Dir, "to.txt")
	var want []string
	more := func(n int) {
		file, err := os.OpenFile(from, os.O_APPEND|os.O_WRONLY, 0)
		s.Must(err)
		defer file.Close()
		for range n {
			line := fmt.Sprintf("line %d of the file", len(want))
			want = append(want, line)
			_, err := fmt.Fprintln(file, line)
			s.Must(err)
		}
	}
	more(1000)
	s.Eventually("create the connectors", patience, func(ctx context.Context) error {
		for name, config := range map[string]map[string]string{
			"source": {"connector.class": "FileStreamSource", "tasks.max": "1", "file": from, "topic": "lines", "exactly.once.support": "required"},
			"sink":   {"connector.class": "FileStreamSink", "tasks.max": "1", "file": to, "topics": "lines"},
		} {
			if err := workers[0].call(ctx, http.MethodPut, "/connectors/"+name+"/config", config, nil); err != nil {
				return err
			}
		}
		return nil
	})
	s.awaitFile(to, want)
	var status struct {
		Tasks []struct {
			State    string
			WorkerID string `json:"worker_id"`
		}
	}
	s.Must(workers[0].call(s.Within(patience), http.MethodGet, "/connectors/sink/status", nil, &status))
	if len(status.Tasks) != 1 || status.Tasks[0].State != "RUNNING" {
		t.Fatalf("the sink's status: %+v", status)
	}
	busy := 0
	if strings.Contains(workers[1].url, status.Tasks[0].WorkerID) {
		busy = 1
	}
	s.Must(exit143(workers[busy].Stop(patience)))
	more(1000)
	s.awaitFile(to, want)
	s.Must(workers[1-busy].call(s.Within(patience), http.MethodDelete, "/connectors/source", nil, nil))
	t.Logf("%d lines copied, through a rebalance, each once and in order", len(want))
}

// exit143 forgives a JVM its exit status after SIGTERM.
func exit143(err error) error {
	if err != nil && strings.Contains(err.Error(), "exit status 143") {
		return nil
	}
	return err
}

// connectWorker starts a worker of the Connect cluster.
func (s *suite) connectWorker(i int) worker {
	s.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.Must(err)
	address := listener.Addr().String()
	s.Must(listener.Close())
	rf := fmt.Sprint(s.replication)
	config := s.write(fmt.Sprintf("connect-%d.properties", i), properties(
		"bootstrap.servers="+s.bootstrap,
		"group.id=connect-cluster",
		"key.converter=org.apache.kafka.connect.storage.StringConverter",
		"value.converter=org.apache.kafka.connect.storage.StringConverter",
		"config.storage.topic=connect-configs", "config.storage.replication.factor="+rf,
		"offset.storage.topic=connect-offsets", "offset.storage.replication.factor="+rf, "offset.storage.partitions=5",
		"status.storage.topic=connect-status", "status.storage.replication.factor="+rf,
		"exactly.once.source.support=enabled",
		"offset.flush.interval.ms=1000",
		"scheduled.rebalance.max.delay.ms=1000",
		"plugin.path="+s.plugins(),
		"listeners=HTTP://"+address,
	))
	return worker{s.background(fmt.Sprintf("connect-%d", i), s.java("384m", "org.apache.kafka.connect.cli.ConnectDistributed", config)), "http://" + address}
}

// plugins is a plugin path with the file connectors alone.
func (s *suite) plugins() string {
	s.Helper()
	jars, err := filepath.Glob(filepath.Join(s.module(), "target", "libs", "connect-file-*.jar"))
	s.Must(err)
	dir := filepath.Join(s.Dir, "plugins")
	for _, jar := range jars {
		data, err := os.ReadFile(jar)
		s.Must(err)
		s.write(filepath.Join("plugins", "file", filepath.Base(jar)), string(data))
	}
	return dir
}

// call sends a request to the REST interface and decodes the answer into result unless that is nil.
func (w worker) call(ctx context.Context, method, path string, body, result any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

// awaitFile waits until a file holds exactly the given lines.
func (s *suite) awaitFile(path string, want []string) {
	s.Helper()
	s.Eventually(fmt.Sprintf("%d lines in %s", len(want), filepath.Base(path)), 3*time.Minute, func(context.Context) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got := slices.Collect(strings.Lines(string(data)))
		for i, line := range got {
			if i >= len(want) || line != want[i]+"\n" {
				s.Fatalf("%s, line %d of %d: %q", path, i+1, len(got), line)
			}
		}
		if len(got) < len(want) {
			return fmt.Errorf("%d lines", len(got))
		}
		return nil
	})
}
