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
	content := append([]byte(nil), n.durable...)
	live := append([]byte(nil), n.durable...) // the page cache at the time of each change
	sector := int64(512)
	if c.rnd.IntN(2) == 0 {
		sector = 4096
	}
	f := fate(c.rnd.IntN(int(fates)))
	prefix := c.rnd.IntN(len(n.pending) + 1)
	for i, change := range n.pending {
		live = applyChange(live, change)
		switch {
		case f == fateAll, f == fatePrefix && i < prefix:
			content = applyChange(content, change)
		case f == fatePrefix && i == prefix, f == fateSubset:
			content = c.tear(content, live, change, sector)
		}
	}
	after := &memInode{data: content, durable: append([]byte(nil), content...)}
	c.inodes[n] = after
	return after
}

// tear applies a random part of one change, sector by sector. A sector lands as the page cache had it, so that earlier
// changes of the same sector land with it.
func (c *crasher) tear(content, live []byte, change memChange, sector int64) []byte {
	if change.data == nil {
		if c.rnd.IntN(2) == 0 {
			return content
		}
		return applyChange(content, change)
	}
	end := change.off + int64(len(change.data))
	if grow := end - int64(len(content)); grow > 0 {
		switch c.rnd.IntN(3) {
		case 0: // the size does not change: writes beyond it are lost
		case 1:
			content = resize(content, int64(len(content))+c.rnd.Int64N(grow+1))
		default:
			content = resize(content, end)
		}
	}
	for at := change.off / sector * sector; at < min(end, int64(len(content))); at += sector {
		if c.rnd.IntN(2) == 0 {
			copy(content[at:], live[at:min(at+sector, int64(len(live)))])
		}
	}
	return content
}
