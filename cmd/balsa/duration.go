package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// period is a duration of a flag that may be counted in days: 7d, 1d12h.
type period time.Duration

const day = 24 * time.Hour

// UnmarshalText reads what a user writes.
func (p *period) UnmarshalText(text []byte) error {
	days, rest, found := strings.Cut(string(text), "d")
	if !found {
		days, rest = "0", string(text)
	} else if rest == "" {
		rest = "0"
	}
	n, err := strconv.ParseInt(days, 10, 32)
	if err == nil {
		var d time.Duration
		if d, err = time.ParseDuration(rest); err == nil && d >= 0 && n >= 0 {
			*p = period(time.Duration(n)*day + d)
			return nil
		}
	}
	return fmt.Errorf("%q is not a duration such as 30s, 5m, 12h or 7d", text)
}

func (p period) duration() time.Duration { return time.Duration(p) }

// millis is the duration as configs have it.
func (p period) millis() string { return strconv.FormatInt(p.duration().Milliseconds(), 10) }

// roughly writes a duration in its two largest units, for a person.
func roughly(d time.Duration) string {
	switch d = d.Truncate(time.Second); {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return d.String()
	}
}
