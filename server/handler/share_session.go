package handler

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/share"
)

// Share sessions (KIP-932): the broker remembers which partitions a member of a share group fetches from it, so that a request names
// only what changed. What the member acquired is bound to the session: when it ends, because the member says so or its
// connection is gone, the records are given back.

// shareSessionLimits bounds what sessions cost.
type shareSessionLimits struct {
	sessions   int // group.share.max.share.sessions
	partitions int // of all sessions together
}

func defaultShareSessionLimits(sessions int) shareSessionLimits {
	return shareSessionLimits{sessions: sessions, partitions: 1_000_000}
}

// shareKey names a session.
type shareKey struct{ group, member string }

// sharePartition is a partition of a session.
type sharePartition struct {
	cluster.TopicPartition // by the id that clients know

	news     bool  // the next answer names it whatever there is
	told     int16 // the error in the last answer that named it
	acquired bool  // records of it were delivered in this session
}

// shareSession is one member's session. Its fields belong to shareSessions.mu, but for those that never change.
type shareSession struct {
	shareKey

	owner *Session      // the connection that opened it
	ended chan struct{} // closed when it is over

	epoch int32             // of the next request
	order []*sharePartition // the next fetch serves them in this order
	byKey map[cluster.TopicPartition]*sharePartition
	left  map[cluster.TopicPartition]struct{} // not fetched any more, but records of them were delivered
}

// shareSessions is the cache of sessions. Safe for concurrent use.
type shareSessions struct {
	limits shareSessionLimits

	mu         sync.Mutex
	sessions   map[shareKey]*shareSession
	partitions int // in all sessions
}

func newShareSessions(limits shareSessionLimits) *shareSessions {
	return &shareSessions{limits: limits, sessions: make(map[shareKey]*shareSession)}
}

// shareContext is what one request reads of its session.
type shareContext struct {
	cache      *shareSessions
	session    *shareSession
	partitions []shareTarget
}

// shareTarget is a partition to acquire from, and the error that the client was told about it last.
type shareTarget struct {
	cluster.TopicPartition

	told int16
}

// endedShares is what a session that is over has to give back.
type endedShares struct {
	shareKey

	partitions []cluster.TopicPartition
}

// open returns the session of a ShareFetch request after applying the request to it; with the final epoch it stays as it is. replaced
// is what is to be given back because the member has come back on another connection: the one that it had is dead, even if
// that has not been noticed yet. On the same connection it may still acknowledge what it got. Errors:
// ShareSessionNotFound, InvalidShareSessionEpoch, ShareSessionLimitReached, and InvalidRequest for acknowledgements in what
// opens a session.
func (s *shareSessions) open(
	owner *Session, key shareKey, req *kmsg.ShareFetchRequest, acknowledges bool,
) (c *shareContext, replaced *endedShares, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[key]
	switch {
	case req.ShareSessionEpoch == initialEpoch:
		if acknowledges {
			return nil, nil, kerr.InvalidRequest
		}
		session, replaced, err = s.replace(owner, key, req)
	case session == nil:
		err = kerr.ShareSessionNotFound
	case req.ShareSessionEpoch == finalEpoch:
		return &shareContext{cache: s, session: session}, nil, nil
	case req.ShareSessionEpoch != session.epoch:
		err = kerr.InvalidShareSessionEpoch
	default:
		err = s.update(session, req)
	}
	if err != nil {
		return nil, replaced, err
	}
	session.epoch = nextSessionEpoch(session.epoch)
	c = &shareContext{cache: s, session: session, partitions: make([]shareTarget, len(session.order))}
	for i, p := range session.order {
		c.partitions[i] = shareTarget{p.TopicPartition, p.told}
	}
	return c, replaced, nil
}

// acknowledge returns the session of a ShareAcknowledge request, which uses up an epoch, too, unless it is the final one.
func (s *shareSessions) acknowledge(key shareKey, epoch int32) (*shareContext, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[key]
	switch {
	case epoch == initialEpoch: // only a fetch opens a session
		return nil, kerr.InvalidShareSessionEpoch
	case session == nil:
		return nil, kerr.ShareSessionNotFound
	case epoch == finalEpoch:
	case epoch != session.epoch:
		return nil, kerr.InvalidShareSessionEpoch
	default:
		session.epoch = nextSessionEpoch(epoch)
	}
	return &shareContext{cache: s, session: session}, nil
}

// replace opens a session instead of the one that there may be. With s.mu.
func (s *shareSessions) replace(
	owner *Session, key shareKey, req *kmsg.ShareFetchRequest,
) (session *shareSession, replaced *endedShares, err error) {
	before := s.sessions[key]
	if before != nil {
		replaced = s.end(before)
	}
	if session, err = s.create(owner, key, req); err != nil || before == nil || before.owner != owner {
		return session, replaced, err
	}
	s.partitions -= session.size()
	session.inherit(before)
	s.partitions += session.size()
	return session, nil, nil
}

// create opens a session. With s.mu.
func (s *shareSessions) create(owner *Session, key shareKey, req *kmsg.ShareFetchRequest) (*shareSession, error) {
	named := namedShares(req)
	if len(s.sessions) >= s.limits.sessions || s.partitions+len(named) > s.limits.partitions {
		return nil, kerr.ShareSessionLimitReached
	}
	session := &shareSession{
		shareKey: key, owner: owner, ended: make(chan struct{}),
		byKey: make(map[cluster.TopicPartition]*sharePartition, len(named)),
	}
	session.add(named)
	s.partitions += session.size()
	s.sessions[key] = session
	if owner.shares == nil {
		owner.shares = make(map[*shareSession]struct{})
	}
	owner.shares[session] = struct{}{}
	return session, nil
}

