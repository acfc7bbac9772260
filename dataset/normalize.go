package dataset

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

// axisOf returns the axis of a row's shape that mean and std have a value for each index of: -1 if they have
// one for all.
func (p Preparation) axisOf(shape []int) (int, error) {
	n := max(len(p.Mean), len(p.Std))
	for _, values := range [][]float32{p.Mean, p.Std} {
		if len(values) > 1 && len(values) != n {
			return 0, fmt.Errorf("%w: %d values of mean and %d of std: give as many of each, or one", ErrShape, len(p.Mean), len(p.Std))
		}
	}
	if n <= 1 {
		return -1, nil
	}
	first, last := p.Layout != NHWC, p.Layout != NCHW
	switch {
	case len(shape) > 0 && first && shape[0] == n:
		return 0, nil
	case len(shape) > 0 && last && shape[len(shape)-1] == n:
		return len(shape) - 1, nil
	}
	return 0, fmt.Errorf("%w: %d values of mean or std for inputs of shape %v: give one, or one for each channel", ErrShape, n, shape)
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

// converter returns what is done to the values of channel c.
func (p Preparation) converter(c int) func(float32) float32 {
	mean, std := channelValue(p.Mean, c, 0), channelValue(p.Std, c, 1)
	// Explicit conversions: a fused multiply-add would differ between machines.
	return func(v float32) float32 { return (float32(v*p.Scale) - mean) / std }
}

// apply converts one row of the given shape. It returns the index of the first element that is not finite, or -1.
func (p Preparation) apply(dst []float32, raw []byte, dtype tensor.DType, shape []int) int {
	axis, _ := p.axisOf(shape) // was checked when the data was opened
	size := dtype.Size()
	switch {
	case axis < 0:
		return convertAll(dst, raw, dtype, 1, p.converter(0))
	case axis == 0:
		each := len(dst) / shape[0]
		for c := range shape[0] {
			if i := convertAll(dst[c*each:(c+1)*each], raw[c*each*size:], dtype, 1, p.converter(c)); i >= 0 {
				return c*each + i
			}
		}
		return -1
	}
	n := shape[axis]
	for c := range n {
		if i := convertAll(dst[c:], raw[c*size:], dtype, n, p.converter(c)); i >= 0 {
			return c + i
		}
	}
	return -1
}

// convertAll converts every stride-th of the little-endian elements to float32 through f and returns
// the index of the first that is not finite afterwards, or -1.
func convertAll(dst []float32, raw []byte, dtype tensor.DType, stride int, f func(float32) float32) int {
	switch dtype {
	case tensor.Uint8, tensor.Bool:
		var table [256]float32
		for i := range table {
			table[i] = f(float32(i))
		}
		for i := 0; i < len(dst); i += stride {
			dst[i] = table[raw[i]]
		}
	case tensor.Float32:
		for i := 0; i < len(dst); i += stride {
			dst[i] = f(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	default:
		for i := 0; i < len(dst); i += stride {
			dst[i] = f(float32(element(raw, dtype, i)))
		}
	}
	for i := 0; i < len(dst); i += stride {
		if v := dst[i]; v-v != 0 { // NaN or an infinity
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
