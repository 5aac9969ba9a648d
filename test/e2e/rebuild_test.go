package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRebuild damages replicas of a node in several ways while it is down. When it is back, the others rebuild them, and what they
// store counts again.
func TestRebuild(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"log gone": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
		"saved position damaged": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "checkpoint"), []byte("no checkpoint at all"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, 3)
			createTopic(t, c, "mended", 1)
			cl := client(t, c)
			produce(t, cl, "mended", "a", "b")
			damaged := c.Nodes[2]
			must(t, damaged.Kill())
			logs, err := filepath.Glob(filepath.Join(damaged.DataDir, "logs", "*-*"))
			must(t, err)
			if len(logs) < 17 {
				t.Fatalf("%d replicas on the node, want the topic's and those of the coordinator shards", len(logs))
			}
			for _, dir := range logs {
				damage(t, dir)
			}
			produce(t, cl, "mended", "c")
			must(t, c.Restore(within(t), damaged))
			inSync(t, c, "mended", 1, 2, 3)
			must(t, c.Nodes[0].Kill())
			produce(t, client(t, c), "mended", "d")
			wantValues(t, consume(t, c, "mended", kgo.NewOffset().At(0), 4), 0, "a", "b", "c", "d")
		})
	}
}
