package log

import (
	"errors"
	"fmt"
	"io/fs"

	"balsa/log/vfs"
)

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func removeIfThere(fsys vfs.FS, path string) error {
	if err := fsys.Remove(path); err != nil && !isNotExist(err) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// writeAtomically replaces the file at path. The rename is durable only after a SyncDir of its directory.
func writeAtomically(fsys vfs.FS, path string, content []byte) error {
	temp := path + tempSuffix
	f, err := fsys.OpenFile(temp, true)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, removeIfThere(fsys, temp)))
	}
	return nil
}

func writeCheckpoint(fsys vfs.FS, dir string, c *checkpointFile) error {
	if err := writeAtomically(fsys, checkpointPath(dir), c.encode()); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
