package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat; it is 100 Hz on every Linux that Go supports.
const clockTick = 10 * time.Millisecond

// CPUTime is the user and system time that the processes have used.
func CPUTime(pids ...int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		// The second field, the program's name in parentheses, may contain blanks: count from behind it.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		for _, f := range fields[11:13] { // utime, stime
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
			}
			total += time.Duration(ticks) * clockTick
		}
	}
	return total, nil
}

// Memory is the resident memory in bytes of the processes.
func Memory(pids ...int) (int64, error) {
	var total int64
	for _, pid := range pids {
		kib, err := procField(pid, "status", "VmRSS")
		if err != nil {
			return 0, err
		}
		total += kib << 10
	}
	return total, nil
}

// IO is what a process has read and written.
type IO struct {
	ReadCalls  int64 // bytes that read system calls returned, from the page cache, the disk or a socket (rchar)
	WriteCalls int64 // bytes passed to write system calls (wchar)
	DiskRead   int64 // bytes fetched from the disk (read_bytes)
	DiskWrite  int64 // bytes sent to the disk (write_bytes)
}

// ReadIO reads /proc/PID/io.
func ReadIO(pid int) (IO, error) {
	var io IO
	for name, field := range map[string]*int64{
		"rchar": &io.ReadCalls, "wchar": &io.WriteCalls, "read_bytes": &io.DiskRead, "write_bytes": &io.DiskWrite,
	} {
		v, err := procField(pid, "io", name)
		if err != nil {
			return IO{}, err
		}
		*field = v
	}
	return io, nil
}

// Stopped says whether SIGSTOP holds a process.
func Stopped(pid int) (bool, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false, fmt.Errorf("state of process %d: %w", pid, err)
	}
	rest := strings.TrimSpace(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	return strings.HasPrefix(rest, "T"), nil
}

// procField reads a "name: number" line of a file in /proc/PID.
func procField(pid int, file, name string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			v, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s of %s: %w", name, path, err)
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("read %s: no field %s", path, name)
}
