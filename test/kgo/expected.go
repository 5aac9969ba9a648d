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

// Expected says of each test what it must do: the empty string is to pass, anything else is the reason for which it
// must be skipped.
type Expected map[string]string

// ParseExpected reads a list of tests: one name a line, followed by "skip:" and the reason where the test is known to
// skip itself. Empty lines and those that start with # are comments.
func ParseExpected(list string) (Expected, error) {
	expected := Expected{}
	for number, line := range strings.Split(list, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		reason := ""
		if rest = strings.TrimSpace(rest); rest != "" {
			var skips bool
			reason, skips = strings.CutPrefix(rest, "skip:")
			if reason = strings.TrimSpace(reason); !skips || reason == "" {
				return nil, fmt.Errorf("line %d: want 'NAME' or 'NAME skip: REASON', got %q", number+1, line)
			}
		}
		if _, twice := expected[name]; twice {
			return nil, fmt.Errorf("line %d: %s is listed twice", number+1, name)
		}
		expected[name] = reason
	}
	if len(expected) == 0 {
		return nil, errors.New("the list of tests is empty")
	}
	return expected, nil
}

// Check compares what ran with what must run and returns one error per difference: a test that failed or did not end,
// that is listed and did not run, that ran and is not listed, that was skipped although it must pass, or that passed
// although the list says why it cannot.
func (x Expected) Check(results Results) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(results)) {
		reason, listed := x[name]
		switch outcome := results[name].Outcome; {
		case outcome == Fail || outcome == Unfinished:
			errs = append(errs, fmt.Errorf("%s: %s", name, outcome))
		case !listed:
			errs = append(errs, fmt.Errorf("%s: not in testdata/tests.txt (it ended with %s)", name, outcome))
		case outcome == Skip && reason == "":
			errs = append(errs, fmt.Errorf("%s: was skipped, must pass", name))
		case outcome == Pass && reason != "":
			errs = append(errs, fmt.Errorf("%s: passes, but testdata/tests.txt says it is skipped: %s", name, reason))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x)) {
		if results[name] == nil {
			errs = append(errs, fmt.Errorf("%s: did not run", name))
		}
	}
	return errs
}
