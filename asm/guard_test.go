//go:build unix

package asm

import (
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns two zeroed slices of n elements whose neighbours cannot be
// touched: the element after the last of atEnd, and the one before the first
// of atStart, lie on a page that faults on any access. The memory goes away
// when the test ends.
func guarded[T any](t testing.TB, n int) (atEnd, atStart []T) {
	t.Helper()
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	page := syscall.Getpagesize()
	inside := (size + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, 2*inside+3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("guarded: %v", err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	for _, at := range []int{0, page + inside, 2*page + 2*inside} {
		if err := syscall.Mprotect(mem[at:at+page], syscall.PROT_NONE); err != nil {
			t.Fatalf("guarded: %v", err)
		}
	}
	slice := func(at int) []T { return unsafe.Slice((*T)(unsafe.Pointer(&mem[at])), n) }
	return slice(page + inside - size), slice(2*page + inside)
}

// guardedCopies returns copies of x made by guarded.
func guardedCopies[T any](t testing.TB, x []T) (atEnd, atStart []T) {
	t.Helper()
	atEnd, atStart = guarded[T](t, len(x))
	copy(atEnd, x)
	copy(atStart, x)
	return atEnd, atStart
}

func TestGuardedIsPlacedBesideGuardPages(t *testing.T) {
	page := uintptr(syscall.Getpagesize())
	for _, n := range []int{0, 1, 3, 1023, 1024, 1025} {
		atEnd, atStart := guarded[float32](t, n)
		if len(atEnd) != n || len(atStart) != n {
			t.Fatalf("n=%d: lengths %d and %d", n, len(atEnd), len(atStart))
		}
		if n == 0 {
			continue
		}
		end := uintptr(unsafe.Pointer(&atEnd[n-1])) + unsafe.Sizeof(atEnd[0])
		if start := uintptr(unsafe.Pointer(&atStart[0])); end%page != 0 || start%page != 0 {
			t.Errorf("n=%d: ends at %#x, starts at %#x: not at a page's border", n, end, start)
		}
		atEnd[0], atEnd[n-1], atStart[0], atStart[n-1] = 1, 1, 1, 1
	}
}
