//go:build programs

package programs

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa/test/fixture"
	"balsa/test/harness"
)

var (
	against = flag.String("against", "balsa", "balsa: three nodes of it; kafka: one of Apache Kafka; kafka3: three of them")
	keep    = flag.Bool("keep", false, "keep data and logs also on success")
)

// patience bounds every wait. It is no measure of quality.
const patience = 2 * time.Minute

// suite is a cluster, and a place for the files of a test.
type suite struct {
	*fixture.Fixture
	classpath   string // of the Java programs
	log4j       string // configuration of their logs
	bootstrap   string // host:port,...
	replication int    // as many replicas as a topic can have
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{Fixture: fixture.New(t, fixture.Options{Name: "programs", Keep: *keep})}
	s.classpath = s.buildJava()
	s.log4j = s.write("log4j2.properties", log4jProperties)
	switch *against {
	case "balsa":
		s.Use("", harness.Options{Dir: filepath.Join(s.Dir, "cluster"), Nodes: 3})
	case "kafka":
		s.Use("", s.kafka("cluster", 1))
	case "kafka3":
		s.Use("", s.kafka("cluster", 3))
	default:
		t.Fatalf("-against %s: want balsa, kafka or kafka3", *against)
	}
	s.bootstrap = strings.Join(s.Brokers, ",")
	s.replication = len(s.Cluster.Nodes)
	return s
}

// write puts a file into the test's directory and returns its path.
func (s *suite) write(name, content string) string {
	s.Helper()
	path := filepath.Join(s.Dir, name)
	s.Must(os.MkdirAll(filepath.Dir(path), 0o700))
	s.Must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

// module is the directory of the Maven module with the programs.
func (s *suite) module() string {
	s.Helper()
	root, err := harness.Root()
	s.Must(err)
	return filepath.Join(root, "test", "clients", "java", "programs")
}

// buildJava builds the Maven module, which also fetches Kafka's jars, and returns the class path.
func (s *suite) buildJava() string {
	s.Helper()
	cmd := exec.CommandContext(s.Within(10*time.Minute), "mvn", "-q", "-B", "compile", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory=target/libs")
	cmd.Dir = s.module()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("mvn: %v\n%s", err, out)
	}
	return filepath.Join(cmd.Dir, "target", "classes") + ":" + filepath.Join(cmd.Dir, "target", "libs", "*")
}

// javaFlags keep many short-lived JVMs small.
var javaFlags = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"}

// java is the command line of a Java program.
func (s *suite) java(heap, class string, args ...string) []string {
	s.Helper()
	argv := append([]string{"java", "-Xmx" + heap}, javaFlags...)
	argv = append(argv, "-Dlog4j2.configurationFile=file:"+s.log4j, "-cp", s.classpath, class)
	return append(argv, args...)
}

// log4jProperties writes the programs' logs to stderr, warnings only, as their distribution does for tools.
const log4jProperties = `status = error
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
`

// background starts a long-running program that ends with the test. Its output goes to dir/NAME.log.
func (s *suite) background(name string, argv []string) *harness.Process {
	s.Helper()
	p := &harness.Process{Name: name, Argv: argv, Log: filepath.Join(s.Dir, name+".log")}
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("%s, last lines:\n%s", name, p.LastLines(20))
		}
	})
	s.Spawn(p)
	return p
}

// properties is the text of a Java properties file from "name=value" lines.
func properties(lines ...string) string { return fmt.Sprintln(strings.Join(lines, "\n")) }
