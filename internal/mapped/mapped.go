// Package mapped knows which memory is a file's that is mapped, and gives the pages of it back that are not needed for now.
package mapped

import (
	"sync"
	"unsafe"
)

// least is how many bytes are worth giving back.
const least = 1 << 20

var (
	mu    sync.Mutex
	files [][]byte
)

// add remembers a mapping, which stays for the life of the process.
func add(b []byte) {
	mu.Lock()
	defer mu.Unlock()
	files = append(files, b)
}

// Release gives the pages within b back to the system if b is part of a mapped file: they are read again from there when they are
// touched the next time. Of any other memory, and of few bytes, nothing happens. Mapped memory must never have been written to.
func Release(b []byte) {
	if len(b) < least {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	at := uintptr(unsafe.Pointer(&b[0]))
	for _, f := range files {
		start := uintptr(unsafe.Pointer(&f[0]))
		if at >= start && at+uintptr(len(b)) <= start+uintptr(len(f)) {
			release(f, int(at-start), int(at-start)+len(b))
			return
		}
	}
}
