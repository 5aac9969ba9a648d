package conversation

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/test/fixture"
	"balsa/test/harness"
)

var record = flag.String("record", "", "host:port of an Apache Kafka to record the answers of")

const recorded = "testdata/kafka-4.3.1.txt"

// recordPause is what Kafka needs until a change shows in its answers.
const recordPause = 150 * time.Millisecond

// TestConversation compares balsa's answers with Kafka's.
func TestConversation(t *testing.T) {
	turns := Turns()
	if *record != "" {
		answers, err := Play(*record, turns, recordPause)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recorded, []byte(transcript(turns, answers)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	want := split(string(text))
	answers, err := Play(startNode(t), turns, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := split(transcript(turns, answers))
	if len(got) != len(want) || len(got) != len(turns) {
		t.Fatalf("%d answers to %d turns, %d recorded", len(got), len(turns), len(want))
	}
	for i, turn := range turns {
		name := title(turn)
		kafka, balsa := mask(want[i]), mask(got[i])
		d, differs := differences()[name]
		if differs && kafka == balsa {
			t.Errorf("%s is the same as Kafka's; it should not be because: %s", name, d.why)
		}
		if differs && d.lines == "" {
			continue
		}
		if differs {
			kafka, balsa = without(kafka, d.lines), without(balsa, d.lines)
		}
		if kafka != balsa {
			t.Errorf("%s\n%s", name, diff(kafka, balsa))
		}
	}
}

// TestDifferencesAreTurns: what is explained must exist.
func TestDifferencesAreTurns(t *testing.T) {
	names := map[string]bool{}
	for _, turn := range Turns() {
		names[title(turn)] = true
	}
	for name := range differences() {
		if !names[name] {
			t.Errorf("no turn is called %q", name)
		}
	}
}

func title(t Turn) string {
	return fmt.Sprintf("%s v%d: %s", strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", t.Request), "*kmsg."), "Request"), t.Version, t.Name)
}

const separator = "\n=== "

func transcript(turns []Turn, answers []string) string {
	var b strings.Builder
	b.WriteString("The answers of Apache Kafka 4.3.1 to the conversation; see play.go.\n")
	for i, a := range answers {
		fmt.Fprintf(&b, "%s%s\n%s", separator, title(turns[i]), a)
	}
	return b.String()
}

func split(text string) []string { return strings.Split(text, separator)[1:] }

// without leaves out the lines that match a pattern.
func without(text, pattern string) string {
	leave := regexp.MustCompile(pattern)
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), leave.MatchString), "\n")
}

// diff shows the lines that only one of two texts has.
func diff(kafka, balsa string) string {
	var b strings.Builder
	for _, side := range []struct{ name, text, other string }{{"Kafka", kafka, balsa}, {"balsa", balsa, kafka}} {
		other := strings.Split(side.other, "\n")
		for line := range strings.SplitSeq(side.text, "\n") {
			if !slices.Contains(other, line) {
				fmt.Fprintf(&b, "%s: %s\n", side.name, line)
			}
		}
	}
	return b.String()
}

// mask replaces what differs from one run to the next.
func mask(text string) string {
	text = regexp.MustCompile(`"TopicID":\[[0-9,]*\]`).ReplaceAllString(text, `"TopicID":[...]`)
	return regexp.MustCompile(`"FinalizedFeaturesEpoch":[0-9]+`).ReplaceAllString(text, `"FinalizedFeaturesEpoch":...`)
}

func startNode(t *testing.T) string {
	t.Helper()
	return fixture.Start(t, harness.Options{Dir: t.TempDir(), Nodes: 1, Flags: []string{"--log-level", "warn", "--auto-create-topics=false"}}).Nodes[0].Address
}
