//go:build unix

package mapped

import (
	"os"

	"golang.org/x/sys/unix"
)

// File maps the first size bytes of a file, copy on write so that a stray write cannot reach it.
func File(f *os.File, size int) ([]byte, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err == nil {
		add(b)
	}
	return b, err
}

// release gives the pages back that lie whole within bytes [from, to) of a mapping.
func release(f []byte, from, to int) {
	page := os.Getpagesize()
	if from, to = (from+page-1)/page*page, to/page*page; from < to {
		_ = unix.Madvise(f[from:to], unix.MADV_DONTNEED) // only a hint
	}
}
