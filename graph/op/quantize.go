package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "QuantizeLinear", min: 2, max: 3, infer: inferQuantize, run: runQuantize, anyType: true}.is(plain, coding, inputs(Data, ScaleOf, ZeroPoint), batch(scaledSamples)),
	spec{name: "DequantizeLinear", min: 2, max: 3, infer: inferDequantize, run: runDequantize, anyType: true}.is(plain, coding, inputs(Data, ScaleOf, ZeroPoint), batch(scaledSamples)),
)

var quantizedTypes = []tensor.DType{tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16, tensor.Int4, tensor.Uint4, tensor.Int2, tensor.Uint2,
	tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ, tensor.Float4E2M1}

func inferQuantize(c *Call) error {
	if err := c.wantType(0, append(slices.Clone(floatTypes), tensor.Int32)...); err != nil {
		return err
	}
	d := tensor.Uint8
	if c.has(2) {
		d = c.typ(2).DType
	}
	if n := c.Attrs.Int("output_dtype", 0); n != 0 {
		to, ok := fileTypes[n]
		if !ok {
			return badAttr("output_dtype: element type %d is not supported", n)
		}
		if c.has(2) && d != tensor.Undefined && d != to {
			return badInput("zero point is %s, output_dtype %s", d, to)
		}
		d = to
	}
	if d != tensor.Undefined && !slices.Contains(quantizedTypes, d) {
		return badInput("cannot quantize to %s", d)
	}
	c.OutType[0] = Type{DType: d, Shape: c.Types[0].Shape, Known: c.Types[0].Known}
	return checkScale(c)
}

func inferDequantize(c *Call) error {
	if err := c.wantType(0, append(slices.Clone(quantizedTypes), tensor.Int32)...); err != nil {
		return err
	}
	x, zero := c.Types[0].DType, c.typ(2).DType
	if zero != tensor.Undefined && x != tensor.Undefined && x != zero {
		return badInput("input is %s, zero point %s", x, zero)
	}
	c.OutType[0] = Type{DType: c.Types[1].DType, Shape: c.Types[0].Shape, Known: c.Types[0].Known}
	return checkScale(c)
}

func checkScale(c *Call) error {
	if err := c.wantType(1, floatTypes...); err != nil {
		return err
	}
	if !c.Types[0].Static() || !c.Types[1].Static() {
		return nil
	}
	if zero := c.typ(2); zero.Static() && tensor.Volume(zero.Shape) != tensor.Volume(c.Types[1].Shape) {
		return badInput("scale has shape %v, zero point %v", c.Types[1].Shape, zero.Shape)
	}
	_, err := scaleStrides(c)
	return err
}

// quantGrid says which scale belongs to which element: along axis, every block
// elements share one.
type quantGrid struct {
	outer, n, inner int // elements before, along and after the axis
	block           int // elements along the axis that share a scale
	rows            int // scales along the axis
	blocked         bool
}

// scaleStrides reads axis, block_size and the shape of the scales.
func scaleStrides(c *Call) (quantGrid, error) {
	x, scale := c.Types[0].Shape, c.Types[1].Shape
	size := tensor.Volume(scale)
	if size == 1 && (len(scale) < 2 || len(x) != len(scale)) {
		return quantGrid{outer: 1, n: tensor.Volume(x), inner: 1, block: max(1, tensor.Volume(x)), rows: 1}, nil
	}
	axis, err := c.axis("axis", 1, len(x))
	if err != nil {
		return quantGrid{}, err
	}
	g := quantGrid{outer: tensor.Volume(x[:axis]), n: x[axis], inner: tensor.Volume(x[axis+1:]), block: c.Attrs.Int("block_size", 0)}
	if g.block == 0 {
		if len(scale) != 1 || size != g.n {
			return g, badInput("scale of shape %v for axis %d of shape %v", scale, axis, x)
		}
		g.block, g.rows = 1, g.n
		return g, nil
	}
	if g.block < 0 || len(scale) != len(x) {
		return g, badInput("scale of shape %v in blocks of %d for shape %v", scale, g.block, x)
	}
	for d, n := range x {
		want := n
		if d == axis {
			want = (n + g.block - 1) / g.block
		}
		if scale[d] != want {
			return g, badInput("scale of shape %v in blocks of %d along axis %d for shape %v", scale, g.block, axis, x)
		}
	}
	g.rows, g.blocked = scale[axis], true
	return g, nil
}

// each calls f for every run of elements that share a scale.
func (g quantGrid) each(f func(lo, hi, scale int)) {
	for o := range g.outer {
		for i := range g.n {
			base := (o*g.n + i) * g.inner
			if !g.blocked {
				f(base, base+g.inner, i/g.block)
				continue
			}
			for k := range g.inner {
				f(base+k, base+k+1, (o*g.rows+i/g.block)*g.inner+k)
			}
		}
	}
}

func zeroPoints(c *Call, n int) []float64 {
	if t := c.in(2); t != nil {
		return t.Float64s()
	}
	return make([]float64, n)
}

// runQuantize rounds x / scale to nearest, ties to even, adds the zero point
// and saturates; NaN gives the zero point.
func runQuantize(c *Call) error {
	g, err := scaleStrides(c)
	if err != nil {
		return err
	}
	if quantizeByKernel(c, g) {
		return nil
	}
	x, scale := c.In[0].Float32s(), c.In[1].Float32s()
	zero := zeroPoints(c, len(scale))
	if to := c.OutType[0].DType; to.IsMini() {
		bits := c.out(0).Bytes()
		saturate := c.Attrs.Int("saturate", 1) != 0
		g.each(func(from, end, s int) {
			for i := from; i < end; i++ {
				bits[i] = tensor.MiniFrom(to, float64(x[i]/scale[s])+zero[s], saturate, tensor.RoundNearest)
			}
		})
		return nil
	}
	lo, hi := intRange(c.OutType[0].DType)
	values := make([]float32, len(x))
	g.each(func(from, to, s int) {
		for i := from; i < to; i++ {
			values[i] = quantized(x[i], scale[s], zero[s], lo, hi)
		}
	})
	setFloats(c.out(0), values)
	return nil
}

func quantized(x, scale float32, zero, lo, hi float64) float32 {
	q := math.RoundToEven(float64(x / scale))
	if q != q {
		q = 0
	}
	return float32(min(max(q+zero, lo), hi))
}

// runDequantize is (x - zero point) * scale.
func runDequantize(c *Call) error {
	g, err := scaleStrides(c)
	if err != nil {
		return err
	}
	if dequantizeByKernel(c, g) {
		return nil
	}
	x, scale := c.In[0].Float64s(), c.In[1].Float32s()
	zero := zeroPoints(c, len(scale))
	values := make([]float32, len(x))
	g.each(func(from, to, s int) {
		for i := from; i < to; i++ {
			values[i] = float32(x[i]-zero[s]) * scale[s]
		}
	})
	setFloats(c.out(0), values)
	return nil
}
