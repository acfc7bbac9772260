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
	switch {
	case rows == 1 && ldd == 1 || cols == 1 && lds == 1:
		copy(dst[:rows*cols], src)
	case rows == 3:
		interleave3(dst, src[:cols], src[lds:][:cols], src[2*lds:][:cols], ldd)
	case cols == 3:
		separate3(dst[:rows], dst[ldd:][:rows], dst[2*ldd:][:rows], src, lds)
	default:
		transposeBlocks(dst, src, rows, cols, ldd, lds)
	}
}

// interleave3 transposes three rows, the channels of a picture.
func interleave3[T any](dst, r, g, b []T, ldd int) {
	g, b = g[:len(r)], b[:len(r)]
	for j, v := range r {
		pixel := (*[3]T)(dst[j*ldd:])
		pixel[0], pixel[1], pixel[2] = v, g[j], b[j]
	}
}

// separate3 undoes interleave3.
func separate3[T any](r, g, b, src []T, lds int) {
	g, b = g[:len(r)], b[:len(r)]
	for j := range r {
		pixel := (*[3]T)(src[j*lds:])
		r[j], g[j], b[j] = pixel[0], pixel[1], pixel[2]
	}
}

func transposeBlocks[T any](dst, src []T, rows, cols, ldd, lds int) {
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
