package op

import (
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

// number lists the types that arithmetic is done in.
type number interface {
	float32 | float64 | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64
}

// floats lists the floating-point types that arithmetic is done in.
type floats interface{ float32 | float64 }

// byNumber calls the function for element type d, or returns an error.
// Operators list their instances once, in a table of this type.
type byNumber struct {
	f32 func(*Call) error
	f64 func(*Call) error
	i8  func(*Call) error
	u8  func(*Call) error
	i16 func(*Call) error
	u16 func(*Call) error
	i32 func(*Call) error
	u32 func(*Call) error
	i64 func(*Call) error
	u64 func(*Call) error
}

// run dispatches by the type of input 0.
func (b byNumber) run(c *Call) error {
	f := map[tensor.DType]func(*Call) error{
		tensor.Float32: b.f32, tensor.Float64: b.f64, tensor.Int8: b.i8, tensor.Uint8: b.u8,
		tensor.Int16: b.i16, tensor.Uint16: b.u16, tensor.Int32: b.i32, tensor.Uint32: b.u32,
		tensor.Int64: b.i64, tensor.Uint64: b.u64,
	}[c.In[0].DType()]
	if f == nil {
		return badInput("element type %s", c.In[0].DType())
	}
	return f(c)
}

// unary makes an operator of a function on floats, which is computed in
// float64 and rounded once.
func unary(name string, f func(x float64) float64) spec {
	return unaryWith(name, func(*Call) func(float64) float64 { return f })
}

// unaryWith does the same for a function that depends on attributes.
func unaryWith(name string, make func(c *Call) func(x float64) float64) spec {
	return spec{name: name, min: 1, infer: sameFloat, run: func(c *Call) error {
		f := make(c)
		if c.In[0].DType() == tensor.Float64 {
			mapInto(tensor.Data[float64](c.out(0)), tensor.Data[float64](c.In[0]), f)
			return nil
		}
		mapInto(c.out(0).F32(), c.In[0].F32(), func(x float32) float32 { return float32(f(float64(x))) })
		return nil
	}}
}

// mapNumber returns a run function that maps input 0 elementwise by one of
// fns, which are the instances of one generic function.
func mapNumber(f32 func(float32) float32, f64 func(float64) float64, i8 func(int8) int8, i16 func(int16) int16, i32 func(int32) int32, i64 func(int64) int64) byNumber {
	return byNumber{f32: mapped(f32), f64: mapped(f64), i8: mapped(i8), i16: mapped(i16), i32: mapped(i32), i64: mapped(i64),
		u8: passed, u16: passed, u32: passed, u64: passed}
}

func mapped[T number](f func(T) T) func(*Call) error {
	return func(c *Call) error {
		mapInto(tensor.Data[T](c.out(0)), tensor.Data[T](c.In[0]), f)
		return nil
	}
}

// passed hands input 0 on as output 0.
func passed(c *Call) error {
	c.Out[0] = c.In[0]
	return nil
}

func mapInto[T, U any](dst []U, src []T, f func(T) U) {
	for i, v := range src {
		dst[i] = f(v)
	}
}

// isNaN works for every number; for integers it is false.
func isNaN[T number](v T) bool { return v != v }

// divide is a / b. For integers it truncates, and is 0 for b = 0.
func divide[T number](a, b T) T {
	if b == 0 && isInteger[T]() {
		return 0
	}
	return a / b
}

func isInteger[T number]() bool {
	half := 0.5
	return T(half) == 0
}

// smaller returns the lesser number, NaN if one is NaN.
func smaller[T number](a, b T) T {
	if isNaN(a) || a < b {
		return a
	}
	return b
}

// larger returns the greater number, NaN if one is NaN.
func larger[T number](a, b T) T {
	if isNaN(a) || a > b {
		return a
	}
	return b
}

func negate[T number](v T) T { return -v }

func absolute[T number](v T) T {
	if v <= 0 { // also turns -0 to 0
		return 0 - v
	}
	return v
}

func sign[T number](v T) T {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return T(0) - 1
	}
	return v
}

func relu[T number](v T) T {
	if v < 0 {
		return 0
	}
	return v
}

// roundEven rounds to the nearest integer, ties to even.
func roundEven(x float64) float64 { return math.RoundToEven(x) }
