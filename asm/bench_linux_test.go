package asm

import (
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadTime returns the processor time that the calling thread has taken.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// benchSlice returns a slice of n elements on large pages, as NumPy has them:
// with small ones the translation of addresses would be measured.
func benchSlice[T any](b *testing.B, n int) []T {
	b.Helper()
	const page = 2 << 20
	var zero T
	mem, err := syscall.Mmap(-1, 0, n*int(unsafe.Sizeof(zero))+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { syscall.Munmap(mem) })
	syscall.Madvise(mem, syscall.MADV_HUGEPAGE) // an error means small pages
	skip := -uintptr(unsafe.Pointer(&mem[0])) % page
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[skip])), n)
}
