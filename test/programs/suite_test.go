//go:build programs

package programs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
	*testing.T
	dir         string
	classpath   string // of the Java programs
	log4j       string // configuration of their logs
	cluster     *harness.Cluster
	bootstrap   string // host:port,...
	replication int    // as many replicas as a topic can have
	adm         *kadm.Client
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{T: t}
	var err error
	s.dir, err = os.MkdirTemp("", "balsa-programs-")
	s.must(err)
	t.Logf("data and logs in %s", s.dir)
	t.Cleanup(func() {
		if !t.Failed() && !*keep {
			os.RemoveAll(s.dir)
		}
	})
	s.classpath = s.buildJava()
	s.log4j = s.write("log4j2.properties", log4jProperties)
	switch *against {
	case "balsa":
		binary, err := harness.Build(s.dir)
		s.must(err)
		s.cluster = s.start(harness.Options{Binary: binary, Dir: filepath.Join(s.dir, "cluster"), Nodes: 3})
	case "kafka":
		s.cluster = s.startKafka("cluster", 1)
	case "kafka3":
		s.cluster = s.startKafka("cluster", 3)
	default:
		t.Fatalf("-against %s: want balsa, kafka or kafka3", *against)
	}
	s.bootstrap = strings.Join(s.cluster.Addresses(), ",")
	s.replication = len(s.cluster.Nodes)
	s.adm = s.admin(s.cluster)
	return s
}

// start starts a cluster that ends with the test.
func (s *suite) start(o harness.Options) *harness.Cluster {
	s.Helper()
	c, err := harness.New(o)
	s.must(err)
	s.Cleanup(func() { c.Close() })
	s.must(c.Start(s.within(patience)))
	return c
}

func (s *suite) admin(c *harness.Cluster) *kadm.Client {
	s.Helper()
	return kadm.NewClient(s.client(c))
}

func (s *suite) client(c *harness.Cluster, opts ...kgo.Opt) *kgo.Client {
	s.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Addresses()...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(time.Second)}, opts...)...)
	s.must(err)
	s.Cleanup(cl.Close)
	return cl
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// within is a context that ends after d or with the test.
func (s *suite) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), d)
	s.Cleanup(cancel)
	return ctx
}

// eventually repeats an attempt until it succeeds, for at most as long as given.
func (s *suite) eventually(what string, limit time.Duration, attempt func(context.Context) error) {
	s.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
		err := attempt(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: not within %v: %v", what, limit, err)
		}
	}
}

// createTopic creates a topic with as many replicas as there can be. Configs are "name=value".
func (s *suite) createTopic(name string, partitions int32, configs ...string) {
	s.Helper()
	values := map[string]*string{}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		values[k] = kadm.StringPtr(v)
	}
	_, err := s.adm.CreateTopic(s.within(patience), partitions, int16(s.replication), values, name)
	s.must(err)
}

// write puts a file into the test's directory and returns its path.
func (s *suite) write(name, content string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o700))
	s.must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

// module is the directory of the Maven module with the programs.
func (s *suite) module() string {
	s.Helper()
	root, err := harness.Root()
	s.must(err)
	return filepath.Join(root, "test", "clients", "java", "programs")
}

// buildJava builds the Maven module, which also fetches Kafka's jars, and returns the class path.
func (s *suite) buildJava() string {
	s.Helper()
	cmd := exec.CommandContext(s.within(10*time.Minute), "mvn", "-q", "-B", "compile", "dependency:copy-dependencies",
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
	p := &harness.Process{Name: name, Argv: argv, Log: filepath.Join(s.dir, name+".log")}
	s.must(p.Start())
	s.Cleanup(func() {
		if p.Running() {
			_ = p.Kill()
		}
		if s.Failed() {
			s.Logf("%s, last lines:\n%s", name, tail(p.Log, 20))
		}
	})
	return p
}

func tail(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}

// properties is the text of a Java properties file from "name=value" lines.
func properties(lines ...string) string { return fmt.Sprintln(strings.Join(lines, "\n")) }
