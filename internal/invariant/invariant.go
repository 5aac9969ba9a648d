// Package invariant states what must be true of our own program, as opposed to errors, which are about the world.
package invariant

import "fmt"

// Check panics with the formatted message when cond is false. A broken invariant means that continuing could
// corrupt data or lie to a client, so the process dies instead.
func Check(cond bool, format string, args ...any) {
	if !cond {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}
