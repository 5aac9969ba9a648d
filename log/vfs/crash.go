package vfs

import (
	"maps"
	"math/rand/v2"
)

// Crash returns the file system as a power cut at this moment could leave it; m itself does not change and must not
// be used any more by what is said to have crashed. What was synced is kept. Of the rest, seed decides:
//
//   - of a file's unsynced writes any subset of sectors (512 B or 4 KiB) lands, sectors that do not land keep what
//     they held before or are zero, and of a size extension any prefix lands;
//   - of a directory's unsynced creations, renames and removals any prefix or any subset lands.
func (m *Mem) Crash(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crasher{
		rnd:    rand.New(rand.NewPCG(seed, 0x62616c7361)),
		inodes: map[*memInode]*memInode{},
		dirs:   map[*memDir]*memDir{},
	}
	after := NewMem()
	after.root = c.dir(m.root)
	return after
}

// crasher makes the copy. Nodes are memoised because two names may hold one inode (a rename that landed by half).
type crasher struct {
	rnd    *rand.Rand
	inodes map[*memInode]*memInode
	dirs   map[*memDir]*memDir
}

// fate is how a crash treats the changes of one file or directory.
type fate int

const (
	fateNone   fate = iota // nothing unsynced landed
	fateAll                // all of it did
	fatePrefix             // the first changes did
	fateSubset             // any of them did
	fates
)

// choose says which of n changes land.
func (c *crasher) choose(n int) []bool {
	landed := make([]bool, n)
	f := fate(c.rnd.IntN(int(fates)))
	prefix := c.rnd.IntN(n + 1)
	for i := range landed {
		switch f {
		case fateAll:
			landed[i] = true
		case fatePrefix:
			landed[i] = i < prefix
		case fateSubset:
			landed[i] = c.rnd.IntN(2) == 0
		}
	}
	return landed
}

func (c *crasher) dir(d *memDir) *memDir {
	if done, ok := c.dirs[d]; ok {
		return done
	}
	after := newMemDir()
	c.dirs[d] = after
	names := map[string]any{}
	maps.Copy(names, d.durable)
	landed := c.choose(len(d.pending))
	for i, change := range d.pending {
		if landed[i] {
			change.applyTo(names)
		}
	}
	for _, name := range sortedKeys(names) {
		switch node := names[name].(type) {
		case *memDir:
			after.now[name] = c.dir(node)
		case *memInode:
			after.now[name] = c.inode(node)
		}
		after.durable[name] = after.now[name]
	}
	return after
}

func (c *crasher) inode(n *memInode) *memInode {
	if done, ok := c.inodes[n]; ok {
		return done
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	d := landing{
		rnd:    c.rnd,
		disk:   append([]byte(nil), n.durable...),
		size:   int64(len(n.durable)),
		live:   append([]byte(nil), n.durable...),
		sector: 512,
	}
	if c.rnd.IntN(2) == 0 {
		d.sector = 4096
	}
	f := fate(c.rnd.IntN(int(fates)))
	prefix := c.rnd.IntN(len(n.pending) + 1)
	for i, change := range n.pending {
		d.live = applyChange(d.live, change)
		switch {
		case f == fateAll, f == fatePrefix && i < prefix:
			d.whole(change)
		case f == fatePrefix && i == prefix, f == fateSubset:
			d.torn(change)
		}
	}
	content := resize(d.disk, d.size)
	after := &memInode{data: content, durable: append([]byte(nil), content...)}
	c.inodes[n] = after
	return after
}

// landing is a file whose unsynced changes reach the disk one by one, or do not. A disk writes sectors whole, and as the
// page cache has them, so that earlier changes of a sector land with a later one. What a sector holds beyond the file's
// size shows when the size lands.
type landing struct {
	rnd    *rand.Rand
	disk   []byte
	size   int64
	live   []byte // the page cache at the time
	sector int64
}

func (d *landing) whole(change memChange) {
	if change.data == nil {
		d.truncate(change.off)
		return
	}
	end := change.off + int64(len(change.data))
	for at := change.off / d.sector * d.sector; at < end; at += d.sector {
		d.land(at)
	}
	d.size = max(d.size, end)
}

// torn lands any of the sectors, and of a size extension any prefix.
func (d *landing) torn(change memChange) {
	if change.data == nil {
		if d.rnd.IntN(2) == 0 {
			d.truncate(change.off)
		}
		return
	}
	end := change.off + int64(len(change.data))
	for at := change.off / d.sector * d.sector; at < end; at += d.sector {
		if d.rnd.IntN(2) == 0 {
			d.land(at)
		}
	}
	if grow := end - d.size; grow > 0 {
		switch d.rnd.IntN(3) {
		case 0: // the size does not land
		case 1:
			d.size += d.rnd.Int64N(grow + 1)
		default:
			d.size = end
		}
	}
}

func (d *landing) land(at int64) {
	end := min(at+d.sector, int64(len(d.live)))
	if end > int64(len(d.disk)) {
		d.disk = resize(d.disk, end)
	}
	copy(d.disk[at:end], d.live[at:end])
}

func (d *landing) truncate(size int64) {
	d.size = size
	d.disk = resize(d.disk, min(size, int64(len(d.disk))))
}
