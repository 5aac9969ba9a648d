package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type positionKind int

const (
	fromStart positionKind = iota
	fromEnd
	fromOffset
	fromTime
)

// position is where reading starts, in every partition alike.
type position struct {
	kind   positionKind
	value  int64 // the offset, or how many records before the end
	millis int64 // since the epoch, for fromTime
}

// parsePosition reads the value of --from.
func parsePosition(text string, now time.Time) (position, error) {
	const hint = "write start, end, end-10, offset:42, time:2006-01-02T15:04:05Z or a duration ago such as -1h"
	switch text {
	case "", "start", "beginning", "earliest":
		return position{kind: fromStart}, nil
	case "end", "latest":
		return position{kind: fromEnd}, nil
	}
	if number, ok := strings.CutPrefix(text, "offset:"); ok {
		if offset, err := strconv.ParseInt(number, 10, 64); err == nil && offset >= 0 {
			return position{kind: fromOffset, value: offset}, nil
		}
		return position{}, usagef(hint, "--from %s: the offset must be a number, at least 0", text)
	}
	if number, ok := strings.CutPrefix(text, "end-"); ok {
		if back, err := strconv.ParseInt(number, 10, 64); err == nil {
			return position{kind: fromEnd, value: back}, nil
		}
	}
	at, err := parseTime(strings.TrimPrefix(text, "time:"), now)
	if err != nil {
		return position{}, usagef(hint, "--from %s is not a position", text)
	}
	return position{kind: fromTime, millis: at.UnixMilli()}, nil
}

// parseTime reads RFC 3339, a date, milliseconds since the epoch, or a negative duration from now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if strings.HasPrefix(text, "-") {
		ago, err := time.ParseDuration(text)
		return now.Add(ago), err
	}
	if millis, err := strconv.ParseInt(text, 10, 64); err == nil && millis > 1e9 {
		return time.UnixMilli(millis), nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339, text)
}

// resolve turns the position into an offset of a partition that holds [start, end). atTime is the first offset at or
// after the time, or negative if there is none.
func (p position) resolve(start, end, atTime int64) int64 {
	var offset int64
	switch p.kind {
	case fromStart:
		return start
	case fromEnd:
		offset = end - p.value
	case fromOffset:
		offset = p.value
	case fromTime:
		if atTime < 0 {
			return end
		}
		offset = atTime
	}
	return max(start, min(offset, end))
}

// offset is the position as an option of the client, for partitions that are not resolved beforehand: those of a group
// without a commit.
func (p position) offset() kgo.Offset {
	switch p.kind {
	case fromEnd:
		return kgo.NewOffset().AtEnd().Relative(-p.value)
	case fromOffset:
		return kgo.NewOffset().At(p.value)
	case fromTime:
		return kgo.NewOffset().AfterMilli(p.millis)
	default:
		return kgo.NewOffset().AtStart()
	}
}
