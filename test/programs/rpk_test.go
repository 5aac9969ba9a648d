//go:build programs

package programs

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rpkSteps are uses of Redpanda's command line client that speak the Kafka protocol; what it asks of Redpanda's own
// administration interface (cluster health, maintenance) has no counterpart here. Input goes to standard input.
var rpkSteps = []struct{ line, input, want string }{
	{"cluster info", "", `(?s)BROKERS.*127\.0\.0\.1`},
	{"topic create t1 -p 3 -c retention.ms=1000000", "", `t1\s+OK`},
	{"topic list", "", `t1\s+3`},
	{"topic describe t1 -a", "", `retention\.ms\s+1000000\s+DYNAMIC_TOPIC_CONFIG`},
	{"topic alter-config t1 --set segment.bytes=2000000", "", `t1\s+OK`},
	{"topic add-partitions t1 -n 1", "", `t1\s+OK`},
	{"topic produce t1 -f %k,%v\\n", "a,1\nb,2\n", `Produced to partition \d at offset 0`},
	{"topic consume t1 -n 2 -g g1 -f %k=%v\\n", "", `a=1`},
	{"group list", "", `g1\s+Empty`},
	{"group describe g1", "", `TOTAL-LAG\s+0`},
	{"group seek g1 --to start", "", `t1\s+0\s+-?\d+\s+0`},
	{"group offset-delete g1 -t t1:0", "", `t1\s+0\s+OK`},
	{"group delete g1", "", `g1\s+OK`},
	{"topic trim-prefix t1 -p 0 -o 0 --no-confirm", "", `t1\s+0\s+0`},
	{"cluster logdirs describe", "", `t1\s+0\s+\d+`},
	{"cluster txn list", "", `COORDINATOR\s+TRANSACTIONAL-ID`},
	{"cluster quotas alter --add producer_byte_rate=1000000 --name client-id=x", "", `client-id=x\s+OK`},
	{"cluster quotas describe", "", `producer_byte_rate=1000000`},
	{"security acl list", "", `SECURITY_DISABLED`},
	{"topic delete t1", "", `t1\s+OK`},
}

// TestRpk uses Redpanda's rpk, the binary that the environment's RPK or the path names.
func TestRpk(t *testing.T) {
	rpk := os.Getenv("RPK")
	if rpk == "" {
		var err error
		if rpk, err = exec.LookPath("rpk"); err != nil {
			t.Skip("rpk is not installed; RPK may name its binary")
		}
	}
	s := newSuite(t)
	for _, step := range rpkSteps {
		t.Run(step.line, func(t *testing.T) {
			cmd := exec.CommandContext(s.Within(30*time.Second), rpk, append([]string{"-X", "brokers=" + s.bootstrap}, strings.Fields(step.line)...)...)
			cmd.Stdin = strings.NewReader(step.input)
			out, err := cmd.CombinedOutput()
			if err != nil || !regexp.MustCompile(step.want).Match(out) {
				t.Errorf("%v, want %q:\n%s", err, step.want, out)
			}
		})
	}
}
