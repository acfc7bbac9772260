package dataset

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

// affine is the preprocessing x := (x*scale - mean)/std, channel by channel.
type affine struct {
	scale     float32
	mean, std []float32 // one for each channel (axis 1 of the batch), or one for all
}

// check reports what does not fit rows of the given shape.
func (a affine) check(shape []int) error {
	for _, p := range []struct {
		name   string
		values []float32
	}{{"mean", a.mean}, {"std", a.std}} {
		if n := len(p.values); n > 1 && (len(shape) == 0 || shape[0] != n) {
			return fmt.Errorf("%w: %d values of %s for inputs of shape %v: give one, or one for each channel", ErrShape, n, p.name, shape)
		}
	}
	return nil
}

func channelValue(values []float32, c int, missing float32) float32 {
	switch len(values) {
	case 0:
		return missing
	case 1:
		return values[0]
	}
	return values[c]
}

// apply converts one row. perChannel is the number of elements a channel has.
// It returns the index of the first element that is not finite, or -1.
func (a affine) apply(dst []float32, raw []byte, dtype tensor.DType, perChannel int) int {
	size := dtype.Size()
	for c := 0; c*perChannel < len(dst); c++ {
		mean, std := channelValue(a.mean, c, 0), channelValue(a.std, c, 1)
		// Explicit conversions: a fused multiply-add would differ between machines.
		convert := func(v float32) float32 { return (float32(v*a.scale) - mean) / std }
		out := dst[c*perChannel : (c+1)*perChannel]
		in := raw[c*perChannel*size : (c+1)*perChannel*size]
		if i := convertAll(out, in, dtype, convert); i >= 0 {
			return c*perChannel + i
		}
	}
	return -1
}

// convertAll converts little-endian elements to float32 through f and returns
// the index of the first that is not finite before or after it, or -1.
func convertAll(dst []float32, raw []byte, dtype tensor.DType, f func(float32) float32) int {
	switch dtype {
	case tensor.Uint8, tensor.Bool:
		var table [256]float32
		for i := range table {
			table[i] = f(float32(i))
		}
		for i := range dst {
			dst[i] = table[raw[i]]
		}
	case tensor.Float32:
		for i := range dst {
			dst[i] = f(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	default:
		for i := range dst {
			dst[i] = f(float32(element(raw, dtype, i)))
		}
	}
	for i, v := range dst {
		if v-v != 0 { // NaN or an infinity
			return i
		}
	}
	return -1
}

// element returns little-endian element i.
func element(raw []byte, dtype tensor.DType, i int) float64 {
	le := binary.LittleEndian
	switch dtype {
	case tensor.Uint8, tensor.Bool:
		return float64(raw[i])
	case tensor.Int8:
		return float64(int8(raw[i]))
	case tensor.Uint16:
		return float64(le.Uint16(raw[2*i:]))
	case tensor.Int16:
		return float64(int16(le.Uint16(raw[2*i:])))
	case tensor.Float16:
		return float64(tensor.Half(le.Uint16(raw[2*i:])).Float32())
	case tensor.Uint32:
		return float64(le.Uint32(raw[4*i:]))
	case tensor.Int32:
		return float64(int32(le.Uint32(raw[4*i:])))
	case tensor.Float32:
		return float64(math.Float32frombits(le.Uint32(raw[4*i:])))
	case tensor.Uint64:
		return float64(le.Uint64(raw[8*i:]))
	case tensor.Int64:
		return float64(int64(le.Uint64(raw[8*i:])))
	}
	return math.Float64frombits(le.Uint64(raw[8*i:]))
}
