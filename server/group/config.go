package group

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Config holds the coordinator's limits. The names in comments are Kafka's broker configs.
type Config struct {
	MinSessionTimeout time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout time.Duration // group.max.session.timeout.ms
	// InitialRebalanceDelay is group.initial.rebalance.delay.ms: how long the first rebalance of an empty group waits for
	// more members, again and again while new ones come, up to the rebalance timeout.
	InitialRebalanceDelay time.Duration
	MaxSize               int32 // group.max.size
	// ConsumerSessionTimeout and ConsumerHeartbeatInterval are group.consumer.session.timeout.ms and
	// group.consumer.heartbeat.interval.ms: what members of the consumer protocol get unless their group is configured
	// otherwise.
	ConsumerSessionTimeout    time.Duration
	ConsumerHeartbeatInterval time.Duration
	ConsumerMaxSize           int32    // group.consumer.max.size
	ConsumerAssignors         []string // group.consumer.assignors; the first is the default
	// ConsumerMigration is group.consumer.migration.policy: whether a group may change its protocol while it has members.
	ConsumerMigration MigrationPolicy
	// ShareSessionTimeout and ShareHeartbeatInterval are group.share.session.timeout.ms and group.share.heartbeat.interval.ms:
	// what members of share groups get unless their group is configured otherwise.
	ShareSessionTimeout    time.Duration
	ShareHeartbeatInterval time.Duration
	ShareMaxSize           int32 // group.share.max.size
	// NewMemberJoinTimeout ends the wait of a new member in a rebalance that does not complete: such a member cannot
	// send heartbeats yet, and its client may be long gone. Five minutes in Kafka, not configurable there.
	NewMemberJoinTimeout          time.Duration
	OffsetMetadataMaxBytes        int           // offset.metadata.max.bytes, counted like Java's String.length
	OffsetsRetention              time.Duration // offsets.retention.minutes
	OffsetsRetentionCheckInterval time.Duration // offsets.retention.check.interval.ms
	ProducerIDExpiration          time.Duration // producer.id.expiration.ms, of producers that commit in transactions
	// MaxRecordBytes bounds what one request can make us write. For SyncGroup that is the group's record: all members'
	// subscriptions and assignments together; beyond it the answer is UNKNOWN_SERVER_ERROR. For OffsetCommit it is all
	// offsets together; beyond it the answer is INVALID_COMMIT_OFFSET_SIZE. Kafka answers so beyond max.message.bytes.
	MaxRecordBytes int
}

// MigrationPolicy says in which directions the members of a group may change its protocol while it has others.
type MigrationPolicy uint8

// The values of group.consumer.migration.policy.
const (
	MigrateBoth      MigrationPolicy = iota // bidirectional
	MigrateUpgrade                          // upgrade: from the classic to the consumer protocol
	MigrateDowngrade                        // downgrade: back again
	MigrateNever                            // disabled
)

func (p MigrationPolicy) upgrades() bool   { return p == MigrateBoth || p == MigrateUpgrade }
func (p MigrationPolicy) downgrades() bool { return p == MigrateBoth || p == MigrateDowngrade }

// DefaultConfig returns Kafka's defaults with one exception. InitialRebalanceDelay is 100 ms instead of 3 s: enough to
// gather consumers that start together, and too short to be noticed by a developer who starts one.
func DefaultConfig() Config {
	return Config{
		MinSessionTimeout:             6 * time.Second,
		MaxSessionTimeout:             30 * time.Minute,
		InitialRebalanceDelay:         100 * time.Millisecond,
		MaxSize:                       math.MaxInt32,
		ConsumerSessionTimeout:        45 * time.Second,
		ConsumerHeartbeatInterval:     5 * time.Second,
		ConsumerMaxSize:               math.MaxInt32,
		ConsumerAssignors:             []string{assignorUniform, assignorRange},
		ConsumerMigration:             MigrateBoth,
		ShareSessionTimeout:           45 * time.Second,
		ShareHeartbeatInterval:        5 * time.Second,
		ShareMaxSize:                  200,
		NewMemberJoinTimeout:          5 * time.Minute,
		OffsetMetadataMaxBytes:        4096,
		OffsetsRetention:              7 * 24 * time.Hour,
		OffsetsRetentionCheckInterval: 10 * time.Minute,
		ProducerIDExpiration:          24 * time.Hour,
		MaxRecordBytes:                16 << 20,
	}
}

// Validate reports every setting that makes no sense.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.MinSessionTimeout > 0, "group.min.session.timeout.ms must be positive, is %v", c.MinSessionTimeout)
	check(c.MaxSessionTimeout >= c.MinSessionTimeout,
		"group.max.session.timeout.ms (%v) is below group.min.session.timeout.ms (%v)", c.MaxSessionTimeout, c.MinSessionTimeout)
	check(c.InitialRebalanceDelay >= 0, "group.initial.rebalance.delay.ms is negative: %v", c.InitialRebalanceDelay)
	check(c.MaxSize >= 1, "group.max.size must be at least 1, is %d", c.MaxSize)
	check(c.ConsumerHeartbeatInterval >= time.Millisecond,
		"group.consumer.heartbeat.interval.ms must be at least 1, is %v", c.ConsumerHeartbeatInterval)
	check(c.ConsumerSessionTimeout > c.ConsumerHeartbeatInterval,
		"group.consumer.session.timeout.ms (%v) must be above group.consumer.heartbeat.interval.ms (%v)",
		c.ConsumerSessionTimeout, c.ConsumerHeartbeatInterval)
	check(c.ConsumerMaxSize >= 1, "group.consumer.max.size must be at least 1, is %d", c.ConsumerMaxSize)
	check(len(c.ConsumerAssignors) > 0, "group.consumer.assignors is empty")
	for _, name := range c.ConsumerAssignors {
		check(assignorNamed(name) != nil, "group.consumer.assignors: there is no assignor %q", name)
	}
	check(c.ShareHeartbeatInterval >= time.Millisecond,
		"group.share.heartbeat.interval.ms must be at least 1, is %v", c.ShareHeartbeatInterval)
	check(c.ShareSessionTimeout > c.ShareHeartbeatInterval,
		"group.share.session.timeout.ms (%v) must be above group.share.heartbeat.interval.ms (%v)",
		c.ShareSessionTimeout, c.ShareHeartbeatInterval)
	check(c.ShareMaxSize >= 1, "group.share.max.size must be at least 1, is %d", c.ShareMaxSize)
	check(c.NewMemberJoinTimeout > 0, "the new member join timeout must be positive, is %v", c.NewMemberJoinTimeout)
	check(c.OffsetMetadataMaxBytes >= 0, "offset.metadata.max.bytes is negative: %d", c.OffsetMetadataMaxBytes)
	check(c.OffsetsRetention >= time.Minute, "offsets.retention.minutes must be at least 1, is %v", c.OffsetsRetention)
	check(c.OffsetsRetentionCheckInterval >= time.Millisecond,
		"offsets.retention.check.interval.ms must be at least 1, is %v", c.OffsetsRetentionCheckInterval)
	check(c.ProducerIDExpiration >= time.Millisecond,
		"producer.id.expiration.ms must be at least 1, is %v", c.ProducerIDExpiration)
	check(c.MaxRecordBytes >= 1<<10, "the group record limit must be at least 1 KiB, is %d", c.MaxRecordBytes)
	return errors.Join(errs...)
}
