package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	arithmetic("Add", byNumber{f32: zippedF32(add[float32], asm.AddF32), f64: zipped(add[float64]), i8: zipped(add[int8]), u8: zipped(add[uint8]), i16: zipped(add[int16]),
		u16: zipped(add[uint16]), i32: zipped(add[int32]), u32: zipped(add[uint32]), i64: zipped(add[int64]), u64: zipped(add[uint64])}).is(operation, flow(Join, inQ(QOperands, microsoft, "QLinearAdd", true)), keepsSign, tensorScale),
	arithmetic("Sub", byNumber{f32: zippedF32(sub[float32], asm.SubF32), f64: zipped(sub[float64]), i8: zipped(sub[int8]), u8: zipped(sub[uint8]), i16: zipped(sub[int16]),
		u16: zipped(sub[uint16]), i32: zipped(sub[int32]), u32: zipped(sub[uint32]), i64: zipped(sub[int64]), u64: zipped(sub[uint64])}).is(operation, flow(Join, noQ), tensorScale),
	arithmetic("Mul", byNumber{f32: zippedF32(mul[float32], asm.MulF32), f64: zipped(mul[float64]), i8: zipped(mul[int8]), u8: zipped(mul[uint8]), i16: zipped(mul[int16]),
		u16: zipped(mul[uint16]), i32: zipped(mul[int32]), u32: zipped(mul[uint32]), i64: zipped(mul[int64]), u64: zipped(mul[uint64])}).is(operation, flow(Join, inQ(QOperands, microsoft, "QLinearMul", true)), keepsPositive, bilinear),
	arithmetic("Div", byNumber{f32: zippedF32(divide[float32], asm.DivF32), f64: zipped(divide[float64]), i8: zipped(divide[int8]), u8: zipped(divide[uint8]), i16: zipped(divide[int16]),
		u16: zipped(divide[uint16]), i32: zipped(divide[int32]), u32: zipped(divide[uint32]), i64: zipped(divide[int64]), u64: zipped(divide[uint64])}).is(operation, keepsPositive, amplifies(1)),
	spec{name: "Mod", min: 2, infer: inferBinary, run: runMod}.is(operation, keepsPositive, amplifies(1)).where(modSign),
	spec{name: "Pow", min: 2, infer: inferPow, run: runPow}.is(operation, keepsPositive, inputs(Data, Param), amplifies(0, 1)).where(powSign),
	spec{name: "PRelu", min: 2, infer: inferPRelu, run: runPRelu}.is(operation, inputs(Data, Param), channelScale).where(slopeSign),
	folding("Sum", byNumber{f32: folded(add[float32]), f64: folded(add[float64])}).is(operation, keepsSign, tensorScale),
	spec{name: "Mean", min: 1, max: variadic, infer: inferMany, run: runMean}.is(operation, keepsSign, tensorScale),
	folding("Max", byNumber{f32: folded(larger[float32]), f64: folded(larger[float64]), i8: folded(larger[int8]), u8: folded(larger[uint8]), i16: folded(larger[int16]),
		u16: folded(larger[uint16]), i32: folded(larger[int32]), u32: folded(larger[uint32]), i64: folded(larger[int64]), u64: folded(larger[uint64])}).is(operation, keepsSign, tensorScale),
	folding("Min", byNumber{f32: folded(smaller[float32]), f64: folded(smaller[float64]), i8: folded(smaller[int8]), u8: folded(smaller[uint8]), i16: folded(smaller[int16]),
		u16: folded(smaller[uint16]), i32: folded(smaller[int32]), u32: folded(smaller[uint32]), i64: folded(smaller[int64]), u64: folded(smaller[uint64])}).is(operation, keepsSign, tensorScale),
)

func add[T number](a, b T) T { return a + b }
func sub[T number](a, b T) T { return a - b }
func mul[T number](a, b T) T { return a * b }

func arithmetic(name string, b byNumber) spec {
	return spec{name: name, min: 2, infer: inferBinary, run: b.run}
}

func folding(name string, b byNumber) spec {
	return spec{name: name, min: 1, max: variadic, infer: inferMany, run: b.run}
}

// inferBinary is the rule of operators on two inputs of one numeric type.
func inferBinary(c *Call) error {
	if err := c.wantType(0, numericTypes...); err != nil {
		return err
	}
	a, b, err := pair(c)
	if err != nil {
		return err
	}
	if a.DType != tensor.Undefined && b.DType != tensor.Undefined && a.DType != b.DType {
		return badInput("inputs are %s and %s", a.DType, b.DType)
	}
	return broadcastType(c, max(a.DType, b.DType), a, b)
}

// broadcastType sets output 0 to the shape the inputs broadcast to.
func broadcastType(c *Call, d tensor.DType, in ...Type) error {
	shapes := make([][]int, len(in))
	for i, t := range in {
		if !t.Known {
			c.OutType[0] = Type{DType: d}
			return nil
		}
		shapes[i] = t.Shape
	}
	shape, err := broadcast(shapes...)
	if err != nil {
		return err
	}
	c.setType(d, shape)
	return nil
}

