// Package tensor holds dense row-major tensors over Go slices.
package tensor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// ErrShape reports a shape that does not fit its data.
var ErrShape = errors.New("tensor: shape does not fit the data")

// Tensor is a dense row-major tensor. A scalar has an empty shape. Tensors may
// share their data; who writes must own it.
type Tensor struct {
	shape []int
	dtype DType
	data  any // []T with T the Go type of dtype
}

// New returns a zeroed tensor.
func New(dtype DType, shape ...int) *Tensor {
	t := &Tensor{shape: slices.Clone(shape), dtype: dtype}
	n := Volume(shape)
	switch dtype {
	case Float32:
		t.data = make([]float32, n)
	case Float64:
		t.data = make([]float64, n)
	case Float16:
		t.data = make([]Half, n)
	case BFloat16:
		t.data = make([]BHalf, n)
	case Int8:
		t.data = make([]int8, n)
	case Uint8:
		t.data = make([]uint8, n)
	case Int16:
		t.data = make([]int16, n)
	case Uint16:
		t.data = make([]uint16, n)
	case Int32:
		t.data = make([]int32, n)
	case Uint32:
		t.data = make([]uint32, n)
	case Int64:
		t.data = make([]int64, n)
	case Uint64:
		t.data = make([]uint64, n)
	case Bool:
		t.data = make([]bool, n)
	case String:
		t.data = make([]string, n)
	case Int4:
		t.data = make([]Nibble, n)
	case Uint4:
		t.data = make([]UNibble, n)
	case Float8E4M3FN:
		t.data = make([]F8E4M3FN, n)
	case Float8E4M3FNUZ:
		t.data = make([]F8E4M3FNUZ, n)
	case Float8E5M2:
		t.data = make([]F8E5M2, n)
	case Float8E5M2FNUZ:
		t.data = make([]F8E5M2FNUZ, n)
	case Float8E8M0:
		t.data = make([]F8E8M0, n)
	case Float4E2M1:
		t.data = make([]F4E2M1, n)
	case Int2:
		t.data = make([]Pair, n)
	case Uint2:
		t.data = make([]UPair, n)
	default:
		panic(fmt.Sprintf("tensor: New with element type %s", dtype))
	}
	return t
}

// From returns a tensor over data, which it does not copy. It panics if the
// length is not the shape's volume.
func From[T Elem](data []T, shape ...int) *Tensor {
	if len(data) != Volume(shape) {
		panic(fmt.Sprintf("tensor: %d elements for shape %v", len(data), shape))
	}
	return &Tensor{shape: slices.Clone(shape), dtype: DTypeOf[T](), data: data}
}

// Scalar returns a tensor of one element and no dimension.
func Scalar[T Elem](v T) *Tensor { return From([]T{v}) }

// Data returns the elements, shared. It panics if T is not the element type.
func Data[T Elem](t *Tensor) []T {
	d, ok := t.data.([]T)
	if !ok {
		panic(fmt.Sprintf("tensor: Data[%s] of a %s tensor", DTypeOf[T](), t.dtype))
	}
	return d
}

// F32 returns the elements of a Float32 tensor, shared.
func (t *Tensor) F32() []float32 { return Data[float32](t) }

// I64 returns the elements of an Int64 tensor, shared.
func (t *Tensor) I64() []int64 { return Data[int64](t) }

// Shape returns the dimensions; the caller must not change them.
func (t *Tensor) Shape() []int { return t.shape }

// Rank returns the number of dimensions.
func (t *Tensor) Rank() int { return len(t.shape) }

// DType returns the element type.
func (t *Tensor) DType() DType { return t.dtype }

// Len returns the number of elements.
func (t *Tensor) Len() int { return Volume(t.shape) }

// Reshape returns a tensor of another shape over the same data.
func (t *Tensor) Reshape(shape ...int) (*Tensor, error) {
	if Volume(shape) != t.Len() {
		return nil, fmt.Errorf("%w: %v to %v", ErrShape, t.shape, shape)
	}
	return &Tensor{shape: slices.Clone(shape), dtype: t.dtype, data: t.data}, nil
}

// Clone returns a deep copy.
func (t *Tensor) Clone() *Tensor {
	c := New(t.dtype, t.shape...)
	c.CopyFrom(t)
	return c
}

// CopyFrom copies the elements of src, which has the same type and length.
func (t *Tensor) CopyFrom(src *Tensor) {
	if src.dtype != t.dtype || src.Len() != t.Len() {
		panic(fmt.Sprintf("tensor: copy of %s %v to %s %v", src.dtype, src.shape, t.dtype, t.shape))
	}
	if t.dtype == String {
		copy(Data[string](t), Data[string](src))
		return
	}
	copy(t.Bytes(), src.Bytes())
}

