package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/cmd/balsa/sharegroup"
)

// exitCode is what the process ends with.
type exitCode int

// Exit codes, stable across releases.
const (
	exitOK          exitCode = 0   // done
	exitFailed      exitCode = 1   // the operation failed, records failed, or the cluster is unhealthy
	exitUsage       exitCode = 2   // wrong command, flag or configuration; nothing was done
	exitUnreachable exitCode = 3   // no broker answered
	exitNothing     exitCode = 4   // no message came in the time that `balsa queue receive` waits
	exitInterrupted exitCode = 130 // stopped by a signal before the work was done
)

// commandError is an error with what the user may do about it and the exit code it causes.
type commandError struct {
	err  error
	hint string // may be empty
	code exitCode
}

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// errPrinted ends a command whose output already says what is wrong.
var errPrinted = errors.New("already reported")

// failf is a failure of the operation with a hint.
func failf(hint, format string, args ...any) error {
	return &commandError{err: fmt.Errorf(format, args...), hint: hint, code: exitFailed}
}

// usagef is a mistake in the command line.
func usagef(hint, format string, args ...any) error {
	return &commandError{err: fmt.Errorf(format, args...), hint: hint, code: exitUsage}
}

// report writes err for a person and returns the exit code it stands for.
func report(w io.Writer, err error) exitCode {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errPrinted) {
		return exitFailed
	}
	hint, code := explain(err)
	switch code {
	case exitInterrupted:
		fmt.Fprintln(w, "balsa: interrupted")
		return code
	case exitNothing: // which is no error
		fmt.Fprintf(w, "%v\n", err)
		return code
	}
	fmt.Fprintf(w, "balsa: error: %v\n", err)
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
	return code
}

// explain finds the hint and the exit code of an error.
func explain(err error) (hint string, code exitCode) {
	if command, ok := errors.AsType[*commandError](err); ok {
		return command.hint, command.code
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return "", exitInterrupted
	}
	for _, known := range hints {
		if errors.Is(err, known.err) {
			return known.hint, exitFailed
		}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return unreachableHint, exitUnreachable
	}
	return "", exitFailed
}

const unreachableHint = "is a broker running there? start one with `balsa server`, or name another with --brokers host:port"

// hints says what to do about the errors that people meet. Only for errors whose remedy is not in their text.
var hints = []struct {
	err  error
	hint string
}{
	{kerr.UnknownTopicOrPartition, "list the topics with `balsa topic list`, create one with `balsa topic create NAME`"},
	{kerr.TopicAlreadyExists, "`--if-not-exists` makes this a success; change a topic with `balsa topic alter`"},
	{kerr.InvalidReplicationFactor, "the cluster has too few brokers for --replicas; see `balsa cluster status`"},
	{kerr.NonEmptyGroup, "the group has members; stop its consumers first (`balsa group describe` shows them)"},
	{kerr.GroupIDNotFound, "list the groups with `balsa group list`"},
	{kerr.InvalidConfig, "configs are Kafka's topic configs, see `balsa topic describe NAME --configs`"},
	{sharegroup.ErrUnsupported, "queues need brokers with share groups: balsa's, or Kafka's from 4.2 on"},
	{sharegroup.ErrReceipt, "receipts are what `balsa queue receive` prints first, or with --format '%r\\n'"},
	{kerr.MessageTooLarge, "raise the topic's max.message.bytes with `balsa topic alter NAME --config max.message.bytes=...`"},
}

// oneLine makes a message of a library fit one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }
