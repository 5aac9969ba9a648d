package cluster

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/levenshtein"
)

// ConfigDef describes one config key.
type ConfigDef struct {
	Name    string
	Type    kmsg.ConfigType
	Default string
	Doc     string
	// Broker is, for a topic or group config, the broker config that is its default; empty when there is none.
	Broker string
	// Dynamic is, for a broker config, true when it can be changed while the broker runs.
	Dynamic bool
	// Unset is, for a broker config that has no value by default, the config that is in effect instead. The latter's default, in
	// its own unit, is what Default is in this one's; what clients see is null.
	Unset string
	// Hidden keys are shown only where they are set; they exist for tests.
	Hidden bool
	// check says what is wrong with a value that is well-formed for Type; nil allows all.
	check func(value string) error
}

// maxConfigValueLen is the longest config value in bytes, as in Kafka.
const maxConfigValueLen = 1<<15 - 1

// Validate says what is wrong with value, nil if nothing.
func (d *ConfigDef) Validate(value string) error {
	if len(value) > maxConfigValueLen {
		return fmt.Errorf("The value of configuration %s is longer than %d bytes", d.Name, maxConfigValueLen) //nolint:staticcheck // shown to clients
	}
	value = strings.TrimSpace(value)
	err := wellFormed(d.Type, value)
	if err == nil && d.check != nil {
		err = d.check(value)
	}
	if err == nil {
		return nil
	}
	if part := (*partError)(nil); errors.As(err, &part) {
		value = part.part
	}
	return fmt.Errorf("Invalid value %s for configuration %s: %w", value, d.Name, err) //nolint:staticcheck // shown to clients as Kafka words it
}

// partError says which part of a value is wrong.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

func wellFormed(t kmsg.ConfigType, value string) error {
	switch t {
	case kmsg.ConfigTypeBoolean:
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return fmt.Errorf("Expected value to be either true or false") //nolint:staticcheck // shown to clients as Kafka words it
		}
	case kmsg.ConfigTypeShort:
		return parsesAs(t, value, 16)
	case kmsg.ConfigTypeInt:
		return parsesAs(t, value, 32)
	case kmsg.ConfigTypeLong:
		return parsesAs(t, value, 64)
	case kmsg.ConfigTypeDouble:
		if f, err := strconv.ParseFloat(value, 64); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return notANumber(t)
		}
	default: // strings and lists have no form of their own
	}
	return nil
}

func parsesAs(t kmsg.ConfigType, value string, bits int) error {
	if _, err := strconv.ParseInt(value, 10, bits); err != nil {
		return notANumber(t)
	}
	return nil
}

func notANumber(t kmsg.ConfigType) error {
	return fmt.Errorf("Not a number of type %s", t) //nolint:staticcheck // shown to clients as Kafka words it
}

// atLeast, between: checks of values that are well-formed whole numbers already.
func atLeast(least int64) func(string) error { return between(least, math.MaxInt64) }

func between(least, most int64) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
			return err
		case n < least:
			return fmt.Errorf("Value must be at least %d", least) //nolint:staticcheck // shown to clients as Kafka words it
		case n > most:
			return fmt.Errorf("Value must be no more than %d", most) //nolint:staticcheck // as above
		}
		return nil
	}
}

// betweenOr allows one value besides a range.
func betweenOr(least, most, also int64) func(string) error {
	check := between(least, most)
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err == nil && n != also && check(value) != nil {
			return fmt.Errorf("Value must be between %d and %d or equal to %d", least, most, also) //nolint:staticcheck // shown to clients as Kafka words it
		}
		return err
	}
}

func betweenFloats(least, most float64) func(string) error {
	return func(value string) error {
		f, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
			return err
		case f < least:
			return fmt.Errorf("Value must be at least %v", least) //nolint:staticcheck // shown to clients as Kafka words it
		case f > most:
			return fmt.Errorf("Value must be no more than %v", most) //nolint:staticcheck // as above
		}
		return nil
	}
}

func oneOf(allowed ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("String must be one of: %s", strings.Join(allowed, ", "))
		}
		return nil
	}
}

func listOf(allowed ...string) func(string) error {
	check := oneOf(allowed...)
	return func(value string) error {
		for _, item := range splitList(value) {
			if err := check(item); err != nil {
				return &partError{item, err}
			}
		}
		return nil
	}
}

// throttledReplicas allows * or a list of partition:broker, as Kafka's ThrottledReplicaListValidator, in the config with that name.
func throttledReplicas(name string) func(string) error {
	return func(value string) error {
		if value == "*" {
			return nil
		}
		items := splitList(value)
		for _, item := range items {
			partition, broker, ok := strings.Cut(item, ":")
			if !ok || parsesAs(typeInt, partition, 32) != nil || parsesAs(typeInt, broker, 32) != nil {
				return &partError{"[" + strings.Join(items, ", ") + "]", fmt.Errorf( //nolint:staticcheck // shown to clients as Kafka words it
					"%s must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...", name)}
			}
		}
		return nil
	}
}

// isoDuration is the part of ISO 8601 that Java's Duration.parse accepts, without a sign.
var isoDuration = regexp.MustCompile(`^P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d{1,9})?S)?)?$`)

// shareOffsetReset allows latest, earliest and by_duration:<ISO 8601>, as KIP-932 and KIP-1106.
func shareOffsetReset(value string) error {
	if value == "latest" || value == "earliest" {
		return nil
	}
	d, ok := strings.CutPrefix(value, "by_duration:")
	if ok && isoDuration.MatchString(d) && !strings.HasSuffix(d, "T") && d != "P" {
		return nil
	}
	return fmt.Errorf("it must be latest, earliest, or by_duration:<duration>, such as by_duration:PT1H")
}

// deadLetterTopic allows no topic, or the name of one, whether it exists or not.
func deadLetterTopic(value string) error {
	if value == "" {
		return nil
	}
	return ValidateTopicName(value)
}

// splitList splits a LIST value at commas, without spaces around items; the empty value has no items.
func splitList(value string) []string {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// configTable is a set of definitions, by name and in the order of their names.
type configTable struct {
	sorted []*ConfigDef
	byName map[string]*ConfigDef
}

func newConfigTable(defs []ConfigDef) *configTable {
	t := &configTable{byName: make(map[string]*ConfigDef, len(defs))}
	for i := range defs {
		t.sorted = append(t.sorted, &defs[i])
		t.byName[defs[i].Name] = &defs[i]
	}
	slices.SortFunc(t.sorted, func(a, b *ConfigDef) int { return strings.Compare(a.Name, b.Name) })
	return t
}

// unknown words the error for a key that is not in the table, with the nearest one that is.
func (t *configTable) unknown(what, name string) error {
	nearest, best := "", len(name)/2+1 // farther away than half of the name is no suggestion
	for _, d := range t.sorted {
		if n := editDistance(name, d.Name); n < best {
			nearest, best = d.Name, n
		}
	}
	if nearest == "" {
		return fmt.Errorf("Unknown %s config name: %s", what, name) //nolint:staticcheck // shown to clients as Kafka words it
	}
	return fmt.Errorf("Unknown %s config name: %s (did you mean %s?)", what, name, nearest) //nolint:staticcheck // as above
}

// maxSuggestLen bounds the work that a hostile name can cause.
const maxSuggestLen = 64

// editDistance is the Levenshtein distance of a and b; names that are too long are far from everything.
func editDistance(a, b string) int {
	if len(a) > maxSuggestLen || len(b) > maxSuggestLen {
		return max(len(a), len(b))
	}
	return levenshtein.Distance(a, b)
}
