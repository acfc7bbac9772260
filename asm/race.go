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

// readImage is readRange for the elements of a view.
func readImage[T any](m Image[T]) {
	for y := range m.H {
		for x := range m.W {
			readRange(m.Data[y*m.RowStride+x*m.PixStride:][:m.C])
		}
	}
}

// writeRows is writeRange for the elements of rows [y0, y1) and channels [c0,
// c1) of a view.
func writeRows[T any](m Image[T], y0, y1, c0, c1 int) {
	for y := y0; y < y1; y++ {
		for x := range m.W {
			writeRange(m.Data[y*m.RowStride+x*m.PixStride:][c0:c1])
		}
	}
}
