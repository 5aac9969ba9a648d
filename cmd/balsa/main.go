// Command balsa is the broker and its tools in one binary: `balsa server` serves the Kafka protocol, and the
// other subcommands are clients that speak that protocol to any Kafka-compatible cluster.
//
// Exit codes are part of the interface, see [exitCode].
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the whole command line. Each command lives in the file that bears its name.
type cli struct {
	Server  serverCmd  `cmd:"" help:"Run a broker."`
	Topic   topicCmd   `cmd:"" help:"Create, list, describe, alter and delete topics."`
	Produce produceCmd `cmd:"" help:"Send lines of standard input or of a file as records."`
	Consume consumeCmd `cmd:"" help:"Print the records of topics."`
	Queue   queueCmd   `cmd:"" help:"Send, receive and acknowledge messages; create and watch queues, redrive their dead letters."`
	Group   groupCmd   `cmd:"" help:"List, describe, reset and delete consumer groups."`
	Cluster clusterCmd `cmd:"" help:"Show the health of a cluster; add, drain and remove nodes."`
	Bench   benchCmd   `cmd:"" help:"Measure throughput and latency."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// streams are the three standard streams, replaced in tests.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

func main() {
	// The first signal asks for a graceful end through the context. A second one gets the default action, because
	// someone who presses Ctrl-C twice wants the process gone.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(int(run(ctx, os.Args[1:], &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})))
}

// parsed ends the parsing early with an exit code: kong wants to call os.Exit for --help, which a test cannot survive.
type parsed struct{ code int }

// run executes one command line and returns the exit code of the process.
func run(ctx context.Context, args []string, std *streams) (code exitCode) {
	defer func() {
		if r := recover(); r != nil {
			p, ok := r.(parsed)
			if !ok {
				panic(r)
			}
			code = exitCode(p.code)
		}
	}()
	parser, err := kong.New(&cli{Server: serverCmd{Other: otherSettings()}},
		kong.Name("balsa"),
		kong.Description("A Kafka-compatible distributed log with Raft replication.\n\n"+
			"Run a broker with `balsa server`; every other command is a client of --brokers."),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(parsed{code}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		return report(std.err, fmt.Errorf("build command line: %w", err))
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(joinNegative(args))
	if err != nil {
		return report(std.err, usageError(err))
	}
	return report(std.err, command.Run())
}

// usageError turns a parse error into one that names the help of the command that was meant.
func usageError(err error) error {
	hint := "balsa --help"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil {
		words := []string{"balsa"}
		for _, element := range parse.Context.Path {
			if element.Command != nil {
				words = append(words, element.Command.Name)
			}
		}
		hint = strings.Join(append(words, "--help"), " ")
	}
	return &commandError{err: err, code: exitUsage, hint: "see `" + hint + "`"}
}

// joinNegative rewrites `--from -1h` as `--from=-1h`, because the parser takes a word that starts with a dash for a
// flag, and a negative duration or count is the natural thing to write after these flags.
func joinNegative(args []string) []string {
	joined := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		takes := args[i] == "--from" || args[i] == "--to-time" || args[i] == "--shift-by"
		if takes && i+1 < len(args) && len(args[i+1]) > 1 && args[i+1][0] == '-' && args[i+1][1] >= '0' && args[i+1][1] <= '9' {
			joined = append(joined, args[i]+"="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}