// pair returns the types of the two inputs, the second with the shape that it
// broadcasts with: before version 7 the attributes said where it stands.
func pair(c *Call) (a, b Type, err error) {
	a, b = c.Types[0], c.Types[1]
	if c.version() >= 7 || c.Attrs.Int("broadcast", 0) == 0 || !c.Attrs.Has("axis") || !a.Known || !b.Known {
		return a, b, nil
	}
	axis, err := normAxis(c.Attrs.Int("axis", 0), len(a.Shape))
	if err != nil || axis+len(b.Shape) > len(a.Shape) {
		return a, b, badAttr("axis %d for shapes %v and %v", c.Attrs.Int("axis", 0), a.Shape, b.Shape)
	}
	shape := append([]int(nil), b.Shape...)
	for len(shape) < len(a.Shape)-axis {
		shape = append(shape, 1)
	}
	b.Shape = shape
	return a, b, nil
}

// zipped returns a run function for f over two broadcast inputs.
func zipped[T number](f func(a, b T) T) func(*Call) error {
	return func(c *Call) error { return zip(c, f) }
}

// zippedF32 does the same where whole rows have a kernel.
func zippedF32(f func(a, b float32) float32, rows func(dst, a, b []float32)) func(*Call) error {
	return func(c *Call) error {
		a, b, shape := c.In[0].F32(), c.In[1].F32(), c.OutType[0].Shape
		_, bType, err := pair(c)
		if err != nil {
			return err
		}
		zipRows(c.out(0).F32(), a, b, shape, c.Types[0].Shape, bType.Shape, f, rows)
		return nil
	}
}

func zip[T, U tensor.Elem](c *Call, f func(a, b T) U) error {
	_, b, err := pair(c)
	if err != nil {
		return err
	}
	if c.In[1].DType() != tensor.DTypeOf[T]() {
		return badInput("input 1 is %s, not %s", c.In[1].DType(), tensor.DTypeOf[T]())
	}
	zipInto(tensor.Data[U](c.out(0)), tensor.Data[T](c.In[0]), tensor.Data[T](c.In[1]), c.OutType[0].Shape, c.Types[0].Shape, b.Shape, f)
	return nil
}

// zipInto sets dst, of the given shape, to f of a and b, broadcast to it.
func zipInto[T, U any](dst []U, a, b []T, shape, aShape, bShape []int, f func(a, b T) U) {
	zipRows(dst, a, b, shape, aShape, bShape, f, nil)
}

// zipRows is zipInto with a kernel, if not nil, for rows without gaps.
func zipRows[T, U any](dst []U, a, b []T, shape, aShape, bShape []int, f func(a, b T) U, rows func(dst []U, a, b []T)) {
	strides := [][]int{tensor.Strides(shape), broadcastStrides(aShape, shape), broadcastStrides(bShape, shape)}
	eachRow(shape, strides, func(off []int, n int, step []int) {
		out, i, j := dst[off[0]:off[0]+n], off[1], off[2]
		if rows != nil && step[1] == 1 && step[2] == 1 {
			rows(out, a[i:i+n], b[j:j+n])
			return
		}
		for k := range out {
			out[k] = f(a[i], b[j])
			i += step[1]
			j += step[2]
		}
	})
}

// inferMany is the rule of operators on any number of inputs of one type.
func inferMany(c *Call) error {
	d := tensor.Undefined
	for i, t := range c.Types {
		if err := c.wantType(i, numericTypes...); err != nil {
			return err
		}
		if d != tensor.Undefined && t.DType != tensor.Undefined && d != t.DType {
			return badInput("inputs are %s and %s", d, t.DType)
		}
		d = max(d, t.DType)
	}
	return broadcastType(c, d, c.Types...)
}

// folded returns a run function for f over any number of broadcast inputs,
// from the first to the last.
func folded[T number](f func(a, b T) T) func(*Call) error {
	return func(c *Call) error { return fold(c, f) }
}

func fold[T number](c *Call, f func(a, b T) T) error {
	shape := c.OutType[0].Shape
	dst := tensor.Data[T](c.out(0))
	for i, t := range c.In {
		g := f
		if i == 0 {
			g = func(_, b T) T { return b }
		}
		zipInto(dst, dst, tensor.Data[T](t), shape, shape, t.Shape(), g)
	}
	return nil
}

func runMean(c *Call) error {
	b := byNumber{f32: meanOf[float32], f64: meanOf[float64]}
	return b.run(c)
}

func meanOf[T floats](c *Call) error {
	if err := fold(c, add[T]); err != nil {
		return err
	}
	dst := tensor.Data[T](c.out(0))
	mapInto(dst, dst, func(v T) T { return v / T(len(c.In)) })
	return nil
}

