// Package violation counts the promises that a checker found broken, and keeps a few examples of them.
package violation

import (
	"fmt"
	"strings"
)

const maxExamples = 20

// Violations are those of one check, by kind. The zero value has none. It is not safe for concurrent use.
type Violations[Kind ~string] struct {
	Count    map[Kind]int64
	examples []string // the first few
}

// Violate adds one.
func (v *Violations[Kind]) Violate(k Kind, format string, args ...any) {
	if v.Count == nil {
		v.Count = map[Kind]int64{}
	}
	v.Count[k]++
	if len(v.examples) < maxExamples {
		v.examples = append(v.examples, string(k)+": "+fmt.Sprintf(format, args...))
	}
}

// Err returns nil or what was violated.
func (v *Violations[Kind]) Err() error {
	if len(v.Count) == 0 {
		return nil
	}
	return fmt.Errorf("violations %v; for example:\n%s", v.Count, strings.Join(v.examples, "\n"))
}
