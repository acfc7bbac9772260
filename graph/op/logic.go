package op

import "github.com/narrow-ml/narrow/tensor"

var _ = register(
	logical("And", func(a, b bool) bool { return a && b }).is(operation),
	logical("Or", func(a, b bool) bool { return a || b }).is(operation),
	logical("Xor", func(a, b bool) bool { return a != b }).is(operation),
	comparison("Less", byNumber{f32: compared(less[float32]), f64: compared(less[float64]), i8: compared(less[int8]), u8: compared(less[uint8]), i16: compared(less[int16]),
		u16: compared(less[uint16]), i32: compared(less[int32]), u32: compared(less[uint32]), i64: compared(less[int64]), u64: compared(less[uint64])}).is(operation),
	comparison("LessOrEqual", byNumber{f32: compared(lessEqual[float32]), f64: compared(lessEqual[float64]), i8: compared(lessEqual[int8]), u8: compared(lessEqual[uint8]), i16: compared(lessEqual[int16]),
		u16: compared(lessEqual[uint16]), i32: compared(lessEqual[int32]), u32: compared(lessEqual[uint32]), i64: compared(lessEqual[int64]), u64: compared(lessEqual[uint64])}).is(operation),
	comparison("Greater", byNumber{f32: compared(greater[float32]), f64: compared(greater[float64]), i8: compared(greater[int8]), u8: compared(greater[uint8]), i16: compared(greater[int16]),
		u16: compared(greater[uint16]), i32: compared(greater[int32]), u32: compared(greater[uint32]), i64: compared(greater[int64]), u64: compared(greater[uint64])}).is(operation),
	comparison("GreaterOrEqual", byNumber{f32: compared(greaterEqual[float32]), f64: compared(greaterEqual[float64]), i8: compared(greaterEqual[int8]), u8: compared(greaterEqual[uint8]), i16: compared(greaterEqual[int16]),
		u16: compared(greaterEqual[uint16]), i32: compared(greaterEqual[int32]), u32: compared(greaterEqual[uint32]), i64: compared(greaterEqual[int64]), u64: compared(greaterEqual[uint64])}).is(operation),
	spec{name: "Equal", min: 2, infer: inferEqual, run: runEqual}.is(operation),
	spec{name: "Where", min: 3, infer: inferWhere, run: runWhere, anyType: true}.is(operation, inputs(Index, Data), keepsSign, tensorScale),
)

func less[T number](a, b T) bool         { return a < b }
func lessEqual[T number](a, b T) bool    { return a <= b }
func greater[T number](a, b T) bool      { return a > b }
func greaterEqual[T number](a, b T) bool { return a >= b }
func equal[T comparable](a, b T) bool    { return a == b }

func logical(name string, f func(a, b bool) bool) spec {
	return spec{name: name, min: 2, infer: func(c *Call) error {
		for i := range 2 {
			if err := c.wantType(i, tensor.Bool); err != nil {
				return err
			}
		}
		return inferEqual(c)
	}, run: func(c *Call) error { return zip(c, f) }}
}

func comparison(name string, b byNumber) spec {
	return spec{name: name, min: 2, infer: inferCompare, run: b.run}
}

func compared[T number](f func(a, b T) bool) func(*Call) error {
	return func(c *Call) error { return zip(c, f) }
}

func inferCompare(c *Call) error {
	if err := inferBinary(c); err != nil {
		return err
	}
	c.OutType[0].DType = tensor.Bool
	return nil
}

func inferEqual(c *Call) error {
	a, b, err := pair(c)
	if err != nil {
		return err
	}
	return broadcastType(c, tensor.Bool, a, b)
}

func runEqual(c *Call) error {
	switch c.In[0].DType() {
	case tensor.Bool:
		return zip(c, equal[bool])
	case tensor.String:
		return zip(c, equal[string])
	}
	b := byNumber{f32: compared(equal[float32]), f64: compared(equal[float64]), i8: compared(equal[int8]), u8: compared(equal[uint8]), i16: compared(equal[int16]),
		u16: compared(equal[uint16]), i32: compared(equal[int32]), u32: compared(equal[uint32]), i64: compared(equal[int64]), u64: compared(equal[uint64])}
	return b.run(c)
}

func inferWhere(c *Call) error {
	if err := c.wantType(0, tensor.Bool); err != nil {
		return err
	}
	x, y := c.Types[1].DType, c.Types[2].DType
	if x != tensor.Undefined && y != tensor.Undefined && x != y {
		return badInput("inputs are %s and %s", x, y)
	}
	return broadcastType(c, max(x, y), c.Types...)
}

// runWhere copies rows of the input that the condition chooses.
func runWhere(c *Call) error {
	out := c.out(0)
	shape := out.Shape()
	switch out.DType().Size() {
	case 1:
		choose[uint8](c, shape)
	case 2:
		choose[uint16](c, shape)
	case 4:
		choose[uint32](c, shape)
	case 8:
		choose[uint64](c, shape)
	default:
		choose[string](c, shape)
	}
	return nil
}

func choose[T uint8 | uint16 | uint32 | uint64 | string](c *Call, shape []int) {
	dst, x, y := elements[T](c.out(0)), elements[T](c.In[1]), elements[T](c.In[2])
	cond := tensor.Data[bool](c.In[0])
	strides := [][]int{tensor.Strides(shape), broadcastStrides(c.Types[0].Shape, shape),
		broadcastStrides(c.Types[1].Shape, shape), broadcastStrides(c.Types[2].Shape, shape)}
	eachRow(shape, strides, func(off []int, n int, step []int) {
		for k := range n {
			if cond[off[1]+k*step[1]] {
				dst[off[0]+k*step[0]] = x[off[2]+k*step[2]]
			} else {
				dst[off[0]+k*step[0]] = y[off[3]+k*step[3]]
			}
		}
	})
}
