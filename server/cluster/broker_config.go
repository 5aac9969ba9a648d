package cluster

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
)

// CleanerConfig is how log compaction works on one broker.
type CleanerConfig struct {
	Threads        int           // log.cleaner.threads
	Buffer         int64         // log.cleaner.dedupe.buffer.size: bytes, of all threads together
	Backoff        time.Duration // log.cleaner.backoff.ms: the pause when there is nothing to do
	BytesPerSecond float64       // log.cleaner.io.max.bytes.per.second, read and written; 0 or less: no bound
}

// CleanerConfig returns the configuration of compaction that is in effect on the resolver's broker.
func (r *Resolver) CleanerConfig(img *Image) CleanerConfig {
	number := func(name string) int64 { return mustNumber(name, r.BrokerValue(img, name)) }
	return CleanerConfig{
		Threads:        int(number(configCleanerThreads)),
		Buffer:         number(configCleanerBuffer),
		Backoff:        milliseconds(number(configCleanerBackoff)),
		BytesPerSecond: mustFloat(configCleanerRate, r.BrokerValue(img, configCleanerRate)),
	}
}

// ProducerIDExpiry returns producer.id.expiration.ms as it is in effect on the resolver's broker.
func (r *Resolver) ProducerIDExpiry(img *Image) time.Duration {
	return milliseconds(mustNumber(configProducerIDExpiry, r.BrokerValue(img, configProducerIDExpiry)))
}

// milliseconds converts a duration in ms; one that is too long for time.Duration becomes the longest there is.
func milliseconds(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// MinCleanerBuffer is the least memory, in bytes, that each compaction has, as in Kafka.
const MinCleanerBuffer = 1 << 20

// checkCleaner checks that what is set for a broker, or for all, leaves each compaction enough memory. What the broker has in its
// own configuration file is taken to be what this one has; users of CleanerConfig have to bear less.
func (d *Decider) checkCleaner(img *Image, broker raft.NodeID, configs map[string]string) *failure {
	levels := []map[string]string{configs}
	if broker != raft.NoNode {
		levels = append(levels, img.BrokerConfigs[raft.NoNode])
	}
	effective := func(name string) int64 {
		for _, set := range levels {
			if v, ok := set[name]; ok {
				return mustNumber(name, v)
			}
		}
		return mustNumber(name, d.resolver.unsetValue(brokerConfigs.byName[name]))
	}
	_, threads := configs[configCleanerThreads]
	_, buffer := configs[configCleanerBuffer]
	if (threads || buffer) && effective(configCleanerBuffer)/effective(configCleanerThreads) < MinCleanerBuffer {
		return failf(kerr.InvalidRequest, "%s must be at least 1MB per cleaner thread.", configCleanerBuffer)
	}
	return nil
}
