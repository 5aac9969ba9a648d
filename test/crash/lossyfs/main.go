// Command lossyfs mounts a directory as a file system (FUSE) that loses what was not fsynced when it is told to crash:
// a disk in a power cut, for processes that know nothing of it.
//
//	lossyfs -root DIR -mount MNT
//
// It prints "mounted" and reads commands from its standard input. "crash KEEP SEED" (percent of unsynced pages and names
// that survive) makes DIR what the disk holds after the cut, prints what was lost as JSON, and ends. It also
// unmounts and ends when its input is closed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	root := flag.String("root", "", "backing directory")
	mount := flag.String("mount", "", "where to mount it")
	flag.Parse()
	if err := run(*root, *mount); err != nil {
		fmt.Fprintln(os.Stderr, "lossyfs:", err)
		os.Exit(1)
	}
}

func run(root, mount string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	j, err := newJournal(root)
	if err != nil {
		return err
	}
	var st syscall.Stat_t
	if err := syscall.Stat(root, &st); err != nil {
		return fmt.Errorf("look at %s: %w", root, err)
	}
	loop := &fs.LoopbackRoot{Path: root, Dev: uint64(st.Dev)}
	loop.NewNode = func(data *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &node{fs.LoopbackNode{RootData: data}, j}
	}
	top := loop.NewNode(loop, nil, "", nil)
	loop.RootNode = top
	if _, err := fs.Mount(mount, top, &fs.Options{
		MountOptions: fuse.MountOptions{FsName: "lossyfs", Name: "lossyfs", MaxWrite: 1 << 20, DirectMountStrict: true},
	}); err != nil {
		return fmt.Errorf("mount %s: %w", mount, err)
	}
	// Detached, since the processes that use it may still hold files open.
	defer syscall.Unmount(mount, syscall.MNT_DETACH)
	fmt.Println("mounted")
	return serve(j)
}

func serve(j *journal) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var keep int
		var seed uint64
		if _, err := fmt.Sscanf(in.Text(), "crash %d %d", &keep, &seed); err != nil {
			return fmt.Errorf("command %q: %w", in.Text(), err)
		}
		j.mu.Lock()
		lost, err := j.crash(keep, rand.New(rand.NewPCG(seed, 0)))
		j.mu.Unlock()
		if err != nil {
			return fmt.Errorf("crash: %w", err)
		}
		return json.NewEncoder(os.Stdout).Encode(lost)
	}
	return in.Err()
}
