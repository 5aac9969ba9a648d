//go:build programs

package programs

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/harness"
)

var (
	streamsLines = flag.Int("lines", 60_000, "lines that the Streams word count counts")
	streamsRate  = flag.Int("line-rate", 1000, "lines per second")
	killEvery    = flag.Duration("kill-every", 10*time.Second, "time between kills of a node under the Streams word count")
)

const (
	wordsInput   = "lines"
	wordsOutput  = "word-counts"
	wordsPerLine = 5
	vocabulary   = 500
	application  = "word-count"
)

// TestStreams runs a Kafka Streams word count with exactly_once_v2 in two processes, while nodes are killed one after
// the other and, once, a process. The output must be exact: of each word the counts 1, 2, 3 and so on, each once.
func TestStreams(t *testing.T) {
	s := newSuite(t)
	s.CreateTopic(wordsInput, 4, s.replication)
	s.CreateTopic(wordsOutput, 4, s.replication)
	apps := []*harness.Process{s.wordCount(0), s.wordCount(1)}
	wrote := make(chan map[string]int, 1)
	go func() { wrote <- s.writeLines() }()
	var words map[string]int
	kills := 0
	for words == nil {
		select {
		case words = <-wrote:
			if words == nil {
				t.FailNow()
			}
			continue
		case <-time.After(*killEvery):
		}
		if len(s.Cluster.Nodes) > 1 {
			s.Must(s.Cluster.Restart(s.Within(patience), s.Cluster.Nodes[kills%len(s.Cluster.Nodes)], time.Second))
		}
		if kills++; kills == 2 {
			s.Must(apps[0].Kill())
			s.Must(apps[0].Start())
		}
	}
	s.awaitCounts(words)
	for _, app := range apps {
		if err := exit143(app.Stop(patience)); err != nil {
			t.Errorf("stop the application: %v", err)
		}
	}
	n := s.checkCounts(words)
	t.Logf("%d words of %d lines counted exactly, across %d kills", n, *streamsLines, kills)
	if len(s.Cluster.Nodes) > 1 && kills < 2 {
		t.Error("hardly any kills: the test proves nothing")
	}
}

// wordCount starts an instance of the application.
func (s *suite) wordCount(i int) *harness.Process {
	s.Helper()
	return s.background(fmt.Sprintf("word-count-%d", i), s.java("384m", "balsa.WordCount",
		s.bootstrap, application, wordsInput, wordsOutput, filepath.Join(s.Dir, fmt.Sprintf("state-%d", i))))
}

// writeLines writes the input at the configured rate and returns how often each word is in it, nil after an error.
func (s *suite) writeLines() map[string]int {
	cl := s.NewClient(s.Brokers, kgo.DefaultProduceTopic(wordsInput))
	rng := rand.New(rand.NewPCG(1, 2))
	words := map[string]int{}
	promise := kgo.AbortingFirstErrPromise(cl)
	started := time.Now()
	for i := range *streamsLines {
		line := make([]string, wordsPerLine)
		for w := range line {
			line[w] = fmt.Sprintf("word-%d", rng.IntN(vocabulary))
			words[line[w]]++
		}
		cl.Produce(s.Context(), &kgo.Record{Key: fmt.Append(nil, i), Value: []byte(strings.Join(line, " "))}, promise.Promise())
		time.Sleep(time.Until(started.Add(time.Duration(i) * time.Second / time.Duration(*streamsRate))))
	}
	if err := promise.Err(); err != nil {
		s.Errorf("write the input: %v", err)
		return nil
	}
	return words
}

// awaitCounts waits until the output holds the final count of every word.
func (s *suite) awaitCounts(words map[string]int) {
	s.Helper()
	ctx := s.Within(5 * time.Minute)
	cl := s.NewClient(s.Brokers, kgo.ConsumeTopics(wordsOutput), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	left := len(words)
	for done := map[string]bool{}; left > 0; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			s.Fatalf("the final counts of %d words are missing", left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if n, _ := strconv.Atoi(string(r.Value)); n >= words[string(r.Key)] && !done[string(r.Key)] {
				done[string(r.Key)] = true
				left--
			}
		})
	}
}

// checkCounts reads the whole output and compares it with the input; it returns the number of outputs.
func (s *suite) checkCounts(words map[string]int) (outputs int) {
	s.Helper()
	last := map[string]int{}
	s.readCommitted(wordsOutput, func(r *kgo.Record) {
		outputs++
		n, err := strconv.Atoi(string(r.Value))
		if err != nil || n != last[string(r.Key)]+1 {
			s.Errorf("partition %d offset %d: %s is counted %q, want %d", r.Partition, r.Offset, r.Key, r.Value, last[string(r.Key)]+1)
		}
		last[string(r.Key)] = n
	})
	for word, n := range words {
		if last[word] != n {
			s.Errorf("%s is counted %d times, want %d", word, last[word], n)
		}
	}
	return outputs
}

// readCommitted gives each committed record of a topic to take.
func (s *suite) readCommitted(topic string, take func(*kgo.Record)) {
	s.Helper()
	s.Must(s.Read(s.Within(patience), topic, take, kgo.FetchIsolationLevel(kgo.ReadCommitted())))
}
