package raft

import (
	"fmt"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

// sendEntries ships req in requests of at most requestBytes, one after another.
func (t *groupTransport) sendEntries(s *session, n NodeID, req *hraft.AppendEntriesRequest,
	resp *hraft.AppendEntriesResponse,
) error {
	h := appendHeader{
		group: t.group, term: req.Term, prevIndex: req.PrevLogEntry, prevTerm: req.PrevLogTerm, batches: t.plog != nil,
	}
	rest := req.Entries
	for {
		h.reserve = t.host.useReserve(t.group)
		body, records, sent, err := t.chunk(&h, req.LeaderCommitIndex, rest)
		if err != nil {
			return err
		}
		t.throttleTo(t.ctx, n, records.Bytes)
		answer, err := s.conns[dataClass(t.group)].request(t.ctx, frameAppend, body, records)
		records.Release()
		if err != nil {
			return err
		}
		r := &reader{b: answer}
		*resp = r.appendResponse(n)
		t.host.pool.Put(answer)
		if r.err != nil {
			return r.err
		}
		if !resp.Success || sent >= len(rest) {
			return nil
		}
		h.prevIndex, h.prevTerm = rest[sent-1].Index, rest[sent-1].Term
		rest = rest[sent:]
	}
}

// chunk prepares the next request of a run of entries and says how many are in it: more than the run has when it ends within a
// gap, which is shipped whole. The follower then meets entries that it has already, once more.
func (t *groupTransport) chunk(h *appendHeader, commit uint64, rest []*hraft.Log) ([]byte, *log.Slice, int, error) {
	sent := len(rest)
	records := &log.Slice{}
	if len(rest) > 0 && t.plog != nil {
		first, last := log.Index(rest[0].Index), log.Index(rest[len(rest)-1].Index)
		s, through, err := t.plog.ReadEntries(first, last, requestBytes)
		if err != nil {
			return nil, nil, 0, fmt.Errorf("read entries %d-%d to replicate: %w", first, last, err)
		}
		*records, sent = s, int(through-first)+1
	}
	h.count = uint32(sent)
	// The follower takes the smaller of this and its own last index, which may lie in a part of its log that conflicts
	// with ours and that this request does not reach (raft.go, appendEntries). So never beyond what it does reach.
	h.commitIndex = min(commit, h.prevIndex+uint64(sent))
	body := h.appendTo(make([]byte, 0, appendHeaderLen))
	if t.plog == nil {
		for _, l := range rest {
			body = appendEntry(body, l)
		}
	}
	return body, records, sent, nil
}
