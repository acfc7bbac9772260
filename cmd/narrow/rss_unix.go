//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// peakRSS returns the most memory this process has had resident, in bytes; 0
// if the system does not tell.
func peakRSS() int64 {
	// Linux's getrusage also counts what the process was before exec.
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, rest, found := bytes.Cut(status, []byte("VmHWM:")); found {
			var kb int64
			if _, err := fmt.Sscan(string(rest), &kb); err == nil {
				return kb * 1024
			}
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) * 1024
}
