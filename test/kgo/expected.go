package kgo

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed testdata/tests.txt
var testList string

// Expected says of each test what it must do.
type Expected map[string]Expectation

// Expectation is how a test must end, and why if that is not Pass.
type Expectation struct {
	Outcome Outcome
	Reason  string
}

// ParseExpected reads a list of tests: one name a line, followed by "skip:" and the reason where the test is known to
// skip itself, or by "fail:" and the reason where balsa is known to differ. Empty lines and those that start with # are
// comments.
func ParseExpected(list string) (Expected, error) {
	expected := Expected{}
	for number, line := range strings.Split(list, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		e := Expectation{Outcome: Pass}
		if rest = strings.TrimSpace(rest); rest != "" {
			outcome, reason, _ := strings.Cut(rest, ":")
			e = Expectation{Outcome(outcome), strings.TrimSpace(reason)}
			if e.Outcome != Skip && e.Outcome != Fail || e.Reason == "" {
				return nil, fmt.Errorf("line %d: want 'NAME', 'NAME skip: REASON' or 'NAME fail: REASON', got %q", number+1, line)
			}
		}
		if _, twice := expected[name]; twice {
			return nil, fmt.Errorf("line %d: %s is listed twice", number+1, name)
		}
		expected[name] = e
	}
	if len(expected) == 0 {
		return nil, errors.New("the list of tests is empty")
	}
	return expected, nil
}

// Check compares what ran with what must run and returns one error per difference: a test that did not end as listed (a
// better end is a difference too: the list must follow), that is listed and did not run, or that ran and is not listed.
func (x Expected) Check(results Results) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(results)) {
		outcome := results[name].Outcome
		switch want, listed := x[name]; {
		case !listed:
			errs = append(errs, fmt.Errorf("%s: %s, and it is not in testdata/tests.txt", name, outcome))
		case outcome != want.Outcome && want.Outcome == Pass:
			errs = append(errs, fmt.Errorf("%s: %s, must pass", name, outcome))
		case outcome != want.Outcome:
			errs = append(errs, fmt.Errorf("%s: %s, but testdata/tests.txt says %s: %s", name, outcome, want.Outcome, want.Reason))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x)) {
		if results[name] == nil {
			errs = append(errs, fmt.Errorf("%s: did not run", name))
		}
	}
	return errs
}