// update applies an incremental request to its session. With s.mu.
func (s *shareSessions) update(session *shareSession, req *kmsg.ShareFetchRequest) error {
	named := namedShares(req)
	if s.partitions+len(named) > s.limits.partitions { // not worth counting which of them are new
		return kerr.ShareSessionLimitReached
	}
	s.partitions -= session.size()
	session.add(named)
	session.forget(req)
	s.partitions += session.size()
	return nil
}

// end takes a session out of the cache. With s.mu.
func (s *shareSessions) end(session *shareSession) *endedShares {
	delete(s.sessions, session.shareKey)
	delete(session.owner.shares, session)
	s.partitions -= session.size()
	close(session.ended)
	e := &endedShares{shareKey: session.shareKey, partitions: make([]cluster.TopicPartition, 0, session.size())}
	for _, p := range session.order {
		e.partitions = append(e.partitions, p.TopicPartition)
	}
	for p := range session.left {
		e.partitions = append(e.partitions, p)
	}
	return e
}

// endAll ends the sessions of a connection.
func (s *shareSessions) endAll(owner *Session) []*endedShares {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*endedShares
	for session := range owner.shares {
		all = append(all, s.end(session))
	}
	return all
}

// size returns how many partitions a session remembers.
func (s *shareSession) size() int { return len(s.order) + len(s.left) }

func (s *shareSession) add(named []cluster.TopicPartition) {
	for _, key := range named {
		if s.byKey[key] != nil {
			continue
		}
		_, acquired := s.left[key]
		delete(s.left, key)
		p := &sharePartition{TopicPartition: key, news: true, acquired: acquired}
		s.byKey[key] = p
		s.order = append(s.order, p)
	}
}

// inherit remembers what was delivered in the session before, and is still to be given back at the end.
func (s *shareSession) inherit(before *shareSession) {
	for p := range before.left {
		s.leave(p)
	}
	for _, p := range before.order {
		if p.acquired {
			s.leave(p.TopicPartition)
		}
	}
}

// leave remembers a partition with records that were delivered.
func (s *shareSession) leave(key cluster.TopicPartition) {
	if p := s.byKey[key]; p != nil {
		p.acquired = true
		return
	}
	if s.left == nil {
		s.left = make(map[cluster.TopicPartition]struct{})
	}
	s.left[key] = struct{}{}
}

func (s *shareSession) forget(req *kmsg.ShareFetchRequest) {
	if len(req.ForgottenTopicsData) == 0 {
		return
	}
	for _, t := range req.ForgottenTopicsData {
		for _, number := range t.Partitions {
			key := cluster.TopicPartition{Topic: t.TopicID, Partition: number}
			p := s.byKey[key]
			delete(s.byKey, key)
			if p != nil && p.acquired {
				s.leave(key)
			}
		}
	}
	kept := s.order[:0]
	for _, p := range s.order {
		if s.byKey[p.TopicPartition] == p {
			kept = append(kept, p)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// namedShares lists the partitions that a request names.
func namedShares(req *kmsg.ShareFetchRequest) []cluster.TopicPartition {
	var named []cluster.TopicPartition
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			named = append(named, cluster.TopicPartition{Topic: t.TopicID, Partition: t.Partitions[j].Partition})
		}
	}
	return named
}

// close tells which of the results, which are those of c.partitions, the answer names, and remembers what the client thereby
// learns. Partitions that gave records go to the end of the line, so that with a limit on the answer's size all get their turn.
func (c *shareContext) close(results []shared) (include []bool) {
	include = make([]bool, len(results))
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	served := make(map[*sharePartition]bool)
	for i := range results {
		a := &results[i].answer
		include[i] = a.ErrorCode != 0 || len(a.Acquired) > 0
		p := c.session.byKey[c.partitions[i].TopicPartition]
		if p == nil {
			continue // another connection changed the session
		}
		include[i] = include[i] || p.news || p.told != 0 // an error that is gone is news
		p.news, p.told = false, a.ErrorCode
		if len(a.Acquired) > 0 {
			p.acquired = true
			served[p] = true
		}
	}
	c.session.order = rotated(c.session.order, served)
	return include
}

// over says whether the session has ended.
func (c *shareContext) over() bool {
	select {
	case <-c.session.ended:
		return true
	default:
		return false
	}
}

// end ends the session, unless it is over already: then it returns nil.
func (c *shareContext) end() *endedShares {
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	if c.cache.sessions[c.session.shareKey] != c.session {
		return nil
	}
	return c.cache.end(c.session)
}

// closeShares ends the share sessions of a connection that is gone.
func (b *Broker) closeShares(owner *Session) {
	for _, ended := range b.shares.endAll(owner) {
		b.releaseShares(ended)
	}
}

// releaseShares gives back what a session that is over had. A detached member has no use for its session but to ask: its records are
// its own until their locks end.
func (b *Broker) releaseShares(ended *endedShares) {
	if ended == nil || share.Detached(ended.member) {
		return
	}
	img := b.Metadata.Image()
	for _, p := range ended.partitions {
		t, err := topicWithID(img, p.Topic)
		if err != nil {
			continue // it is gone, and so are its records
		}
		if r, err := b.replica(t, p.Partition); err == nil {
			r.ShareRelease(ended.group, ended.member)
		}
	}
}
