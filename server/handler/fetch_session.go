package handler

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// Fetch sessions (KIP-227): the broker remembers which partitions a consumer reads, and from where, so that a fetch names
// only what changed and an answer only what is new.

const (
	noSession    = 0
	initialEpoch = 0  // opens a session, or with an id replaces it
	finalEpoch   = -1 // closes the session, or does without one
)

// fetchSessionLimits bounds what sessions cost.
type fetchSessionLimits struct {
	sessions   int           // max.incremental.fetch.session.cache.slots
	partitions int           // of all sessions together
	evictAfter time.Duration // min.incremental.fetch.session.eviction.ms
	now        func() time.Time
}

func defaultFetchSessionLimits(sessions int) fetchSessionLimits {
	return fetchSessionLimits{sessions: sessions, partitions: 1_000_000, evictAfter: 2 * time.Minute, now: time.Now}
}

// fetchPartition is one partition that a fetch reads.
type fetchPartition struct {
	name               string          // up to version 12
	id                 cluster.TopicID // from version 13
	partition          int32
	offset             int64
	maxBytes           int32
	currentLeaderEpoch int32
	lastFetchedEpoch   int32
}

// topic finds the partition's topic in the way that the version names it.
func (p *fetchPartition) topic(img *cluster.Image, version int16) (*cluster.Topic, error) {
	if version >= 13 {
		return topicWithID(img, p.id)
	}
	return topicNamed(img, p.name)
}

// fetchKey identifies a partition in a session.
type fetchKey struct {
	name      string
	id        cluster.TopicID
	partition int32
}

func (p *fetchPartition) key() fetchKey { return fetchKey{p.name, p.id, p.partition} }

// sessionPartition is a partition of a session, with what its client was last told.
type sessionPartition struct {
	fetchPartition
	highWatermark int64
	logStart      int64
	lastStable    int64
}

// fetchSession is one consumer's session. Its fields belong to fetchSessions.mu.
type fetchSession struct {
	id       int32
	byID     bool  // opened with topic ids
	epoch    int32 // of the next request
	created  time.Time
	lastUsed time.Time
	order    []*sessionPartition // the next fetch serves them in this order
	byKey    map[fetchKey]*sessionPartition
}

// fetchSessions is the cache of sessions. Safe for concurrent use.
type fetchSessions struct {
	limits fetchSessionLimits

	mu         sync.Mutex
	sessions   map[int32]*fetchSession
	partitions int // in all sessions
}

func newFetchSessions(limits fetchSessionLimits) *fetchSessions {
	return &fetchSessions{limits: limits, sessions: make(map[int32]*fetchSession)}
}

// fetchContext is what one fetch reads and, at its end, which partitions its answer has to name.
type fetchContext struct {
	id         int32 // of the session; noSession
	partitions []fetchPartition
	cache      *fetchSessions
	full       bool // name every partition
}

// open returns what req reads, after applying it to its session. Errors: FetchSessionIDNotFound, InvalidFetchSessionEpoch,
// FetchSessionTopicIDError.
func (s *fetchSessions) open(req *kmsg.FetchRequest) (*fetchContext, error) {
	if req.Version < 7 {
		return &fetchContext{partitions: requestedPartitions(req), full: true}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case req.SessionEpoch == finalEpoch:
		s.drop(s.sessions[req.SessionID])
		return &fetchContext{partitions: requestedPartitions(req), full: true}, nil
	case req.SessionEpoch == initialEpoch:
		s.drop(s.sessions[req.SessionID])
		partitions := requestedPartitions(req)
		id := s.create(partitions, req.Version >= 13)
		return &fetchContext{id: id, partitions: partitions, cache: s, full: true}, nil
	default:
		return s.resume(req)
	}
}

// resume applies an incremental fetch to its session.
func (s *fetchSessions) resume(req *kmsg.FetchRequest) (*fetchContext, error) {
	session := s.sessions[req.SessionID]
	switch {
	case session == nil:
		return nil, kerr.FetchSessionIDNotFound
	case session.epoch != req.SessionEpoch:
		return nil, kerr.InvalidFetchSessionEpoch
	case session.byID != (req.Version >= 13):
		return nil, kerr.FetchSessionTopicIDError
	}
	s.partitions -= len(session.order)
	session.forget(req)
	for _, p := range requestedPartitions(req) {
		session.set(p)
	}
	s.partitions += len(session.order)
	if len(session.order) == 0 || s.partitions > s.limits.partitions {
		// Nothing left to remember, or too much: the client goes on without a session, respectively opens a new one.
		over := len(session.order) > 0
		s.drop(session)
		if over {
			return nil, kerr.FetchSessionIDNotFound
		}
		return &fetchContext{full: true}, nil
	}
	session.epoch = nextSessionEpoch(session.epoch)
	session.lastUsed = s.limits.now()
	fc := &fetchContext{id: session.id, cache: s, partitions: make([]fetchPartition, len(session.order))}
	for i, p := range session.order {
		fc.partitions[i] = p.fetchPartition
	}
	return fc, nil
}

// nextSessionEpoch counts up from 1 and skips the epochs with a meaning of their own.
func nextSessionEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