// Bytes returns the memory of the elements, shared, in the machine's order of
// bytes. It panics for a String tensor.
func (t *Tensor) Bytes() []byte {
	switch d := t.data.(type) {
	case []float32:
		return bytesOf(d)
	case []float64:
		return bytesOf(d)
	case []Half:
		return bytesOf(d)
	case []BHalf:
		return bytesOf(d)
	case []int8:
		return bytesOf(d)
	case []uint8:
		return d
	case []int16:
		return bytesOf(d)
	case []uint16:
		return bytesOf(d)
	case []int32:
		return bytesOf(d)
	case []uint32:
		return bytesOf(d)
	case []int64:
		return bytesOf(d)
	case []uint64:
		return bytesOf(d)
	case []bool:
		return bytesOf(d)
	case []Nibble:
		return bytesOf(d)
	case []UNibble:
		return bytesOf(d)
	case []F8E4M3FN:
		return bytesOf(d)
	case []F8E4M3FNUZ:
		return bytesOf(d)
	case []F8E5M2:
		return bytesOf(d)
	case []F8E5M2FNUZ:
		return bytesOf(d)
	case []F8E8M0:
		return bytesOf(d)
	case []F4E2M1:
		return bytesOf(d)
	case []Pair:
		return bytesOf(d)
	case []UPair:
		return bytesOf(d)
	}
	panic("tensor: Bytes of a " + t.dtype.String() + " tensor")
}

func bytesOf[T any](d []T) []byte {
	if len(d) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(d))), len(d)*int(unsafe.Sizeof(d[0])))
}

// Float64s returns the elements of a numeric or Bool tensor as float64.
func (t *Tensor) Float64s() []float64 {
	switch d := t.data.(type) {
	case []float64:
		return slices.Clone(d)
	case []float32:
		return widen(d)
	case []Half:
		return each(d, func(v Half) float64 { return float64(v.Float32()) })
	case []BHalf:
		return each(d, func(v BHalf) float64 { return float64(v.Float32()) })
	case []int8:
		return widen(d)
	case []uint8:
		return widen(d)
	case []int16:
		return widen(d)
	case []uint16:
		return widen(d)
	case []int32:
		return widen(d)
	case []uint32:
		return widen(d)
	case []int64:
		return widen(d)
	case []uint64:
		return widen(d)
	case []Nibble:
		return widen(d)
	case []UNibble:
		return widen(d)
	case []Pair:
		return widen(d)
	case []UPair:
		return widen(d)
	case []bool:
		return each(d, func(v bool) float64 {
			if v {
				return 1
			}
			return 0
		})
	}
	if t.dtype.IsMini() {
		return each(t.Bytes(), func(v uint8) float64 { return MiniFloat(t.dtype, v) })
	}
	panic("tensor: Float64s of a " + t.dtype.String() + " tensor")
}

// Ints returns the elements of an integer tensor as int.
func (t *Tensor) Ints() []int {
	switch d := t.data.(type) {
	case []int64:
		return each(d, func(v int64) int { return int(v) })
	case []int32:
		return each(d, func(v int32) int { return int(v) })
	}
	return each(t.Float64s(), func(v float64) int { return int(v) })
}

// Float32s returns the elements as float32: shared if they are float32
// already, converted otherwise.
func (t *Tensor) Float32s() []float32 {
	if d, ok := t.data.([]float32); ok {
		return d
	}
	return each(t.Float64s(), func(v float64) float32 { return float32(v) })
}

func widen[T float32 | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | Nibble | UNibble | Pair | UPair](d []T) []float64 {
	return each(d, func(v T) float64 { return float64(v) })
}

func each[T, U any](d []T, f func(T) U) []U {
	out := make([]U, len(d))
	for i, v := range d {
		out[i] = f(v)
	}
	return out
}

// String returns the type and shape: "float32[1 3 32 32]".
func (t *Tensor) String() string { return fmt.Sprintf("%s%v", t.dtype, t.shape) }

// Volume returns the product of the dimensions: 1 for a scalar. It panics on a
// negative dimension or overflow; check what comes from outside by
// [CheckedVolume].
func Volume(shape []int) int {
	n, ok := CheckedVolume(shape)
	if !ok {
		panic(fmt.Sprintf("tensor: impossible shape %v", shape))
	}
	return n
}

// CheckedVolume returns the product of the dimensions, and false if one is
// negative or the product does not fit.
func CheckedVolume(shape []int) (int, bool) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt/16/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// Strides returns the row-major strides of a shape, in elements.
func Strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
