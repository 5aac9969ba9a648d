package kgo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Outcome is how a test ended.
type Outcome string

// The outcomes, in the words of go test -json. A test that ended in none of them, because the whole run was cut off,
// has the outcome Unfinished.
const (
	Pass       Outcome = "pass"
	Fail       Outcome = "fail"
	Skip       Outcome = "skip"
	Unfinished Outcome = "unfinished"
)

// Result is what became of one test or subtest.
type Result struct {
	Outcome Outcome
	Seconds float64
	Output  []string // the last lines it printed, at most outputLines
}

const outputLines = 60

// Results holds the result of each test that was started, by its full name.
type Results map[string]*Result

// event is a line of go test -json (see go doc test2json).
type event struct {
	Action  string
	Test    string
	Output  string
	Elapsed float64
}

// ReadResults reads the output of go test -json to its end. Lines that are not events, such as the compiler's
// complaints, end it with an error that quotes them. The seed inputs of fuzz targets count as part of their target.
func ReadResults(r io.Reader) (Results, error) {
	results := Results{}
	var foreign []string
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if trimmed := strings.TrimSpace(line); trimmed != "" {
			var e event
			if json.Unmarshal([]byte(trimmed), &e) != nil {
				foreign = append(foreign, trimmed)
			} else {
				results.add(e)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return results, fmt.Errorf("read test events: %w", err)
		}
	}
	if len(foreign) > 0 {
		return results, fmt.Errorf("not only test events: %s", strings.Join(foreign[:min(len(foreign), 20)], "\n"))
	}
	return results, nil
}

func (r Results) add(e event) {
	if e.Test == "" || strings.Contains(e.Test, "/seed#") {
		return
	}
	t := r[e.Test]
	if t == nil {
		t = &Result{Outcome: Unfinished}
		r[e.Test] = t
	}
	switch o := Outcome(e.Action); o {
	case Pass, Fail, Skip:
		t.Outcome, t.Seconds = o, e.Elapsed
	case "output":
		t.Output = append(t.Output, strings.TrimRight(e.Output, "\n"))
		if len(t.Output) > outputLines {
			t.Output = t.Output[1:]
		}
	}
}

// Count says how many tests had an outcome.
func (r Results) Count(o Outcome) int {
	n := 0
	for _, t := range r {
		if t.Outcome == o {
			n++
		}
	}
	return n
}
