package main

/*
#define NARROW_CONST
#include "narrow.h"
*/
import "C"

import (
	"unsafe"

	"github.com/narrow-ml/narrow/asm"
)

//export narrow_minmax
func narrow_minmax(x *C.float, n C.size_t, lo, hi *C.float, nan *C.size_t) C.int {
	return call(func() error {
		data := floats(x, n)
		if lo == nil || hi == nil || nan == nil {
			return argument("a pointer for a result is null")
		}
		l, h, bad := asm.MinMaxF32(data)
		*lo, *hi, *nan = C.float(l), C.float(h), C.size_t(bad)
		return nil
	})
}

//export narrow_histogram_new
func narrow_histogram_new(lo, hi C.float, bins C.size_t, histogram *C.narrow_handle) C.int {
	return call(func() error {
		if bins > 1<<20 {
			return argument("a histogram of %d bins: 1 to %d are possible", bins, 1<<20)
		}
		return newHandle(checked(asm.NewHistogram(float32(lo), float32(hi), int(bins))), histogram)
	})
}

//export narrow_histogram_add
func narrow_histogram_add(histogram C.narrow_handle, x *C.float, n C.size_t) C.int {
	return call(func() error {
		value[*asm.Histogram](histogram).Add(floats(x, n))
		return nil
	})
}

//export narrow_histogram_merge
func narrow_histogram_merge(histogram, other C.narrow_handle) C.int {
	return call(func() error {
		if err := value[*asm.Histogram](histogram).Merge(value[*asm.Histogram](other)); err != nil {
			return argument("%w", err)
		}
		return nil
	})
}

//export narrow_histogram_counts
func narrow_histogram_counts(histogram C.narrow_handle, counts *C.uint64_t, bins C.size_t, others *C.uint64_t) C.int {
	return call(func() error {
		h := value[*asm.Histogram](histogram)
		c := h.Counts()
		if int(bins) != len(c) {
			return argument("room for %d counts, the histogram has %d bins", bins, len(c))
		}
		to, rest := slice[uint64](unsafe.Pointer(counts), bins), slice[uint64](unsafe.Pointer(others), 4)
		copy(to, c)
		copy(rest, []uint64{h.Under, h.Over, h.NaN, h.Zeros})
		return nil
	})
}

// sweep holds the arguments that quantization sweeps share.
type sweep struct {
	n     C.size_t
	inner int
	scale []float32
	zero  []int32 // nil for zeros
}

func newSweep(outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t) sweep {
	if channels == 0 {
		panic(argument("no channels"))
	}
	return sweep{volume(outer, channels, inner), int(inner), floats(scale, channels), optional[int32](unsafe.Pointer(zero), channels)}
}

// channelGrid returns the grid of a sweep on integers from low to high.
func channelGrid[Q asm.Quantized](s sweep, low, high int32) *asm.ChannelGrid[Q] {
	var zero []Q
	for _, z := range s.zero {
		if z < low || z > high {
			panic(argument("zero point %d is not among the integers %d to %d", z, low, high))
		}
		zero = append(zero, Q(z))
	}
	return checked(asm.NewChannelGrid(s.scale, zero, Q(low), Q(high)))
}

// typed calls the function for an element type.
func typed(dtype C.int, s8, u8, s16, u16 func()) {
	switch dtype {
	case C.NARROW_INT8:
		s8()
	case C.NARROW_UINT8:
		u8()
	case C.NARROW_INT16:
		s16()
	case C.NARROW_UINT16:
		u16()
	default:
		panic(argument("element type %d is none that is quantized to", dtype))
	}
}

//export narrow_quantize
func narrow_quantize(x *C.float, q unsafe.Pointer, dtype C.int, outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t) C.int {
	return call(func() error {
		s := newSweep(outer, channels, inner, scale, zero)
		data := floats(x, s.n)
		typed(dtype,
			func() { quantize[int8](s, data, q, -128, 127) },
			func() { quantize[uint8](s, data, q, 0, 255) },
			func() { quantize[int16](s, data, q, -32768, 32767) },
			func() { quantize[uint16](s, data, q, 0, 65535) })
		return nil
	})
}

func quantize[Q asm.Quantized](s sweep, x []float32, q unsafe.Pointer, low, high int32) {
	if g, dst := channelGrid[Q](s, low, high), slice[Q](q, s.n); s.n > 0 {
		g.Quantize(dst, x, s.inner)
	}
}

//export narrow_dequantize
func narrow_dequantize(q unsafe.Pointer, x *C.float, dtype C.int, outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t) C.int {
	return call(func() error {
		s := newSweep(outer, channels, inner, scale, zero)
		data := floats(x, s.n)
		typed(dtype,
			func() { dequantize[int8](s, q, data, -128, 127) },
			func() { dequantize[uint8](s, q, data, 0, 255) },
			func() { dequantize[int16](s, q, data, -32768, 32767) },
			func() { dequantize[uint16](s, q, data, 0, 65535) })
		return nil
	})
}

func dequantize[Q asm.Quantized](s sweep, q unsafe.Pointer, x []float32, low, high int32) {
	if g, src := channelGrid[Q](s, low, high), slice[Q](q, s.n); s.n > 0 {
		g.Dequantize(x, src, s.inner)
	}
}

//export narrow_fake_quantize
func narrow_fake_quantize(x, y *C.float, outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t, low, high C.int32_t) C.int {
	return call(func() error {
		s := newSweep(outer, channels, inner, scale, zero)
		from, to := floats(x, s.n), floats(y, s.n)
		switch l, h := int32(low), int32(high); {
		case l > h:
			return argument("integers from %d to %d", l, h)
		case l >= -128 && h <= 127:
			fakeQuantize[int8](s, to, from, l, h)
		case l >= 0 && h <= 255:
			fakeQuantize[uint8](s, to, from, l, h)
		case l >= -32768 && h <= 32767:
			fakeQuantize[int16](s, to, from, l, h)
		case l >= 0 && h <= 65535:
			fakeQuantize[uint16](s, to, from, l, h)
		default:
			return argument("integers %d to %d take more than 16 bits", l, h)
		}
		return nil
	})
}

func fakeQuantize[Q asm.Quantized](s sweep, y, x []float32, low, high int32) {
	if g := channelGrid[Q](s, low, high); s.n > 0 {
		g.QuantizeDequantize(y, x, s.inner)
	}
}
