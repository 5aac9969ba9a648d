package log

import (
	"slices"
	"sort"
	"sync"

	"balsa/log/vfs"
)

// AbortedTxn is an aborted transaction of one producer: readers of committed records leave out its records.
type AbortedTxn struct {
	ProducerID int64
	First      Offset // of its first record in this log
	Last       Offset // of its marker
	// LastStable is the last stable offset when the marker was applied: no transaction that ends later has records below.
	LastStable Offset
}

// txnIndex is the file of the aborted transactions whose markers are in one segment, in the order of the markers. Most
// segments have none. It is replaced as a whole, and never read but where it is needed.
type txnIndex struct {
	file lazyFile
	base Offset

	mu     sync.Mutex
	exists bool // the file
	loaded bool // n is known
	n      int  // entries in the file
}

func (x *txnIndex) init(fs vfs.FS, path string, base Offset) {
	x.file = lazyFile{fs: fs, path: path}
	x.base = base
}

// open returns the file and its number of entries; nil when there is none. The caller releases it.
func (x *txnIndex) open() (*handle, int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.exists {
		return nil, 0, nil
	}
	h, err := x.file.acquire()
	if err != nil {
		return nil, 0, err
	}
	if !x.loaded {
		if x.n, err = readTxnHeader(h, x.file.path, x.base); err != nil {
			h.release()
			return nil, 0, err
		}
		x.loaded = true
	}
	return h, x.n, nil
}

// txnReadEntries is how many entries are read at once.
const txnReadEntries = 256

// all returns every entry.
func (x *txnIndex) all() ([]AbortedTxn, error) {
	h, n, err := x.open()
	if h == nil || err != nil {
		return nil, err
	}
	defer h.release()
	txns := make([]AbortedTxn, n)
	return txns, x.read(h, txns, 0)
}

// last returns the last entry; ok is false when there is none.
func (x *txnIndex) last() (t AbortedTxn, ok bool, err error) {
	h, n, err := x.open()
	if h == nil || err != nil {
		return AbortedTxn{}, false, err
	}
	defer h.release()
	one := make([]AbortedTxn, 1)
	if n == 0 {
		return AbortedTxn{}, false, nil
	}
	err = x.read(h, one, n-1)
	return one[0], err == nil, err
}

// collect finds the transactions that may have records in c's range.
func (x *txnIndex) collect(c *abortedRange) error {
	h, n, err := x.open()
	if h == nil || err != nil {
		return err
	}
	defer h.release()
	one := make([]AbortedTxn, 1)
	k := sort.Search(n, func(k int) bool {
		if err == nil {
			err = x.read(h, one, k)
		}
		return err != nil || one[0].Last >= c.from
	})
	for err == nil && k < n && !c.complete {
		some := make([]AbortedTxn, min(n-k, txnReadEntries))
		if err = x.read(h, some, k); err == nil {
			c.add(some)
		}
		k += len(some)
	}
	return err
}

// read reads entries from k on.
func (x *txnIndex) read(h *handle, out []AbortedTxn, k int) error {
	return readTxns(h, x.file.path, x.base, out, k)
}

// replace makes txns the content of the file, durably but for the directory.
func (x *txnIndex) replace(txns []AbortedTxn) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := writeAtomically(x.file.fs, x.file.path, encodeTxns(x.base, txns)); err != nil {
		return err
	}
	x.file.closeNow() // readers of the old file go on
	x.exists, x.loaded, x.n = true, true, len(txns)
	return nil
}

// abortedRange collects the aborted transactions that may have records in from..to-1, in the order of their markers.
type abortedRange struct {
	from, to Offset
	found    []AbortedTxn
	latest   Offset // Last of the latest one seen: a crash while segments are merged leaves some in two files
	complete bool   // no later one has records in the range
}

func (c *abortedRange) add(txns []AbortedTxn) {
	for _, t := range txns {
		if t.Last <= c.latest {
			continue
		}
		c.latest = t.Last
		if t.Last >= c.from && t.First < c.to {
			c.found = append(c.found, t)
		}
		if t.LastStable >= c.to {
			c.complete = true
			return
		}
	}
}

// AppendAborted takes an aborted transaction, whose marker is committed; markers come in the order of their offsets. It is
// kept in memory until SaveCheckpoint writes those that the checkpoint covers. One that is known already, because entries
// are applied again after a restart, is ignored.
func (l *Log) AppendAborted(t AbortedTxn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.Last <= l.lastAborted {
		return
	}
	l.lastAborted = t.Last
	l.aborted = append(l.aborted, t)
}

// AbortedTxns returns the aborted transactions that may have records in from..to-1, ordered by their markers' offsets.
func (l *Log) AbortedTxns(from, to Offset) ([]AbortedTxn, error) {
	for {
		l.mu.RLock()
		// First: what is moved from memory to a file meanwhile is then seen twice, and not missed.
		recent := l.aborted
		l.mu.RUnlock()
		v, err := l.view()
		if err != nil {
			return nil, err
		}
		c := abortedRange{from: from, to: to, latest: -1}
		for k := max(v.byOffset(from), 0); k < len(v.segments) && err == nil && !c.complete; k++ {
			err = v.segments[k].txns.collect(&c)
		}
		if err == nil {
			if !c.complete {
				c.add(recent)
			}
			return c.found, nil
		}
		if !l.changedSince(v) {
			return nil, err
		}
	}
}

// flushAborted writes the transactions whose markers lie below next. The caller holds adminMu.
func (l *Log) flushAborted(next Offset) error {
	l.mu.RLock()
	n := sort.Search(len(l.aborted), func(k int) bool { return l.aborted[k].Last >= next })
	due := l.aborted[:n:n]
	v := view{segments: l.segments}
	l.mu.RUnlock()
	if n == 0 {
		return nil
	}
	for at := 0; at < n; {
		k := max(v.byOffset(due[at].Last), 0)
		end := n
		if k+1 < len(v.segments) {
			end = sort.Search(n, func(i int) bool { return due[i].Last >= v.segments[k+1].base })
		}
		x := &v.segments[k].txns
		old, err := x.all()
		if err != nil {
			return err
		}
		if err := x.replace(append(old, due[at:end]...)); err != nil {
			return err
		}
		// File after file: should a crash leave some, then the first ones, since the last one tells what is known already.
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
		at = end
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborted = append([]AbortedTxn(nil), l.aborted[n:]...)
	return nil
}

// findLastAborted looks up what AppendAborted compares with.
func (l *Log) findLastAborted() error {
	l.lastAborted = -1
	for _, s := range slices.Backward(l.segments) {
		t, ok, err := s.txns.last()
		if err != nil {
			return err
		}
		if ok {
			l.lastAborted = t.Last
			return nil
		}
	}
	return nil
}
