package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// Event is what a worker knows for sure.
type Event string

// The events of a journal. A worker writes one before it acts on it, so that its death at any moment leaves no act unrecorded.
const (
	Got     Event = "got"     // a message was delivered
	Accept  Event = "accept"  // the worker is about to accept a message; what comes of it is unknown until OK
	Release Event = "release" // likewise
	Reject  Event = "reject"  // likewise
	OK      Event = "ok"      // the broker answered the Accept, Release or Reject before with success
	Renewed Event = "renewed" // the broker answered a renewal with success
	Lost    Event = "lost"    // a connection ended, and with it maybe all locks of the worker
)

// Place is where a message lies in the topic.
type Place struct {
	Partition int32 `json:"p"`
	Offset    int64 `json:"o"`
}

// Entry is a line of a journal. Times are in nanoseconds since 1970.
type Entry struct {
	Event Event `json:"e"`
	At    int64 `json:"t"` // when; of Got: when the answer with the message arrived
	Place
	Message *Message `json:"m,omitempty"` // of Got; nil there: the value was damaged
	Count   int32    `json:"c,omitempty"` // of Got: the delivery count
	// Sent is when the request was written, at the earliest, that acquired (Got) or renewed the lock. The lock began later than that.
	Sent int64 `json:"s,omitempty"`
	// Until is a time at which the lock surely still holds, if nothing ends it early: Sent and the length of the lock.
	Until int64 `json:"u,omitempty"`
}

// Journal is the file of one worker process. What Write returned for is kept whatever happens to the process. It is safe
// for concurrent use.
type Journal struct {
	mu   sync.Mutex // lets one at a time write
	file *os.File
}

// CreateJournal makes a new file.
func CreateJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	return &Journal{file: f}, nil
}

// Write appends entries.
func (j *Journal) Write(entries ...Entry) error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, e := range entries {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// Tail follows a Journal that another process writes.
type Tail struct {
	path string
	at   int64
}

// NewTail makes a Tail that begins at the start of the file, which need not exist yet.
func NewTail(path string) *Tail { return &Tail{path: path} }

// Next gives each entry that came since the last call to add. A line that is not complete, which a killed process leaves, is none.
func (t *Tail) Next(add func(Entry)) error {
	f, err := os.Open(t.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil || size == t.at {
		return err
	}
	data := make([]byte, size-t.at)
	if _, err := f.ReadAt(data, t.at); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	for {
		line, rest, complete := bytes.Cut(data, []byte("\n"))
		if !complete {
			return nil
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read journal %s: %q: %w", t.path, line, err)
		}
		add(e)
		t.at += int64(len(line)) + 1
		data = rest
	}
}