func (s *fetchSession) forget(req *kmsg.FetchRequest) {
	if len(req.ForgottenTopics) == 0 {
		return
	}
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			delete(s.byKey, fetchKey{t.Topic, t.TopicID, p})
		}
	}
	kept := s.order[:0]
	for _, p := range s.order {
		if s.byKey[p.key()] == p {
			kept = append(kept, p)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// set adds a partition, or changes what is fetched from it.
func (s *fetchSession) set(p fetchPartition) {
	if known := s.byKey[p.key()]; known != nil {
		known.fetchPartition = p
		return
	}
	sp := &sessionPartition{fetchPartition: p, highWatermark: -1, logStart: -1, lastStable: -1}
	s.byKey[p.key()] = sp
	s.order = append(s.order, sp)
}

// create opens a session if there is room, and returns its id, else noSession: the client then goes on with full fetches.
func (s *fetchSessions) create(partitions []fetchPartition, byID bool) int32 {
	if len(partitions) == 0 || !s.makeRoom(len(partitions)) {
		return noSession
	}
	now := s.limits.now()
	session := &fetchSession{
		id: s.newID(), byID: byID, epoch: nextSessionEpoch(initialEpoch), created: now, lastUsed: now,
		byKey: make(map[fetchKey]*sessionPartition, len(partitions)),
	}
	for _, p := range partitions {
		session.set(p)
	}
	s.sessions[session.id] = session
	s.partitions += len(session.order)
	return session.id
}

func (s *fetchSessions) newID() int32 {
	for {
		id := 1 + rand.Int32N(math.MaxInt32)
		if s.sessions[id] == nil {
			return id
		}
	}
}

// makeRoom evicts a session if the cache is full: one that has not been used for a while, or one that is not new and
// saves less than the new one would.
func (s *fetchSessions) makeRoom(size int) bool {
	if size > s.limits.partitions {
		return false
	}
	for len(s.sessions) >= s.limits.sessions || s.partitions+size > s.limits.partitions {
		var victim *fetchSession
		now := s.limits.now()
		for _, c := range s.sessions {
			stale := now.Sub(c.lastUsed) > s.limits.evictAfter
			smaller := now.Sub(c.created) > s.limits.evictAfter && len(c.order) < size
			if (stale || smaller) && (victim == nil || c.lastUsed.Before(victim.lastUsed)) {
				victim = c
			}
		}
		if victim == nil {
			return false
		}
		s.drop(victim)
	}
	return true
}

func (s *fetchSessions) drop(session *fetchSession) {
	if session == nil {
		return
	}
	delete(s.sessions, session.id)
	s.partitions -= len(session.order)
}

// close tells which results the answer names, and remembers what the client thereby learns. Partitions that gave
// records go to the end of the line, so that with a limit on the answer's size all get their turn.
func (c *fetchContext) close(results []fetched) (include []bool) {
	include = make([]bool, len(results))
	for i := range include {
		include[i] = c.full
	}
	if c.id == noSession {
		return include
	}
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	session := c.cache.sessions[c.id]
	if session == nil {
		for i := range include { // evicted meanwhile: the client will learn so with its next fetch
			include[i] = true
		}
		return include
	}
	served := make(map[*sessionPartition]bool)
	for i := range results {
		p := session.byKey[c.partitions[i].key()]
		if p == nil {
			include[i] = true // another connection changed the session
			continue
		}
		if p.update(&results[i]) {
			include[i] = true
		}
		if results[i].answer.RecordBytes > 0 {
			served[p] = true
		}
	}
	session.order = rotated(session.order, served)
	return include
}

// update remembers what the client is told, and says whether that is news.
func (p *sessionPartition) update(r *fetched) bool {
	a := &r.answer
	news := a.RecordBytes > 0 || a.ErrorCode != 0 || a.DivergingEpoch >= 0 || a.PreferredReadReplica >= 0 ||
		p.highWatermark != a.HighWatermark || p.logStart != a.LogStartOffset || p.lastStable != a.LastStableOffset
	// An answer with an error has no offsets, which makes the next one without an error news.
	p.highWatermark, p.logStart, p.lastStable = a.HighWatermark, a.LogStartOffset, a.LastStableOffset
	return news
}

// rotated returns a line with those who were served at its end.
func rotated[P comparable](order []P, served map[P]bool) []P {
	if len(served) == 0 || len(served) == len(order) {
		return order
	}
	turned := make([]P, 0, len(order))
	for _, p := range order {
		if !served[p] {
			turned = append(turned, p)
		}
	}
	for _, p := range order {
		if served[p] {
			turned = append(turned, p)
		}
	}
	return turned
}

// requestedPartitions lists the partitions that a request names, each once: as often as it is named, it would be answered
// with all its records. The last mention counts, as in Kafka.
func requestedPartitions(req *kmsg.FetchRequest) []fetchPartition {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	if n == 0 {
		return nil // most incremental fetches
	}
	out := make([]fetchPartition, 0, n)
	at := make(map[fetchKey]int, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			p := fetchPartition{
				name: t.Topic, id: t.TopicID, partition: rp.Partition, offset: rp.FetchOffset, maxBytes: rp.PartitionMaxBytes,
				currentLeaderEpoch: rp.CurrentLeaderEpoch, lastFetchedEpoch: rp.LastFetchedEpoch,
			}
			if k, named := at[p.key()]; named {
				out[k] = p
				continue
			}
			at[p.key()] = len(out)
			out = append(out, p)
		}
	}
	return out
}
