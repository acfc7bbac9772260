package asm

import "unsafe"

// cacheLine is the alignment of packed weights, in bytes.
const cacheLine = 64

// aligned returns n zeros that start at a cache line.
func aligned[T any](n int) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	buf := make([]T, n+cacheLine/size)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf)))%cacheLine) / size
	return buf[skip : skip+n : skip+n]
}
