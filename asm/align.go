package asm

import "unsafe"

// cacheLine is the alignment of packed weights, in bytes.
const cacheLine = 64

// alignedF32 returns n zeros that start at a cache line.
func alignedF32(n int) []float32 {
	const extra = cacheLine / 4
	buf := make([]float32, n+extra)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % cacheLine / 4)
	return buf[skip : skip+n : skip+n]
}
