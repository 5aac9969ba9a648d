//go:build kgo

package kgo

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/test/fixture"
	"balsa/test/harness"
)

var (
	records     = flag.Int("records", 500_000, "records that each pipeline (TestGroupETL, TestTxnEtl, TestShareGroupETL) carries; franz-go's own default")
	seeds       = flag.String("seeds", "", "run against this cluster (host:port,...) instead of three fresh nodes of balsa")
	replication = flag.Int("replication-factor", 3, "of the topics that the tests create")
	only        = flag.String("only", "", "run the tests that match this expression, and do not miss the others")
	limit       = flag.Duration("limit", 20*time.Minute, "time after which what still runs counts as failed")
)

const pkg = "github.com/twmb/franz-go/pkg/kgo"

// TestFranzGo runs all tests of franz-go's package kgo and checks each one's outcome against testdata/tests.txt.
func TestFranzGo(t *testing.T) {
	f := fixture.New(t, fixture.Options{Name: "kgo"})
	f.Use(*seeds, harness.Options{Nodes: 3})
	results := run(t, f.Dir, strings.Join(f.Brokers, ","))
	expected, err := ParseExpected(testList)
	if err != nil {
		t.Fatal(err)
	}
	if *only != "" {
		for name := range expected {
			if results[name] == nil {
				delete(expected, name)
			}
		}
	}
	for _, err := range expected.Check(results) {
		t.Error(err)
	}
	for _, name := range slices.Sorted(maps.Keys(results)) {
		switch r, want := results[name], expected[name]; {
		case r.Outcome == Pass:
		case r.Outcome == want.Outcome:
			t.Logf("%s: %s: %s", name, want.Outcome, want.Reason)
		default:
			t.Logf("--- %s, last lines:\n%s", name, strings.Join(r.Output, "\n"))
		}
	}
	t.Logf("%d passed, %d failed, %d skipped, %d did not end", results.Count(Pass), results.Count(Fail), results.Count(Skip), results.Count(Unfinished))
}

// run runs the tests and returns their results; what they printed is in dir/kgo.json.
func run(t *testing.T, dir, brokers string) Results {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"test", "-json", "-count=1", "-timeout", limit.String()}
	if *only != "" {
		args = append(args, "-run", *only)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(),
		"KGO_SEEDS="+brokers,
		fmt.Sprintf("KGO_TEST_RF=%d", *replication),
		fmt.Sprintf("KGO_TEST_RECORDS=%d", *records),
		"KGO_TEST_UNSAFE=1", // end a transaction and begin the next without waiting, as Kafka allows
		"KGO_LOG_LEVEL=none",
	)
	file, err := os.Create(filepath.Join(dir, "kgo.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	results, err := ReadResults(io.TeeReader(out, file))
	if err != nil {
		t.Error(err)
	}
	// The exit status adds something only when no test failed: a crash, or no test at all.
	if err := cmd.Wait(); err != nil && results.Count(Fail)+results.Count(Unfinished) == 0 {
		t.Errorf("go test: %v\n%s", err, stderr.String())
	}
	return results
}
