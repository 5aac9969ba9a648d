package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = time.Second / 100

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// processSample is what /proc says about one process at one time.
type processSample struct {
	pid     int
	cpu     time.Duration
	written int64 // bytes that this process caused to be written to storage (write_bytes)
	peak    int64 // VmHWM, bytes
}

// processOutcome is what one process did during a load.
type processOutcome struct {
	PID          int     `json:"pid"`
	CPUSeconds   float64 `json:"cpu_seconds"`
	BytesWritten int64   `json:"bytes_written"`
	PeakRSS      int64   `json:"peak_rss_bytes"`
}

func (s processSample) since(before processSample) processOutcome {
	return processOutcome{s.pid, (s.cpu - before.cpu).Seconds(), s.written - before.written, s.peak}
}

func sampleProcesses(pids []int) ([]processSample, error) {
	var samples []processSample
	for _, pid := range pids {
		sample, err := sampleProcess(pid)
		if err != nil {
			return nil, failf("--server-pids needs Linux and processes of this machine", "process %d: %w", pid, err)
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

func sampleProcess(pid int) (processSample, error) {
	sample := processSample{pid: pid}
	directory := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(directory, "stat"))
	if err != nil {
		return sample, err
	}
	// The second field is the command in parentheses and may itself hold spaces and parentheses.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3 // man 5 proc counts from 1; the first two fields are cut off
	if len(fields) <= stime {
		return sample, fmt.Errorf("unexpected content of %s/stat", directory)
	}
	for _, field := range []int{utime, stime} {
		ticks, err := strconv.ParseInt(string(fields[field]), 10, 64)
		if err != nil {
			return sample, fmt.Errorf("read %s/stat: %w", directory, err)
		}
		sample.cpu += time.Duration(ticks) * clockTick
	}
	if sample.written, err = procField(filepath.Join(directory, "io"), "write_bytes:"); err != nil {
		return sample, err
	}
	peak, err := procField(filepath.Join(directory, "status"), "VmHWM:")
	sample.peak = peak << 10
	return sample, err
}

// procField reads a "name: number" line.
func procField(path, name string) (int64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