func runMod(c *Call) error {
	if c.Attrs.Int("fmod", 0) != 0 {
		return byNumber{f32: zipped(func(a, b float32) float32 { return float32(math.Mod(float64(a), float64(b))) }), f64: zipped(math.Mod),
			i8: zipped(remainder[int8]), i16: zipped(remainder[int16]), i32: zipped(remainder[int32]), i64: zipped(remainder[int64]),
			u8: zipped(remainder[uint8]), u16: zipped(remainder[uint16]), u32: zipped(remainder[uint32]), u64: zipped(remainder[uint64])}.run(c)
	}
	return byNumber{f32: zipped(func(a, b float32) float32 { return float32(floorMod(float64(a), float64(b))) }), f64: zipped(floorMod),
		i8: zipped(modulo[int8]), i16: zipped(modulo[int16]), i32: zipped(modulo[int32]), i64: zipped(modulo[int64]),
		u8: zipped(remainder[uint8]), u16: zipped(remainder[uint16]), u32: zipped(remainder[uint32]), u64: zipped(remainder[uint64])}.run(c)
}

// floorMod is a - floor(a/b)*b: it has the sign of b, of a zero as well.
func floorMod(a, b float64) float64 {
	r := math.Mod(a, b)
	switch {
	case r == 0:
		return math.Copysign(0, b)
	case (r < 0) != (b < 0) && r == r:
		return r + b
	}
	return r
}

type integer interface {
	int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64
}

// remainder has the sign of a; it is 0 for b = 0.
func remainder[T integer](a, b T) T {
	if b == 0 {
		return 0
	}
	return a % b
}

// modulo has the sign of b; it is 0 for b = 0.
func modulo[T integer](a, b T) T {
	r := remainder(a, b)
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

func inferPow(c *Call) error {
	for i := range 2 {
		if err := c.wantType(i, numericTypes...); err != nil {
			return err
		}
	}
	a, b, err := pair(c)
	if err != nil {
		return err
	}
	return broadcastType(c, a.DType, a, b)
}

// runPow computes in float64; integers of more than 53 bits lose the last ones.
func runPow(c *Call) error {
	_, b, err := pair(c)
	if err != nil {
		return err
	}
	out := c.out(0)
	values := make([]float64, out.Len())
	zipInto(values, c.In[0].Float64s(), c.In[1].Float64s(), out.Shape(), c.Types[0].Shape, b.Shape, power)
	setFloats(out, values)
	return nil
}

func power(a, b float64) float64 {
	if b == 2 {
		return a * a
	}
	return math.Pow(a, b)
}

// inferPRelu: the slope broadcasts to x in one direction only. Before version
// 7 a slope of one dimension ran along the channels.
func inferPRelu(c *Call) error {
	x, slope := c.Types[0], c.Types[1]
	c.OutType[0] = x
	if err := c.wantType(0, numericTypes...); err != nil || !x.Known || !slope.Known {
		return err
	}
	shape, err := broadcast(x.Shape, preluSlope(c))
	if err != nil || len(shape) != len(x.Shape) {
		return badInput("slope of shape %v for input of shape %v", slope.Shape, x.Shape)
	}
	return nil
}

func preluSlope(c *Call) []int {
	x, slope := c.Types[0].Shape, c.Types[1].Shape
	if c.version() < 7 && len(slope) == 1 && len(x) > 1 && slope[0] == x[1] {
		slope = append([]int(nil), slope...)
		for len(slope) < len(x)-1 {
			slope = append(slope, 1)
		}
	}
	return slope
}

func runPRelu(c *Call) error {
	b := byNumber{f32: prelu[float32], f64: prelu[float64], i32: prelu[int32], u32: prelu[uint32], i64: prelu[int64], u64: prelu[uint64]}
	return b.run(c)
}

func prelu[T number](c *Call) error {
	if c.In[1].DType() != c.In[0].DType() {
		return badInput("slope is %s, input is %s", c.In[1].DType(), c.In[0].DType())
	}
	shape := c.OutType[0].Shape
	if out, err := broadcast(shape, preluSlope(c)); err != nil || tensor.Volume(out) != tensor.Volume(shape) {
		return badInput("slope of shape %v for input of shape %v", c.Types[1].Shape, shape)
	}
	zipInto(tensor.Data[T](c.out(0)), tensor.Data[T](c.In[0]), tensor.Data[T](c.In[1]), shape, shape, preluSlope(c), func(x, s T) T {
		if x < 0 {
			return x * s
		}
		return x
	})
	return nil
}

// powSign: even powers are never negative.
func powSign(c *Call, t *Traits) {
	if e := c.in(1); e != nil && !slices.ContainsFunc(e.Float64s(), func(v float64) bool { return math.Mod(v, 2) != 0 }) {
		t.Range.Lo = 0
	}
}

// modSign: the result has the sign of the dividend, or that of the divisor.
func modSign(c *Call, t *Traits) {
	if c.Attrs.Int("fmod", 0) != 0 {
		t.Sign = KeepsSign
	}
}

func slopeSign(c *Call, t *Traits) {
	t.Sign = NonNegative
	if slope := c.in(1); slope != nil && !slices.ContainsFunc(slope.Float64s(), func(v float64) bool { return v < 0 }) {
		t.Sign = KeepsSign
	}
}
