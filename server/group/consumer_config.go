package group

import (
	"strconv"
	"time"
)

// sessionTimeout is how long a member of the consumer protocol may be silent (consumer.session.timeout.ms of its group).
func (l *Leader) sessionTimeout(group string) time.Duration {
	return l.groupMillis(group, "consumer.session.timeout.ms", l.env.Config.ConsumerSessionTimeout)
}

// heartbeatInterval is how often a member of the consumer protocol is to be heard (consumer.heartbeat.interval.ms of its
// group). The two can be set apart from each other, so an interval that would let every session end is made shorter.
func (l *Leader) heartbeatInterval(group string) time.Duration {
	interval := l.groupMillis(group, "consumer.heartbeat.interval.ms", l.env.Config.ConsumerHeartbeatInterval)
	if session := l.sessionTimeout(group); interval >= session {
		return session / 3
	}
	return interval
}

func (l *Leader) groupMillis(group, name string, otherwise time.Duration) time.Duration {
	value, ok := l.env.GroupConfig(group, name)
	if !ok {
		return otherwise
	}
	ms, err := strconv.ParseInt(value, 10, 32)
	if err != nil || ms < 1 {
		return otherwise // what is set has been checked
	}
	return millis(int32(ms))
}
