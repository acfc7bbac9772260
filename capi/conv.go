package main

/*
#define NARROW_CONST
#include "narrow.h"
*/
import "C"

import (
	"iter"
	"sync"
	"unsafe"

	"github.com/narrow-ml/narrow/asm"
)

//export narrow_requant_by_scale
func narrow_requant_by_scale(scale *C.float, channels C.size_t, zero, lo, hi C.uint8_t, requant *C.narrow_handle) C.int {
	return call(func() error {
		return newHandle(checked(asm.RequantByFloat(floats(scale, channels), uint8(zero), uint8(lo), uint8(hi))), requant)
	})
}

//export narrow_requant_by_multiplier
func narrow_requant_by_multiplier(mul *C.int32_t, shift *C.uint8_t, channels C.size_t, zero, lo, hi C.uint8_t, requant *C.narrow_handle) C.int {
	return call(func() error {
		m := slice[int32](unsafe.Pointer(mul), channels)
		s := slice[uint8](unsafe.Pointer(shift), channels)
		return newHandle(checked(asm.RequantByMultiplier(m, s, uint8(zero), uint8(lo), uint8(hi))), requant)
	})
}

//export narrow_requant_by_shift
func narrow_requant_by_shift(shift *C.int8_t, channels C.size_t, zero, lo, hi C.uint8_t, requant *C.narrow_handle) C.int {
	return call(func() error {
		s := slice[int8](unsafe.Pointer(shift), channels)
		return newHandle(checked(asm.RequantByShift(s, uint8(zero), uint8(lo), uint8(hi))), requant)
	})
}

//export narrow_requantize
func narrow_requantize(requant C.narrow_handle, sums *C.int32_t, q *C.uint8_t, pixels C.size_t) C.int {
	return call(func() error {
		r := value[*asm.Requant](requant)
		n := volume(pixels, C.size_t(r.Channels()))
		r.Apply(slice[uint8](unsafe.Pointer(q), n), slice[int32](unsafe.Pointer(sums), n))
		return nil
	})
}

// conv is a packed convolution with what C says beside it.
type conv struct {
	packed                   *asm.ConvS8
	spec                     asm.ConvSpec
	in, out                  int // channels
	top, left, bottom, right int
	zero                     uint8
}

// maxSpec bounds the numbers of a spec.
const maxSpec = 1 << 16

//export narrow_conv_new
func narrow_conv_new(weights *C.int8_t, bias *C.int32_t, zero C.uint8_t, outChannels, inChannels C.size_t, spec *C.narrow_conv_spec, out *C.narrow_handle) C.int {
	return call(func() error {
		if spec == nil || outChannels == 0 || inChannels == 0 {
			return argument("no channels, or no spec")
		}
		s := asm.ConvSpec{KH: int(spec.kernel_h), KW: int(spec.kernel_w), StrideH: int(spec.stride_h), StrideW: int(spec.stride_w),
			DilationH: int(spec.dilation_h), DilationW: int(spec.dilation_w), Groups: int(spec.groups)}
		c := &conv{spec: s, in: int(inChannels), out: int(outChannels), zero: uint8(zero),
			top: int(spec.pad_top), left: int(spec.pad_left), bottom: int(spec.pad_bottom), right: int(spec.pad_right)}
		if min(c.top, c.left, c.bottom, c.right) < 0 || min(s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW, s.Groups) < 1 ||
			max(c.top, c.left, c.bottom, c.right, s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW) > maxSpec || c.in%s.Groups != 0 {
			return argument("convolution %+v of %d channels with padding %d, %d, %d, %d", s, c.in, c.top, c.left, c.bottom, c.right)
		}
		return c.pack(weights, bias, out)
	})
}

// pack copies the weights and hands the convolution out.
func (c *conv) pack(weights *C.int8_t, bias *C.int32_t, out *C.narrow_handle) error {
	n := volume(C.size_t(c.out), C.size_t(c.in/c.spec.Groups), C.size_t(c.spec.KH), C.size_t(c.spec.KW))
	w, b := slice[int8](unsafe.Pointer(weights), n), optional[int32](unsafe.Pointer(bias), C.size_t(c.out))
	c.packed = checked(asm.PackConvS8(w, b, c.zero, c.out, c.in, c.spec))
	return newHandle(c, out)
}

