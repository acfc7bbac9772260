package op

import (
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

// Operators that compute in integers: products of 8-bit numbers less their
// zero points, summed in int32.
var _ = register(
	spec{name: "ConvInteger", min: 2, max: 4, infer: inferConvInteger, run: runConvInteger, anyType: true}.is(spatial, inputs(Data, Weights, ZeroPoint), products(1, 3, convSums), macs(convMACs(1))),
	spec{name: "MatMulInteger", min: 2, max: 4, infer: inferMatMulInteger, run: runMatMulInteger, anyType: true}.is(plain, inputs(Data, Weights, ZeroPoint), tensors, batch(matMulSamples(0, 1)), products(1, 3, matMulSums), macs(matMulMACs(1))),
	spec{name: "QLinearConv", min: 8, max: 9, infer: inferQLinearConv, run: runQLinearConv, anyType: true}.is(spatial, inputs(Data, ScaleOf, ZeroPoint, Weights, ScaleOf, ZeroPoint, ScaleOf, ZeroPoint, Bias), products(3, 5, convSums), macs(convMACs(3))),
	spec{name: "QLinearMatMul", min: 8, infer: inferQLinearMatMul, run: runQLinearMatMul, anyType: true}.is(plain, inputs(Data, ScaleOf, ZeroPoint, Data, ScaleOf, ZeroPoint), tensors, batch(matMulSamples(0, 3)), products(3, 5, matMulSums), macs(matMulMACs(3))),
	spec{name: "QGemm", domain: microsoft, min: 6, max: 9, infer: inferQGemm, run: runQGemm, anyType: true}.is(plain, inputs(Data, ScaleOf, ZeroPoint, Weights, ScaleOf, ZeroPoint, Bias, ScaleOf, ZeroPoint), tensors, batch(qgemmSamples), products(3, 5, gemmSums), macs(gemmMACs(3))),
	spec{name: "DynamicQuantizeLinear", min: 1, outs: 3, infer: inferDynamicQuantize, run: runDynamicQuantize}.is(plain, inputs(Data), batch(never)),
)

// want8 checks that inputs are 8-bit integers.
func want8(c *Call, inputs ...int) error {
	for _, i := range inputs {
		if err := c.wantType(i, tensor.Int8, tensor.Uint8); err != nil {
			return err
		}
	}
	return nil
}

// wantScales checks that inputs are floats.
func wantScales(c *Call, inputs ...int) error {
	for _, i := range inputs {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
	}
	return nil
}

func inferConvInteger(c *Call) error {
	if err := want8(c, 0, 1, 2, 3); err != nil {
		return err
	}
	return convType(c, tensor.Int32, c.Types[0], c.Types[1])
}

func convType(c *Call, d tensor.DType, x, w Type) error {
	_, shape, err := convShape(c.Attrs, x, w)
	c.OutType[0] = Type{DType: d, Shape: shape, Known: shape != nil}
	return err
}

func runConvInteger(c *Call) error {
	x, err := centred(c.In[0], c.in(2), 0)
	if err != nil {
		return err
	}
	w, err := centred(c.In[1], c.in(3), 0)
	if err != nil {
		return err
	}
	return conv(tensor.Data[int32](c.out(0)), x, w, nil, c.Attrs, c.Types[0], c.Types[1])
}

func inferMatMulInteger(c *Call) error {
	if err := want8(c, 0, 1, 2, 3); err != nil {
		return err
	}
	return matmulType(c, tensor.Int32, c.Types[0], c.Types[1])
}

// runMatMulInteger takes zero points per tensor, per row of the first and per
// column of the second matrix.
func runMatMulInteger(c *Call) error {
	a, err := centred(c.In[0], c.in(2), rowAxis(c.In[0]))
	if err != nil {
		return err
	}
	b, err := centred(c.In[1], c.in(3), c.In[1].Rank()-1)
	if err != nil {
		return err
	}
	return matmul(tensor.Data[int32](c.out(0)), a, b, c.Types[0].Shape, c.Types[1].Shape)
}

func rowAxis(t *tensor.Tensor) int { return max(0, t.Rank()-2) }

// centred returns x less its zero point, which is nil, one number, one number
// for each place along axis, or broadcasts to x.
func centred(x, zero *tensor.Tensor, axis int) ([]int32, error) {
	out := mapSlice(ints64(x), func(v int64) int32 { return int32(v) })
	if zero == nil {
		return out, nil
	}
	shape, zeros := x.Shape(), mapSlice(ints64(zero), func(v int64) int32 { return int32(v) })
	zeroShape, err := alongAxis(zero.Shape(), shape, axis)
	if err != nil {
		return nil, err
	}
	zipInto(out, out, zeros, shape, shape, zeroShape, sub[int32])
	return out, nil
}

// alongAxis returns the shape with which a parameter broadcasts to shape: a
// list stands along axis.
func alongAxis(param, shape []int, axis int) ([]int, error) {
	if tensor.Volume(param) == 1 {
		return nil, nil
	}
	if len(param) == 1 && axis < len(shape) && param[0] == shape[axis] {
		out := make([]int, len(shape)-axis)
		for i := range out {
			out[i] = 1
		}
		out[0] = param[0]
		return out, nil
	}
	if s, err := broadcast(param, shape); err == nil && len(s) == len(shape) && tensor.Volume(s) == tensor.Volume(shape) {
		return param, nil
	}
	return nil, badInput("scale or zero point of shape %v for shape %v along axis %d", param, shape, axis)
}

// rescale sets output 0 to acc times the input scales, over the output's, in
// float32, rounded to nearest even, plus the output's zero point, saturated.
// Scales that are lists stand along the given axes of the output.
func rescale(c *Call, acc []int32, aScale, bScale *tensor.Tensor, aAxis, bAxis int, outScale, outZero *tensor.Tensor) error {
	shape := c.OutType[0].Shape
	factor := make([]float32, len(acc))
	for i := range factor {
		factor[i] = 1
	}
	for _, s := range []struct {
		t    *tensor.Tensor
		axis int
		f    func(a, b float32) float32
	}{{aScale, aAxis, mul[float32]}, {bScale, bAxis, mul[float32]}, {outScale, aAxis, divide[float32]}} {
		at, err := alongAxis(s.t.Shape(), shape, s.axis)
		if err != nil {
			return err
		}
		zipInto(factor, factor, s.t.Float32s(), shape, shape, at, s.f)
	}
	zeroAt, err := alongAxis(outZero.Shape(), shape, aAxis)
	if err != nil {
		return err
	}
	lo, hi := intRange(c.OutType[0].DType)
	values := make([]float64, len(acc))
	for i, v := range acc {
		values[i] = math.RoundToEven(float64(float32(v) * factor[i]))
	}
	zipInto(values, values, outZero.Float64s(), shape, shape, zeroAt, func(v, zero float64) float64 { return clamp(v+zero, lo, hi) })
	setFloats(c.out(0), values)
	return nil
}

func inferQLinearConv(c *Call) error {
	if err := want8(c, 0, 2, 3, 5, 7); err != nil {
		return err
	}
	if err := c.wantType(8, tensor.Int32); err != nil {
		return err
	}
	if err := wantScales(c, 1, 4, 6); err != nil {
		return err
	}
	if err := checkScalars(c, 1, 2); err != nil {
		return err
	}
	if b, w := c.typ(8), c.typ(3); b.Known && w.Known && (len(b.Shape) != 1 || len(w.Shape) == 0 || !compatible(b.Shape[0], w.Shape[0])) {
		return badInput("bias of shape %v for weights of shape %v", b.Shape, w.Shape)
	}
	return convType(c, c.Types[7].DType, c.Types[0], c.Types[3])
}

// runQLinearConv has inputs x, its scale and zero point, weights and theirs,
// the output's, and a bias in int32 at scale x times weights.
func runQLinearConv(c *Call) error {
	x, err := centred(c.In[0], c.In[2], 0)
	if err != nil {
		return err
	}
	w, err := centred(c.In[3], c.In[5], 0)
	if err != nil {
		return err
	}
	var bias []int32
	if b := c.in(8); b != nil {
		bias = tensor.Data[int32](b)
	}
	acc := make([]int32, tensor.Volume(c.OutType[0].Shape))
	if err := conv(acc, x, w, bias, c.Attrs, c.Types[0], c.Types[3]); err != nil {
		return err
	}
	return rescale(c, acc, c.In[1], c.In[4], 1, 1, c.In[6], c.In[7])
}

func inferQLinearMatMul(c *Call) error {
	if err := want8(c, 0, 2, 3, 5, 7); err != nil {
		return err
	}
	if err := wantScales(c, 1, 4, 6); err != nil {
		return err
	}
	return matmulType(c, c.Types[7].DType, c.Types[0], c.Types[3])
}

func runQLinearMatMul(c *Call) error {
	a, err := centred(c.In[0], c.In[2], rowAxis(c.In[0]))
	if err != nil {
		return err
	}
	b, err := centred(c.In[3], c.In[5], c.In[3].Rank()-1)
	if err != nil {
		return err
	}
	acc := make([]int32, tensor.Volume(c.OutType[0].Shape))
	if err := matmul(acc, a, b, c.Types[0].Shape, c.Types[3].Shape); err != nil {
		return err
	}
	rank := len(c.OutType[0].Shape)
	return rescale(c, acc, c.In[1], c.In[4], max(0, rank-2), rank-1, c.In[6], c.In[7])
}

func inferQGemm(c *Call) error {
	if err := want8(c, 0, 2, 3, 5, 8); err != nil {
		return err
	}
	if err := c.wantType(6, tensor.Int32); err != nil {
		return err
	}
	if err := wantScales(c, 1, 4, 7); err != nil {
		return err
	}
	b := &Call{Attrs: c.Attrs, OutType: c.OutType, Types: []Type{c.Types[0], c.Types[3], c.typ(6)}}
	for i := range b.Types {
		b.Types[i].DType = tensor.Int32
	}
	if err := inferGemm(b); err != nil {
		return err
	}
	if c.OutType[0].DType = tensor.Float32; c.has(7) {
		c.OutType[0].DType = c.Types[0].DType
		if c.has(8) {
			c.OutType[0].DType = c.typ(8).DType
		}
	}
	return nil
}

// runQGemm has inputs A, its scale and zero point, B and its, C in int32, and
// the output's scale and zero point; without these the output is float32.
func runQGemm(c *Call) error {
	a, err := centred(c.In[0], c.In[2], 0)
	if err != nil {
		return err
	}
	zeroAxis := 1
	if c.Attrs.Int("transB", 0) != 0 {
		zeroAxis = 0
	}
	b, err := centred(c.In[3], c.In[5], zeroAxis)
	if err != nil {
		return err
	}
	attrs := Attrs{"transA": c.Attrs["transA"], "transB": c.Attrs["transB"]}
	in := []*tensor.Tensor{tensor.From(a, c.In[0].Shape()...), tensor.From(b, c.In[3].Shape()...), c.in(6)}
	o, err := Lookup("", "Gemm")
	if err != nil {
		return err
	}
	g := &Call{Attrs: attrs, In: in, Out: make([]*tensor.Tensor, 1)}
	if err := o.Run(g); err != nil {
		return err
	}
	acc, alpha := tensor.Data[int32](g.Out[0]), tensor.Scalar(c.Attrs.Float("alpha", 1))
	if c.in(7) != nil {
		zero := c.in(8)
		if zero == nil {
			zero = tensor.New(c.OutType[0].DType)
		}
		scale, err := runOne("Mul", c.In[1], alpha)
		if err != nil {
			return err
		}
		return rescale(c, acc, scale, c.In[4], 0, 1, c.In[7], zero)
	}
	y := tensor.From(mapSlice(acc, func(v int32) float32 { return float32(v) }), g.Out[0].Shape()...)
	for _, s := range []*tensor.Tensor{c.In[1], c.In[4], alpha} {
		if y, err = runOne("Mul", y, s); err != nil {
			return err
		}
	}
	c.Out[0] = y
	return nil
}

func inferDynamicQuantize(c *Call) error {
	if err := c.wantType(0, tensor.Float32); err != nil {
		return err
	}
	x := c.Types[0]
	all := []Type{{DType: tensor.Uint8, Shape: x.Shape, Known: x.Known}, {DType: tensor.Float32, Shape: []int{}, Known: true}, {DType: tensor.Uint8, Shape: []int{}, Known: true}}
	copy(c.OutType, all)
	return nil
}

// runDynamicQuantize quantizes to uint8 by the tensor's own range, which is
// made to contain zero.
func runDynamicQuantize(c *Call) error {
	var lo, hi float32
	for _, v := range c.In[0].F32() {
		lo, hi = min(lo, v), max(hi, v)
	}
	scale := (hi - lo) / 255
	zero := uint8(0)
	if scale > 0 {
		zero = saturate[uint8](math.RoundToEven(float64(-lo / scale)))
	} else {
		scale = 1
	}
	y, err := runOne("QuantizeLinear", c.In[0], tensor.Scalar(scale), tensor.Scalar(zero))
	if err != nil {
		return err
	}
	copy(c.Out, []*tensor.Tensor{y, tensor.Scalar(scale), tensor.Scalar(zero)})
	return nil
}
