package asm

import "fmt"

// MaxPoolU8 computes rows [y0, y1) of dst: the maximum, channel by channel, of src
// under the window that spec (without groups) describes. src holds its padding, filled with
// 0 (see [Image]), and must cover the window at every output pixel. dst
// must not overlap src. MaxPoolU8 panics when shapes disagree.
func MaxPoolU8(dst, src Image[uint8], spec ConvSpec, y0, y1 int) {
	switch {
	case dst.C != src.C || !spec.valid(dst.C, src.C) || y0 < 0 || y1 < y0 || y1 > dst.H || !spec.covers(src.H, src.W, dst.H, dst.W):
		panic(fmt.Sprintf("asm: pooling %+v of %dx%dx%d to rows [%d, %d) of %dx%dx%d", spec, src.H, src.W, src.C, y0, y1, dst.H, dst.W, dst.C))
	case !dst.inBounds() || !src.inBounds():
		panic("asm: image reaches beyond its data")
	}
	readRange(src.Data)
	for y := y0; y < y1; y++ {
		for x := range dst.W {
			out := dst.Data[y*dst.RowStride+x*dst.PixStride:][:dst.C]
			writeRange(out)
			from := src.Data[y*spec.StrideH*src.RowStride+x*spec.StrideW*src.PixStride:]
			copy(out, from)
			for ky := range spec.KH {
				for kx := range spec.KW {
					maxU8(out, from[ky*spec.DilationH*src.RowStride+kx*spec.DilationW*src.PixStride:][:dst.C])
				}
			}
		}
	}
}

// maxU8 sets dst[i] to the greater of dst[i] and src[i], for equal lengths.
var maxU8 = pick[func(dst, src []uint8)]("maxU8", active)

// GlobalAvgPoolU8 requantizes, for each channel, the sum over all pixels of
// src[c] - zero: the scale of r, which has src.C channels, holds the division by their number. dst
// has src.C elements, src at most 1<<23 pixels. It panics when shapes disagree.
//
// (A pooling window that never leaves the image, or counts its padding, is a depthwise
// convolution whose weights are 1.)
func GlobalAvgPoolU8(dst []uint8, src Image[uint8], zero uint8, r *Requant) {
	if len(dst) != src.C || r.channels != src.C || !src.inBounds() || src.H*src.W > 1<<23 {
		panic(fmt.Sprintf("asm: average of %dx%dx%d to %d bytes, with %d channels", src.H, src.W, src.C, len(dst), r.channels))
	}
	readRange(src.Data)
	writeRange(dst)
	s := s8Scratches.Get().(*s8Scratch)
	defer s.release()
	for first := 0; first < src.C; first += len(s.acc) / 2 {
		n := min(len(s.acc)/2, src.C-first)
		acc := s.acc[:n]
		for c := range acc {
			acc[c] = -int32(zero) * int32(src.H*src.W)
		}
		for y := range src.H {
			for x := range src.W {
				sumU8(acc, src.Data[y*src.RowStride+x*src.PixStride+first:][:n])
			}
		}
		s.requant = requantArgs{dst: dst[first:], src: acc, pixels: 1, channels: n}
		r.rows(&s.requant, first)
	}
}

// sumU8 adds src[i] to acc[i], for equal lengths.
var sumU8 = pick[func(acc []int32, src []uint8)]("sumU8", active)
