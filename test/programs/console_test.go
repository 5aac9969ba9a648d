//go:build programs

package programs

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// consoleTools are the main classes behind the scripts of Kafka's bin directory.
var consoleTools = map[string]string{
	"kafka-acls":                      "org.apache.kafka.tools.AclCommand",
	"kafka-broker-api-versions":       "org.apache.kafka.tools.BrokerApiVersionsCommand",
	"kafka-client-metrics":            "org.apache.kafka.tools.ClientMetricsCommand",
	"kafka-cluster":                   "org.apache.kafka.tools.ClusterTool",
	"kafka-configs":                   "kafka.admin.ConfigCommand",
	"kafka-console-consumer":          "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"kafka-console-producer":          "org.apache.kafka.tools.ConsoleProducer",
	"kafka-consumer-groups":           "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"kafka-consumer-perf-test":        "org.apache.kafka.tools.ConsumerPerformance",
	"kafka-console-share-consumer":    "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
	"kafka-delegation-tokens":         "org.apache.kafka.tools.DelegationTokenCommand",
	"kafka-delete-records":            "org.apache.kafka.tools.DeleteRecordsCommand",
	"kafka-e2e-latency":               "org.apache.kafka.tools.EndToEndLatency",
	"kafka-features":                  "org.apache.kafka.tools.FeatureCommand",
	"kafka-get-offsets":               "org.apache.kafka.tools.GetOffsetShell",
	"kafka-groups":                    "org.apache.kafka.tools.GroupsCommand",
	"kafka-leader-election":           "org.apache.kafka.tools.LeaderElectionCommand",
	"kafka-log-dirs":                  "org.apache.kafka.tools.LogDirsCommand",
	"kafka-metadata-quorum":           "org.apache.kafka.tools.MetadataQuorumCommand",
	"kafka-producer-perf-test":        "org.apache.kafka.tools.ProducerPerformance",
	"kafka-reassign-partitions":       "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"kafka-replica-verification":      "org.apache.kafka.tools.ReplicaVerificationTool",
	"kafka-share-consumer-perf-test":  "org.apache.kafka.tools.ShareConsumerPerformance",
	"kafka-share-groups":              "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
	"kafka-topics":                    "org.apache.kafka.tools.TopicCommand",
	"kafka-transactions":              "org.apache.kafka.tools.TransactionsCommand",
	"kafka-verifiable-consumer":       "org.apache.kafka.tools.VerifiableConsumer",
	"kafka-verifiable-share-consumer": "org.apache.kafka.tools.VerifiableShareConsumer",
	"kafka-verifiable-producer":       "org.apache.kafka.tools.VerifiableProducer",
}

// step is one use of a tool: a shell line, where B stands for --bootstrap-server, R for the replication factor, N for the
// ids of all brokers, $DIR for a directory of files; what goes into it, how it ends, and expressions that its output (stdout, then stderr) must match.
type step struct {
	line   string
	input  string
	status int
	want   []string
	never  string // an expression that the output must not match
}

// TestConsoleTools uses Kafka's console tools as their documentation does.
func TestConsoleTools(t *testing.T) {
	s := newSuite(t)
	for name, content := range consoleFiles {
		s.write(name, content)
	}
	for _, st := range slices.Concat(consoleSteps, shareSteps) {
		t.Run(strings.ReplaceAll(st.line, "/", "|"), func(t *testing.T) {
			if err := s.console(st); err != nil {
				t.Error(err)
			}
		})
	}
}

// console runs a step.
func (s *suite) console(st step) error {
	words := strings.Fields(s.expand(st.line))
	class, known := consoleTools[words[0]]
	if !known {
		return fmt.Errorf("no tool %s", words[0])
	}
	argv := s.java("256m", class, words[1:]...)
	ctx := s.Within(90 * time.Second)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(st.input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	output := stdout.String() + stderr.String()
	status := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if status != st.status {
		return fmt.Errorf("exit status %d, want %d:\n%s", status, st.status, output)
	}
	for _, w := range st.want {
		if !regexp.MustCompile("(?m)" + s.expand(w)).MatchString(output) {
			return fmt.Errorf("the output does not match %q:\n%s", w, output)
		}
	}
	if st.never != "" && regexp.MustCompile("(?m)"+st.never).MatchString(output) {
		return fmt.Errorf("the output matches %q:\n%s", st.never, output)
	}
	return nil
}

var placeholder = regexp.MustCompile(`\b[BRN]\b|\$DIR`)

func (s *suite) expand(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		switch p {
		case "B":
			return "--bootstrap-server " + s.bootstrap
		case "N":
			ids := make([]string, len(s.Cluster.Nodes))
			for i, n := range s.Cluster.Nodes {
				ids[i] = fmt.Sprint(n.ID)
			}
			return strings.Join(ids, ",")
		case "R":
			return fmt.Sprint(s.replication)
		}
		return s.Dir
	})
}
