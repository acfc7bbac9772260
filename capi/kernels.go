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

func floats(p *C.float, n C.size_t) ([]float32, error) { return slice[float32](unsafe.Pointer(p), n) }

//export narrow_minmax
func narrow_minmax(x *C.float, n C.size_t, lo, hi *C.float, nan *C.size_t) C.int {
	return call(func() error {
		data, err := floats(x, n)
		if err != nil {
			return err
		}
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
		h, err := asm.NewHistogram(float32(lo), float32(hi), int(bins))
		if err != nil {
			return argument("%w", err)
		}
		return newHandle(h, histogram)
	})
}

//export narrow_histogram_add
func narrow_histogram_add(histogram C.narrow_handle, x *C.float, n C.size_t) C.int {
	return call(func() error {
		h, err := value[*asm.Histogram](histogram)
		if err != nil {
			return err
		}
		data, err := floats(x, n)
		if err != nil {
			return err
		}
		h.Add(data)
		return nil
	})
}

//export narrow_histogram_merge
func narrow_histogram_merge(histogram, other C.narrow_handle) C.int {
	return call(func() error {
		h, err := value[*asm.Histogram](histogram)
		if err != nil {
			return err
		}
		o, err := value[*asm.Histogram](other)
		if err != nil {
			return err
		}
		if err := h.Merge(o); err != nil {
			return argument("%w", err)
		}
		return nil
	})
}

//export narrow_histogram_counts
func narrow_histogram_counts(histogram C.narrow_handle, counts *C.uint64_t, bins C.size_t, others *C.uint64_t) C.int {
	return call(func() error {
		h, err := value[*asm.Histogram](histogram)
		if err != nil {
			return err
		}
		c := h.Counts()
		if int(bins) != len(c) {
			return argument("room for %d counts, the histogram has %d bins", bins, len(c))
		}
		to, err := slice[uint64](unsafe.Pointer(counts), bins)
		if err != nil {
			return err
		}
		rest, err := slice[uint64](unsafe.Pointer(others), 4)
		if err != nil {
			return err
		}
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

func newSweep(outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t) (s sweep, err error) {
	if channels == 0 {
		return s, argument("no channels")
	}
	if s.n, err = volume(outer, channels, inner); err != nil {
		return s, err
	}
	s.inner = int(inner)
	if s.scale, err = floats(scale, channels); err != nil {
		return s, err
	}
	if zero != nil {
		s.zero, err = slice[int32](unsafe.Pointer(zero), channels)
	}
	return s, err
}

// channelGrid returns the grid of a sweep on integers from low to high.
func channelGrid[Q asm.Quantized](s sweep, low, high int32) (*asm.ChannelGrid[Q], error) {
	var zero []Q
	for _, z := range s.zero {
		if z < low || z > high {
			return nil, argument("zero point %d is not among the integers %d to %d", z, low, high)
		}
		zero = append(zero, Q(z))
	}
	g, err := asm.NewChannelGrid(s.scale, zero, Q(low), Q(high))
	if err != nil {
		return nil, argument("%w", err)
	}
	return g, nil
}

// typed calls the function for an element type.
func typed(dtype C.int, s8, u8, s16, u16 func() error) error {
	switch dtype {
	case C.NARROW_INT8:
		return s8()
	case C.NARROW_UINT8:
		return u8()
	case C.NARROW_INT16:
		return s16()
	case C.NARROW_UINT16:
		return u16()
	}
	return argument("element type %d is none that is quantized to", dtype)
}

//export narrow_quantize
func narrow_quantize(x *C.float, q unsafe.Pointer, dtype C.int, outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t) C.int {
	return call(func() error {
		s, err := newSweep(outer, channels, inner, scale, zero)
		if err != nil {
			return err
		}
		data, err := floats(x, s.n)
		if err != nil {
			return err
		}
		return typed(dtype,
			func() error { return quantize[int8](s, data, q, -128, 127) },
			func() error { return quantize[uint8](s, data, q, 0, 255) },
			func() error { return quantize[int16](s, data, q, -32768, 32767) },
			func() error { return quantize[uint16](s, data, q, 0, 65535) })
	})
}

func quantize[Q asm.Quantized](s sweep, x []float32, q unsafe.Pointer, low, high int32) error {
	g, err := channelGrid[Q](s, low, high)
	if err != nil {
		return err
	}
	dst, err := slice[Q](q, s.n)
	if err != nil || s.n == 0 {
		return err
	}
	g.Quantize(dst, x, s.inner)
	return nil
}

//export narrow_dequantize
func narrow_dequantize(q unsafe.Pointer, x *C.float, dtype C.int, outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t) C.int {
	return call(func() error {
		s, err := newSweep(outer, channels, inner, scale, zero)
		if err != nil {
			return err
		}
		data, err := floats(x, s.n)
		if err != nil {
			return err
		}
		return typed(dtype,
			func() error { return dequantize[int8](s, q, data, -128, 127) },
			func() error { return dequantize[uint8](s, q, data, 0, 255) },
			func() error { return dequantize[int16](s, q, data, -32768, 32767) },
			func() error { return dequantize[uint16](s, q, data, 0, 65535) })
	})
}

func dequantize[Q asm.Quantized](s sweep, q unsafe.Pointer, x []float32, low, high int32) error {
	g, err := channelGrid[Q](s, low, high)
	if err != nil {
		return err
	}
	src, err := slice[Q](q, s.n)
	if err != nil || s.n == 0 {
		return err
	}
	g.Dequantize(x, src, s.inner)
	return nil
}

//export narrow_fake_quantize
func narrow_fake_quantize(x, y *C.float, outer, channels, inner C.size_t, scale *C.float, zero *C.int32_t, low, high C.int32_t) C.int {
	return call(func() error {
		s, err := newSweep(outer, channels, inner, scale, zero)
		if err != nil {
			return err
		}
		from, err := floats(x, s.n)
		if err != nil {
			return err
		}
		to, err := floats(y, s.n)
		if err != nil {
			return err
		}
		switch l, h := int32(low), int32(high); {
		case l > h:
			return argument("integers from %d to %d", l, h)
		case l >= -128 && h <= 127:
			return fakeQuantize[int8](s, to, from, l, h)
		case l >= 0 && h <= 255:
			return fakeQuantize[uint8](s, to, from, l, h)
		case l >= -32768 && h <= 32767:
			return fakeQuantize[int16](s, to, from, l, h)
		case l >= 0 && h <= 65535:
			return fakeQuantize[uint16](s, to, from, l, h)
		}
		return argument("integers %d to %d take more than 16 bits", low, high)
	})
}

func fakeQuantize[Q asm.Quantized](s sweep, y, x []float32, low, high int32) error {
	g, err := channelGrid[Q](s, low, high)
	if err != nil || s.n == 0 {
		return err
	}
	g.QuantizeDequantize(y, x, s.inner)
	return nil
}
