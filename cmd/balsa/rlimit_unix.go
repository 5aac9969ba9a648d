//go:build unix

package main

import "syscall"

// wantedFiles suffices for about a thousand partitions besides the connections; production wants more.
const wantedFiles = 8192

// raiseFileLimit raises the soft limit of open files to the hard one and returns what is then allowed. Go does this
// at start as well, but restores the old limit for children and does not tell anyone how low the result is.
func raiseFileLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			return limit.Cur, err
		}
		limit = raised
	}
	return limit.Cur, nil
}
