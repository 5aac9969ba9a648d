package cluster

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Values of share.ordering.
const (
	OrderingNone = "none"
	OrderingKey  = "key"
)

// ShareConfig is the effective configuration of a share group on one broker. Comments give the names of the group configs.
type ShareConfig struct {
	Start            ShareStart    // share.auto.offset.reset
	LockDuration     time.Duration // share.record.lock.duration.ms: the visibility timeout
	DeliveryLimit    int16         // share.delivery.count.limit
	MaxLocks         int           // share.partition.max.record.locks
	Renew            bool          // share.renew.acknowledge.enable
	ReadCommitted    bool          // share.isolation.level is read_committed
	KeyOrder         bool          // share.ordering is key
	DeadLetterTopic  string        // errors.deadletterqueue.topic.name; empty: none
	DeadLetterCopies bool          // errors.deadletterqueue.copy.record.enable
}

// ShareStart is where a share group starts in a partition that it has not read yet.
type ShareStart struct {
	Earliest bool
	Ago      time.Duration // by_duration, if positive; else, without Earliest, the end
}

// ShareConfig returns the effective configuration of a share group that works on a topic of which queue says whether it has
// cleanup.policy=ack: a queue waits for its workers, so there, unless the group says otherwise, it starts at the earliest record.
func (r *Resolver) ShareConfig(img *Image, group string, queue bool) ShareConfig {
	get := func(name string) string { return r.GroupValue(img, group, name) }
	number := func(name string) int64 { return mustNumber(name, get(name)) }
	c := ShareConfig{
		Start:            parseShareStart(get("share.auto.offset.reset")),
		LockDuration:     time.Duration(number("share.record.lock.duration.ms")) * time.Millisecond,
		DeliveryLimit:    int16(min(number("share.delivery.count.limit"), math.MaxInt16)),
		MaxLocks:         int(number("share.partition.max.record.locks")),
		Renew:            isTrue(get("share.renew.acknowledge.enable")),
		ReadCommitted:    get("share.isolation.level") == "read_committed",
		KeyOrder:         get("share.ordering") == OrderingKey,
		DeadLetterTopic:  get("errors.deadletterqueue.topic.name"),
		DeadLetterCopies: isTrue(get("errors.deadletterqueue.copy.record.enable")),
	}
	if _, set := img.GroupConfigs[group]["share.auto.offset.reset"]; queue && !set {
		c.Start = ShareStart{Earliest: true}
	}
	return c
}

func isTrue(value string) bool { return strings.EqualFold(strings.TrimSpace(value), "true") }

func parseShareStart(value string) ShareStart {
	if d, ok := strings.CutPrefix(value, "by_duration:"); ok {
		return ShareStart{Ago: parseISODuration(d)}
	}
	return ShareStart{Earliest: value == "earliest"}
}

var isoParts = regexp.MustCompile(`(\d+(?:\.\d+)?)([DHMS])`)

// parseISODuration returns a duration that isoDuration matches; one too long for time.Duration is the longest there is.
func parseISODuration(s string) time.Duration {
	var total float64
	for _, part := range isoParts.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			n = math.MaxInt32
		}
		total += n * isoUnits[part[2]].Seconds()
	}
	return time.Duration(min(total, math.MaxInt64/float64(time.Second)/2) * float64(time.Second))
}

var isoUnits = map[string]time.Duration{"D": 24 * time.Hour, "H": time.Hour, "M": time.Minute, "S": time.Second}
