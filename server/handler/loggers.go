package handler

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Loggers are resources with configs in Kafka (KIP-412; resource type BROKER_LOGGER, 8): the level of each can be read and set on the
// broker that has it, until it restarts. Here there is one, root.

// rootLogger is the name of the only logger.
const rootLogger = "root"

// Kafka's levels beyond slog's.
const (
	levelTrace = slog.LevelDebug - 4
	levelFatal = slog.LevelError + 4
)

// levelOf returns the level that Kafka calls by a name.
func levelOf(name string) (slog.Level, bool) {
	switch name {
	case "TRACE":
		return levelTrace, true
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARN":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	case "FATAL":
		return levelFatal, true
	}
	return 0, false
}

// levelName is the inverse of levelOf.
func levelName(l slog.Level) string {
	for _, name := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"} {
		if level, _ := levelOf(name); l <= level {
			return name
		}
	}
	return "FATAL"
}

// loggerProblem is why a request about loggers fails.
type loggerProblem struct {
	code *kerr.Error
	text string
}

func loggerProblemf(code *kerr.Error, format string, args ...any) *loggerProblem {
	return &loggerProblem{code, fmt.Sprintf(format, args...)}
}

// describeLoggers answers for one resource of DescribeConfigs.
func (b *Broker) describeLoggers(asked *kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
	answer := kmsg.NewDescribeConfigsResponseResource()
	answer.ResourceType, answer.ResourceName = asked.ResourceType, asked.ResourceName
	if asked.ResourceName != strconv.Itoa(int(b.Node)) {
		answer.ErrorCode = kerr.InvalidRequest.Code
		answer.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Unexpected broker id, expected %d but received %s", b.Node, asked.ResourceName))
		return answer
	}
	answer.ErrorMessage = kmsg.StringPtr("")
	wanted := asked.ConfigNames == nil
	for _, name := range asked.ConfigNames {
		wanted = wanted || name == rootLogger
	}
	if b.LogLevel != nil && wanted {
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value = rootLogger, kmsg.StringPtr(levelName(b.LogLevel.Level()))
		c.Source = kmsg.ConfigSourceDynamicBrokerLoggerConfig
		answer.Configs = append(answer.Configs, c)
	}
	return answer
}

// alterLoggers changes levels as one resource of IncrementalAlterConfigs wants, all or none.
func (b *Broker) alterLoggers(asked *kmsg.IncrementalAlterConfigsRequestResource, validate bool) *loggerProblem {
	if asked.ResourceName != strconv.Itoa(int(b.Node)) {
		return loggerProblemf(kerr.InvalidRequest, "Unexpected node id. Expected %d, but received %s", b.Node, asked.ResourceName)
	}
	var level *slog.Level
	for _, c := range asked.Configs {
		l, p := b.checkLogger(c)
		if p != nil {
			return p
		}
		level = &l
	}
	if level != nil && !validate {
		b.LogLevel.Set(*level)
	}
	return nil
}

func (b *Broker) checkLogger(c kmsg.IncrementalAlterConfigsRequestResourceConfig) (slog.Level, *loggerProblem) {
	known := c.Name == rootLogger && b.LogLevel != nil
	switch c.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		value := ""
		if c.Value != nil {
			value = strings.TrimSpace(*c.Value)
		}
		level, ok := levelOf(value)
		switch {
		case !known:
			return 0, loggerProblemf(kerr.InvalidConfig, "Logger %s does not exist!", c.Name)
		case !ok:
			return 0, loggerProblemf(kerr.InvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. "+
				"Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", c.Name, value)
		}
		return level, nil
	case kmsg.IncrementalAlterConfigOpDelete:
		if !known {
			return 0, loggerProblemf(kerr.InvalidConfig, "Logger %s does not exist!", c.Name)
		}
		return 0, loggerProblemf(kerr.InvalidRequest, "Removing the log level of the %s logger is not allowed", rootLogger)
	}
	return 0, loggerProblemf(kerr.InvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", c.Op)
}
