package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"
)

type produceCmd struct {
	connection
	output
	Topic string `arg:"" help:"Topic to write to."`
	File  string `arg:"" optional:"" help:"File to send, one record per line (default: standard input)."`

	KeySeparator  string        `short:"K" placeholder:"SEP" help:"Split each line at the first SEP into key and value."`
	Key           string        `short:"k" help:"Key for all records."`
	Header        []string      `short:"H" sep:"none" placeholder:"NAME=VALUE" help:"Header for all records, may be repeated."`
	Partition     int32         `short:"p" default:"-1" help:"Partition to write to (default: by hash of the key, or spread)."`
	Compression   string        `short:"z" enum:"none,gzip,snappy,lz4,zstd" default:"none" help:"none, gzip, snappy, lz4 or zstd."`
	Acks          string        `enum:"all,1,0" default:"all" help:"all, 1 or 0. A balsa broker answers 1 like all."`
	Idempotent    bool          `default:"true" negatable:"" help:"Let the broker drop what a retry would duplicate (needs --acks all)."`
	Linger        time.Duration `default:"5ms" help:"How long a batch waits to fill."`
	MaxRecord     int           `default:"1048576" placeholder:"BYTES" help:"Longest line to send (default ${default})."`
	DeliveryLimit time.Duration `name:"delivery-timeout" default:"30s" help:"How long a record may be retried."`
	Quiet         bool          `short:"q" help:"No summary."`
}

// Help is shown below the flags.
func (c *produceCmd) Help() string {
	return `Examples:
  echo "hello" | balsa produce greetings
  balsa produce users users.txt --key-separator : --compression zstd

The exit code is 0 only if every record was acknowledged.`
}

// Run sends every line and waits for the acknowledgements.
func (c *produceCmd) Run(ctx context.Context, std *streams) error {
	headers, err := parseHeaders(c.Header)
	if err != nil {
		return err
	}
	if c.Key != "" && c.KeySeparator != "" {
		return usagef("", "--key and --key-separator exclude each other")
	}
	input, name, closeInput, err := c.open(std)
	if err != nil {
		return err
	}
	defer closeInput()
	options, err := c.options()
	if err != nil {
		return err
	}
	client, err := c.dial(ctx, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	if file, ok := input.(*os.File); ok && c.File == "" && term.IsTerminal(int(file.Fd())) && !c.Quiet {
		fmt.Fprintln(std.err, "type one record per line; Ctrl-D ends")
	}
	tally := newTally()
	readErr := c.send(ctx, client, input, headers, tally)
	// An interrupt ends the reading, not the delivery of what was read.
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DeliveryLimit+c.Timeout)
	defer cancel()
	if err := client.Flush(flushCtx); err != nil {
		readErr = errors.Join(readErr, fmt.Errorf("wait for acknowledgements: %w", err))
	}
	if readErr != nil && ctx.Err() == nil {
		readErr = fmt.Errorf("read %s: %w", name, readErr)
	}
	return c.finish(std, tally, readErr)
}

func (c *produceCmd) open(std *streams) (io.Reader, string, func(), error) {
	if c.File == "" || c.File == "-" {
		return std.in, "standard input", func() {}, nil
	}
	file, err := os.Open(c.File)
	if err != nil {
		return nil, "", nil, usagef("", "%w", err)
	}
	return file, c.File, func() { _ = file.Close() }, nil
}

// batchLimit is the size of a batch at most. Brokers take defaultMaxMessage by default, so more is tried only for a
// user who says that records are longer.
func batchLimit(maxRecord int) int32 {
	const defaultMaxMessage, overhead = 1<<20 + 12, 4096
	if maxRecord <= 1<<20 {
		return defaultMaxMessage
	}
	return int32(min(maxRecord, 1<<30) + overhead)
}

func (c *produceCmd) options() ([]kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	if c.MaxRecord < 1 {
		return nil, usagef("", "--max-record must be positive")
	}
	options := []kgo.Opt{
		kgo.DefaultProduceTopic(c.Topic),
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchCompression(codecs[c.Compression]),
		kgo.ProducerBatchMaxBytes(batchLimit(c.MaxRecord)),
		kgo.ProducerLinger(c.Linger),
		kgo.RequiredAcks(acks[c.Acks]),
		kgo.RecordDeliveryTimeout(c.DeliveryLimit),
		kgo.UnknownTopicRetries(10),
	}
	if !c.Idempotent || c.Acks != "all" {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if c.Partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return options, nil
}

// finish prints the summary and turns lost records into a failure.
func (c *produceCmd) finish(std *streams, tally *tally, readErr error) error {
	summary := tally.summary(c.Topic)
	if c.json() {
		if err := printJSON(std.out, summary); err != nil {
			return err
		}
	} else if !c.Quiet {
		fmt.Fprintf(std.err, "produced %s (%s) to %s in %.2f s\n",
			plural(summary.Records, "record"), byteSize(summary.Bytes), c.Topic, summary.Seconds)
	}
	if summary.Failed > 0 {
		err := tally.firstError()
		hint, _ := explain(err)
		return failf(hint, "%s not acknowledged, the first because: %w", plural(summary.Failed, "record"), err)
	}
	return readErr
}

func parseHeaders(pairs []string) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("for example --header source=sensor-7", "header %q is not name=value", pair)
		}
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return headers, nil
}
