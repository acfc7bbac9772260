package asm

import "fmt"

// PoolSpec describes a 2-D pooling window. Unlike a convolution a pool reads a
// source without a border: the padding is a position, its elements take no part.
type PoolSpec struct {
	KH, KW               int // window size
	StrideH, StrideW     int // output to input step, at least 1
	DilationH, DilationW int // step between the window's elements, at least 1
	PadTop, PadLeft      int // rows above and columns left of the source that windows reach
}

// poolKernel reduces a window, rows by cols pixels of len(dst) channels at the
// start of src, to one pixel, then multiplies by scale.
type poolKernel = func(dst, src []float32, rows, cols, rowStep, colStep int, scale float32)

var (
	poolMaxF32 = pick[poolKernel]("poolMaxF32", active)
	poolSumF32 = pick[poolKernel]("poolSumF32", active)
)

// MaxPoolF32 computes rows [y0, y1) of the max pool of src. NaN in a window
// gives NaN; a window wholly in the padding gives -Inf. It panics when the
// channels disagree or a view reaches beyond its data. dst must not overlap src.
func MaxPoolF32(dst, src Image[float32], spec PoolSpec, y0, y1 int) {
	poolF32(poolMaxF32, dst, src, spec, y0, y1, func(int) float32 { return 1 })
}

// AveragePoolF32 is [MaxPoolF32] for the mean of the window's elements, summed
// in their order. With countPad the padding counts as zeros: it takes windows
// to lie inside the padded source.
func AveragePoolF32(dst, src Image[float32], spec PoolSpec, countPad bool, y0, y1 int) {
	poolF32(poolSumF32, dst, src, spec, y0, y1, func(count int) float32 {
		if countPad {
			count = spec.KH * spec.KW
		}
		return 1 / float32(max(count, 1))
	})
}

// GlobalAveragePoolF32 sets dst[c] to the mean of channel c of src, summed row
// by row.
func GlobalAveragePoolF32(dst []float32, src Image[float32]) {
	spec := PoolSpec{KH: src.H, KW: src.W, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	AveragePoolF32(Image[float32]{dst, 1, 1, len(dst), len(dst), len(dst)}, src, spec, false, 0, 1)
}

func poolF32(kernel poolKernel, dst, src Image[float32], spec PoolSpec, y0, y1 int, scale func(count int) float32) {
	if dst.C != src.C || !dst.inBounds() || !src.inBounds() || y0 < 0 || y1 > dst.H {
		panic(fmt.Sprintf("asm: pool of %dx%dx%d to rows [%d, %d) of %dx%dx%d", src.H, src.W, src.C, y0, y1, dst.H, dst.W, dst.C))
	}
	if dst.C == 0 {
		return
	}
	readImage(src)
	writeRows(dst, y0, y1, 0, dst.C)
	for y := y0; y < y1; y++ {
		top, rows := clipWindow(y*spec.StrideH-spec.PadTop, spec.KH, spec.DilationH, src.H)
		for x := range dst.W {
			left, cols := clipWindow(x*spec.StrideW-spec.PadLeft, spec.KW, spec.DilationW, src.W)
			window := src.Data[:0]
			if rows*cols > 0 {
				window = src.Data[top*src.RowStride+left*src.PixStride:]
			} else {
				cols = 0
			}
			pixel := dst.Data[y*dst.RowStride+x*dst.PixStride:][:dst.C]
			kernel(pixel, window, rows, cols, spec.DilationH*src.RowStride, spec.DilationW*src.PixStride, scale(rows*cols))
		}
	}
}

// clipWindow returns the first position at or after first, in steps of
// dilation, that is inside [0, size), and how many of the window's are.
func clipWindow(first, window, dilation, size int) (start, count int) {
	start, end := first, window // end: in steps from first
	skip := 0
	if first < 0 {
		skip = (-first + dilation - 1) / dilation
		start = first + skip*dilation
	}
	if inside := (size - first + dilation - 1) / dilation; end > inside {
		end = inside
	}
	return start, max(end-skip, 0)
}