//export narrow_gemm_new
func narrow_gemm_new(b *C.int8_t, bias *C.int32_t, zero C.uint8_t, k, n C.size_t, out *C.narrow_handle) C.int {
	return call(func() error {
		size := volume(k, n)
		if size == 0 {
			return argument("a matrix of %d by %d", k, n)
		}
		data, sums := slice[int8](unsafe.Pointer(b), size), optional[int32](unsafe.Pointer(bias), n)
		packed := checked(asm.PackGemmS8(data, sums, uint8(zero), int(k), int(n)))
		one := asm.ConvSpec{KH: 1, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
		return newHandle(&conv{packed: packed, spec: one, in: int(k), out: int(n), zero: uint8(zero)}, out)
	})
}

// outSize returns the size of the output for an image.
func (c *conv) outSize(height, width C.size_t) (h, w int) {
	if height == 0 || width == 0 || height > 1<<30 || width > 1<<30 {
		panic(argument("an image of %d by %d", height, width))
	}
	h, w = c.spec.OutSize(int(height)+c.top+c.bottom, int(width)+c.left+c.right)
	if h == 0 || w == 0 {
		panic(argument("an image of %d by %d with its padding is smaller than the kernel", height, width))
	}
	return h, w
}

//export narrow_conv_size
func narrow_conv_size(handle C.narrow_handle, height, width C.size_t, outHeight, outWidth *C.size_t) C.int {
	return call(func() error {
		c := value[*conv](handle)
		h, w := c.outSize(height, width)
		if outHeight == nil || outWidth == nil {
			return argument("a pointer for a result is null")
		}
		*outHeight, *outWidth = C.size_t(h), C.size_t(w)
		return nil
	})
}

//export narrow_conv_run
func narrow_conv_run(handle, requant C.narrow_handle, x *C.uint8_t, batch, height, width C.size_t, y unsafe.Pointer) C.int {
	return call(func() error {
		c := value[*conv](handle)
		h, w := c.outSize(height, width)
		src := slice[uint8](unsafe.Pointer(x), volume(batch, height, width, C.size_t(c.in)))
		images := c.images(src, int(batch), int(height), int(width))
		n := volume(batch, C.size_t(h), C.size_t(w), C.size_t(c.out))
		if requant == 0 {
			run(slice[int32](y, n), h, w, c.out, images, func(dst asm.Image[int32], src asm.Image[uint8]) { c.packed.RunS32(dst, src, 0, h) })
			return nil
		}
		r := value[*asm.Requant](requant)
		if r.Channels() != c.out {
			return argument("a rescaling of %d channels for %d", r.Channels(), c.out)
		}
		run(slice[uint8](y, n), h, w, c.out, images, func(dst, src asm.Image[uint8]) { c.packed.Run(dst, src, r, nil, 0, h) })
		return nil
	})
}

var buffers = sync.Pool{New: func() any { return new([]uint8) }}

// images yields each image of a batch with its padding, and the slack that the
// kernels read, around a copy.
func (c *conv) images(src []uint8, batch, height, width int) iter.Seq[asm.Image[uint8]] {
	return func(yield func(asm.Image[uint8]) bool) {
		h, w := height+c.top+c.bottom, width+c.left+c.right
		row := w * c.in
		buffer := buffers.Get().(*[]uint8)
		defer buffers.Put(buffer)
		if cap(*buffer) < h*row+asm.ReadSlack {
			*buffer = make([]uint8, h*row+asm.ReadSlack)
		}
		padded := (*buffer)[:h*row+asm.ReadSlack]
		for i := range padded {
			padded[i] = c.zero
		}
		size := height * width * c.in
		for n := range batch {
			for y := range height {
				copy(padded[(y+c.top)*row+c.left*c.in:][:width*c.in], src[n*size+y*width*c.in:])
			}
			if !yield(asm.Image[uint8]{Data: padded, H: h, W: w, C: c.in, RowStride: row, PixStride: c.in}) {
				return
			}
		}
	}
}

// run applies f to each image; the outputs follow each other in dst.
func run[T any](dst []T, h, w, channels int, images iter.Seq[asm.Image[uint8]], f func(dst asm.Image[T], src asm.Image[uint8])) {
	for src := range images {
		f(asm.Image[T]{Data: dst[:h*w*channels], H: h, W: w, C: channels, RowStride: w * channels, PixStride: channels}, src)
		dst = dst[h*w*channels:]
	}
}
