package asm

import "fmt"

// TransposeF32 sets dst[j*ldd+i] = src[i*lds+j] for i < rows, j < cols: one
// sample from channels-first (rows channels of cols pixels) to channels-last, or
// back with pixels for rows. It panics when a slice is too short. dst must not
// overlap src.
func TransposeF32(dst, src []float32, rows, cols, ldd, lds int) {
	transpose(dst, src, rows, cols, ldd, lds)
}

// TransposeU8 is [TransposeF32] for bytes.
func TransposeU8(dst, src []uint8, rows, cols, ldd, lds int) {
	transpose(dst, src, rows, cols, ldd, lds)
}

// transposeBlock keeps the rows at hand within the cache.
const transposeBlock = 16

func transpose[T any](dst, src []T, rows, cols, ldd, lds int) {
	if rows == 0 || cols == 0 {
		return
	}
	if rows < 0 || cols < 0 || lds < cols || ldd < rows || (rows-1)*lds+cols > len(src) || (cols-1)*ldd+rows > len(dst) {
		panic(fmt.Sprintf("asm: transpose of %dx%d: %d and %d elements with leading dimensions %d and %d", rows, cols, len(src), len(dst), lds, ldd))
	}
	for i0 := 0; i0 < rows; i0 += transposeBlock {
		n := min(transposeBlock, rows-i0)
		for j := range cols {
			out := dst[j*ldd+i0:][:n]
			for i := range out {
				out[i] = src[(i0+i)*lds+j]
			}
		}
	}
}
