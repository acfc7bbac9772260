package mutation

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// limitMemory makes allocations fail, and so the process, that take more than so many bytes beyond what it has.
func limitMemory(more uint64) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return
	}
	pages, _ := strconv.ParseUint(strings.Fields(string(b))[0], 10, 64)
	size := pages*uint64(os.Getpagesize()) + more
	unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: size, Max: size})
}

// processorTime returns how long the process has been computing.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
