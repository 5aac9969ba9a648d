// Package arch checks the shape of the code: which package may import which, that every package says what it is, and
// that files stay small enough to read. These are rules that a reviewer would otherwise have to remember.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "balsa"

// layers orders the packages; an import must point to a lower number. Packages of one layer do not import each other.
// A new package must be placed here, and moving one needs a reason in the commit.
var layers = map[string]int{
	"cmd/balsa": 8,

	"server": 7,

	// Connections; they know nothing of what the requests are about.
	"server/network": 6,

	"server/handler": 5,

	// Hosts: they have goroutines, clocks and files.
	"server/partition":   4,
	"server/coordinator": 4,
	"server/controller":  4,

	// The metadata's machine; it speaks of raft's nodes and groups, but drives none.
	"server/cluster": 3,

	// A client of brokers, apart from the commands that use it; of them it knows the messages and what ids of members mean.
	"cmd/balsa/sharegroup": 3,

	// Replication, and the pure state machines.
	"raft":         2,
	"server/group": 2,
	"server/share": 2,
	"server/txn":   2,

	"log":          1,
	"protocol":     1,
	"server/quota": 1,

	"log/batch":            0,
	"log/vfs":              0,
	"server/config":        0,
	"internal/balance":     0,
	"internal/bytepool":    0,
	"internal/invariant":   0,
	"internal/levenshtein": 0,
	"internal/sendfile":    0,
	"internal/timers":      0,
	"internal/wire":        0,
}

// only lists dependencies that a few packages keep to themselves. Tests may use them freely.
var only = []struct {
	prefix  string
	allowed []string
	why     string
}{
	{
		"github.com/hashicorp/raft",
		[]string{"raft"},
		"the library is an implementation detail of package raft",
	},
	{
		"github.com/twmb/franz-go/pkg/kmsg",
		[]string{"protocol", "server", "server/handler", "server/group", "server/txn", "server/cluster", "server/coordinator", "server/controller", "cmd/balsa", "cmd/balsa/sharegroup"},
		"the log, replication and partitions know no protocol messages",
	},
	{
		"github.com/twmb/franz-go/pkg/kgo",
		[]string{"cmd/balsa", "cmd/balsa/sharegroup"},
		"the broker is no client of itself",
	},
	{
		"github.com/twmb/franz-go/pkg/kadm",
		[]string{"cmd/balsa", "cmd/balsa/sharegroup"},
		"the broker is no client of itself",
	},
}

const (
	softLines     = 400 // reported
	hardLines     = 500 // refused
	hardTestLines = 650 // tables of cases may be long
)

// source is one Go file of the module.
type source struct {
	path    string // relative to the module, with slashes
	pkg     string // its directory, likewise
	test    bool
	file    *ast.File
	fileSet *token.FileSet
	lines   int
}

// load parses every Go file of the module. Directories with a go.mod of their own are other modules.
func load(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var sources []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative := filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator)))
		if entry.IsDir() {
			if name == root {
				return nil
			}
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if err == nil || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "data" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fileSet := token.NewFileSet()
		file, err := parser.ParseFile(fileSet, relative, text, parser.ParseComments)
		if err != nil {
			return err
		}
		sources = append(sources, source{
			path: relative, pkg: path.Dir(relative), test: strings.HasSuffix(name, "_test.go"), file: file,
			fileSet: fileSet, lines: strings.Count(string(text), "\n"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 50 {
		t.Fatalf("found only %d Go files: the test looks in the wrong place", len(sources))
	}
	return sources
}

func (s *source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, name)
		}
	}
	return paths
}

func TestImportsPointDown(t *testing.T) {
	for _, s := range load(t) {
		layer, placed := layers[s.pkg]
		if !placed {
			if !strings.HasPrefix(s.pkg, "test/") && !strings.HasPrefix(s.pkg, "docs/") {
				t.Errorf("%s: package %s has no layer in test/arch", s.path, s.pkg)
			}
			continue
		}
		for _, imported := range s.imports() {
			local, ours := strings.CutPrefix(imported, module+"/")
			// An external test may use any package, and its own.
			if !ours || s.test {
				continue
			}
			if below, known := layers[local]; !known || below >= layer {
				t.Errorf("%s: package %s (layer %d) imports %s (layer %d): imports point down", s.path, s.pkg, layer, local, below)
			}
		}
	}
}

func TestDependenciesStayInTheirPackages(t *testing.T) {
	for _, s := range load(t) {
		if s.test || strings.HasPrefix(s.pkg, "test/") {
			continue
		}
		for _, imported := range s.imports() {
			for _, rule := range only {
				if strings.HasPrefix(imported, rule.prefix) && !slices.Contains(rule.allowed, s.pkg) {
					t.Errorf("%s imports %s: %s", s.path, imported, rule.why)
				}
			}
		}
	}
}

// The name log belongs to the partition log. hclog's interface has a method that returns a standard logger, which is the
// only reason to import one.
func TestStandardLogIsBanned(t *testing.T) {
	for _, s := range load(t) {
		for _, imported := range s.imports() {
			if imported == "log" && s.path != "raft/hclog.go" {
				t.Errorf("%s imports the standard log: use log/slog", s.path)
			}
		}
	}
}

func TestNothingIsCalledLog(t *testing.T) {
	for _, s := range load(t) {
		check := func(name *ast.Ident) {
			if name != nil && name.Name == "log" {
				t.Errorf("%s: log is the name of a package; call a logger logger and a partition log plog or l", s.fileSet.Position(name.Pos()))
			}
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					break
				}
				for _, left := range n.Lhs {
					if name, ok := left.(*ast.Ident); ok {
						check(name)
					}
				}
			case *ast.ValueSpec:
				for _, name := range n.Names {
					check(name)
				}
			case *ast.FuncType:
				for _, field := range n.Params.List {
					for _, name := range field.Names {
						check(name)
					}
				}
			}
			return true
		})
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range load(t) {
		if strings.HasSuffix(s.file.Name.Name, "_test") {
			continue // an external test package is documented by what it tests
		}
		documented[s.pkg] = documented[s.pkg] || s.file.Doc.Text() != ""
	}
	for pkg, has := range documented {
		if !has {
			t.Errorf("package %s has no doc comment", pkg)
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, s := range load(t) {
		for _, declaration := range s.file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init runs unseen; wire by hand", s.fileSet.Position(f.Pos()))
			}
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	for _, s := range load(t) {
		switch {
		case s.lines > hardTestLines, s.lines > hardLines && !s.test:
			t.Errorf("%s has %d lines: split it", s.path, s.lines)
		case s.lines > softLines && !s.test:
			t.Logf("%s has %d lines, more than %d", s.path, s.lines, softLines)
		}
	}
}

// Ignore files made from templates match log/ and *.log, and the partition log would silently never be committed.
func TestSourceIsNotIgnored(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "git", "-C", "../..", "rev-parse", "--git-dir").Run(); err != nil {
		t.Skip("not a git checkout")
	}
	for _, name := range []string{"log", "log/log.go", "cmd/balsa", "bin.go"} {
		// check-ignore fails with code 1 if nothing ignores the path.
		out, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "check-ignore", "--verbose", "--no-index", name).CombinedOutput()
		if err == nil {
			t.Errorf("%s is ignored: %s", name, out)
		}
	}
}
