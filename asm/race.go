//go:build race

package asm

import (
	"runtime"
	"unsafe"
)

// readRange tells the race detector, which does not see into assembly, that
// x is about to be read.
func readRange[T any](x []T) {
	if len(x) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(x)), len(x)*int(unsafe.Sizeof(x[0])))
	}
}

// writeRange tells the race detector that x is about to be written.
func writeRange[T any](x []T) {
	if len(x) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(x)), len(x)*int(unsafe.Sizeof(x[0])))
	}
}
