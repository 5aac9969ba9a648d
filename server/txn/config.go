package txn

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the coordinator's limits. The names in comments are Kafka's broker configs.
type Config struct {
	MaxTimeout time.Duration // transaction.max.timeout.ms: what a producer may ask for
	// IDExpiration is transactional.id.expiration.ms: how long an id without an open transaction is remembered after its
	// last use.
	IDExpiration time.Duration
	// IDExpirationCheck is transaction.remove.expired.transaction.cleanup.interval.ms. There is no counterpart of
	// transaction.abort.timed.out.transaction.cleanup.interval.ms: a transaction is aborted when its time is over, not at
	// the next look.
	IDExpirationCheck time.Duration
	// MaxWait is how long a request to add partitions may wait for the end of the producer's previous transaction before
	// it is answered CONCURRENT_TRANSACTIONS. The client was told about that end already, and would only have to ask
	// again. Kafka's brokers wait in the same way, in steps of add.partitions.to.txn.retry.backoff.ms up to
	// add.partitions.to.txn.retry.backoff.max.ms.
	MaxWait time.Duration
	// MaxWaiting bounds how many such requests may wait for one transaction.
	MaxWaiting int
}

// DefaultConfig returns Kafka's defaults.
func DefaultConfig() Config {
	return Config{
		MaxTimeout:        15 * time.Minute,
		IDExpiration:      7 * 24 * time.Hour,
		IDExpirationCheck: time.Hour,
		MaxWait:           500 * time.Millisecond,
		MaxWaiting:        1000,
	}
}

// Validate reports every setting that makes no sense.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s must be positive, is %v", name, value))
		}
	}
	check(c.MaxTimeout >= time.Millisecond, "transaction.max.timeout.ms", c.MaxTimeout)
	check(c.IDExpiration >= time.Millisecond, "transactional.id.expiration.ms", c.IDExpiration)
	check(c.IDExpirationCheck >= time.Millisecond, "transaction.remove.expired.transaction.cleanup.interval.ms", c.IDExpirationCheck)
	check(c.MaxWait >= 0, "the wait for a previous transaction", c.MaxWait)
	check(c.MaxWaiting >= 0, "the number of waiting requests", c.MaxWaiting)
	return errors.Join(errs...)
}
