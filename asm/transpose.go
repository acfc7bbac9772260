package asm

import "fmt"

// interleaveKernel sets dst[3*i], dst[3*i+1], dst[3*i+2] to r[i], g[i], b[i],
// for a multiple of interleaveLanes elements.
type interleaveKernel[T any] = func(dst, r, g, b []T)

// blockKernel is the transpose of a matrix whose rows and columns are multiples of
// transposeLanes, and not 0.
type blockKernel[T any] = func(dst, src []T, rows, cols, ldd, lds int)

const (
	interleaveLanes = 16
	transposeLanes  = 8
)

// transposeKernels are the kernels of elements of one type.
type transposeKernels[T any] struct {
	interleave interleaveKernel[T]
	blocks     blockKernel[T]
}

var (
	transposeF32 = pickTranspose[float32]("F32")
	transposeU8  = pickTranspose[uint8]("U8")
)

func pickTranspose[T any](name string) transposeKernels[T] {
	return transposeKernels[T]{
		pick[interleaveKernel[T]]("interleave"+name, active),
		pick[blockKernel[T]]("transpose"+name, active),
	}
}

// TransposeF32 sets dst[j*ldd+i] = src[i*lds+j] for i < rows, j < cols: one
// sample from channels-first (rows channels of cols pixels) to channels-last, or
// back with pixels for rows. It panics when a slice is too short. dst must not
// overlap src.
func TransposeF32(dst, src []float32, rows, cols, ldd, lds int) {
	transpose(&transposeF32, dst, src, rows, cols, ldd, lds)
}

// TransposeU8 is [TransposeF32] for bytes.
func TransposeU8(dst, src []uint8, rows, cols, ldd, lds int) {
	transpose(&transposeU8, dst, src, rows, cols, ldd, lds)
}

func transpose[T any](kernels *transposeKernels[T], dst, src []T, rows, cols, ldd, lds int) {
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
		r, g, b := src[:cols], src[lds:][:cols], src[2*lds:][:cols]
		done := 0
		if ldd == 3 {
			done = cols / interleaveLanes * interleaveLanes
			readRange(src[:2*lds+done])
			writeRange(dst[:3*done])
			kernels.interleave(dst[:3*done], r[:done], g[:done], b[:done])
		}
		joinChannels(dst[ldd*done:], r[done:], g[done:], b[done:], ldd)
	case cols == 3:
		splitChannels(dst[:rows], dst[ldd:][:rows], dst[2*ldd:][:rows], src, lds)
	default:
		whole := func(n int) int { return n / transposeLanes * transposeLanes }
		m, n := whole(rows), whole(cols)
		if m == 0 || n == 0 {
			transposeBlocks(dst, src, rows, cols, ldd, lds)
			return
		}
		readRange(src[:(rows-1)*lds+cols])
		writeRange(dst[:(cols-1)*ldd+rows])
		kernels.blocks(dst, src, m, n, ldd, lds)
		if n < cols {
			transposeBlocks(dst[n*ldd:], src[n:], m, cols-n, ldd, lds)
		}
		if m < rows {
			transposeBlocks(dst[m:], src[m*lds:], rows-m, cols, ldd, lds)
		}
	}
}

func interleaveGeneric[T any](dst, r, g, b []T) { joinChannels(dst, r, g, b, 3) }

// joinChannels writes three channels as pixels that are ldd apart.
func joinChannels[T any](dst, r, g, b []T, ldd int) {
	g, b = g[:len(r)], b[:len(r)]
	for j, v := range r {
		pixel := (*[3]T)(dst[j*ldd:])
		pixel[0], pixel[1], pixel[2] = v, g[j], b[j]
	}
}

// splitChannels undoes joinChannels.
func splitChannels[T any](r, g, b, src []T, lds int) {
	g, b = g[:len(r)], b[:len(r)]
	for j := range r {
		pixel := (*[3]T)(src[j*lds:])
		r[j], g[j], b[j] = pixel[0], pixel[1], pixel[2]
	}
}

// transposeBlock keeps the rows at hand within the cache.
const transposeBlock = 16

// transposeBlocks transposes a matrix of any size.
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
