package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// microsoft is the domain of ONNX Runtime's own operators.
const microsoft = "com.microsoft"

// scaled is an operand of a QLinear operator: the places of its values, its
// scale and its zero point among the inputs.
type scaled struct{ x, scale, zero int }

var (
	unaryScaled  = []scaled{{0, 1, 2}}
	binaryScaled = []scaled{{0, 1, 2}, {3, 4, 5}}
)

var _ = register(
	qlinear("QLinearAdd", "Add", 7, 8, binaryScaled, 6).is(operation, inputs(Data, ScaleOf, ZeroPoint, Data, ScaleOf, ZeroPoint, ScaleOf, ZeroPoint)),
	qlinear("QLinearMul", "Mul", 7, 8, binaryScaled, 6).is(operation, inputs(Data, ScaleOf, ZeroPoint, Data, ScaleOf, ZeroPoint, ScaleOf, ZeroPoint)),
	qlinear("QLinearSigmoid", "Sigmoid", 4, 5, unaryScaled, 3).is(operation, inputs(Data, ScaleOf, ZeroPoint)),
	qlinear("QLinearLeakyRelu", "LeakyRelu", 4, 5, unaryScaled, 3).is(operation, inputs(Data, ScaleOf, ZeroPoint)),
	qlinear("QLinearSoftmax", "Softmax", 5, 5, unaryScaled, 3).is(plain, inputs(Data, ScaleOf, ZeroPoint), tensors, batch(qlinearSoftmaxSamples)),
	qlinear("QLinearAveragePool", "AveragePool", 4, 5, unaryScaled, 3).is(spatial, inputs(Data, ScaleOf, ZeroPoint)),
	qlinear("QLinearGlobalAveragePool", "GlobalAveragePool", 5, 5, unaryScaled, 3).is(spatial, inputs(Data, ScaleOf, ZeroPoint)),
	qlinear("QLinearReduceMean", "ReduceMean", 4, 5, unaryScaled, 3).is(plain, inputs(Data, ScaleOf, ZeroPoint), batch(attrAxes)),
	spec{name: "QLinearConcat", domain: microsoft, min: 5, max: variadic, infer: inferQLinearConcat, run: runQLinearConcat, anyType: true}.is(plain, inputs(ScaleOf, ZeroPoint, Data), tensors, batch(qlinearConcatSamples)),
	spec{name: "QuantizeLinear", domain: microsoft, min: 2, max: 3, infer: inferQuantize, run: runQuantize, anyType: true}.is(plain, coding, inputs(Data, ScaleOf, ZeroPoint), batch(scaledSamples)),
	spec{name: "DequantizeLinear", domain: microsoft, min: 2, max: 3, infer: inferDequantize, run: runDequantize, anyType: true}.is(plain, coding, inputs(Data, ScaleOf, ZeroPoint), batch(scaledSamples)),
)

// qlinear makes an operator of ONNX Runtime that is a float operator between
// dequantized inputs and a quantized output, whose scale is input outScale and
// whose zero point is the next one.
func qlinear(name, base string, min, max int, in []scaled, outScale int) spec {
	return spec{name: name, domain: microsoft, min: min, max: max, anyType: true,
		infer: func(c *Call) error {
			b, err := floatCall(c, base, in)
			if err != nil {
				return err
			}
			o, err := Lookup("", base)
			if err != nil {
				return err
			}
			if err := o.Infer(b); err != nil {
				return err
			}
			c.OutType[0] = b.OutType[0]
			c.OutType[0].DType = c.typ(in[0].x).DType
			return checkScalars(c, outScale, outScale+1)
		},
		run: func(c *Call) error {
			b, err := floatCall(c, base, in)
			if err != nil {
				return err
			}
			for i, s := range in {
				if b.In[i], err = dequantize(c.in(s.x), c.in(s.scale), c.in(s.zero)); err != nil {
					return err
				}
			}
			o, err := Lookup("", base)
			if err != nil {
				return err
			}
			if err := o.Run(b); err != nil {
				return err
			}
			return requantize(c, b.Out[0], outScale)
		}}
}

// floatCall returns the call of the float operator, as far as types go.
func floatCall(c *Call, base string, in []scaled) (*Call, error) {
	if c.Attrs.Int("channels_last", 0) != 0 {
		return nil, badAttr("channels_last is not supported")
	}
	b := &Call{Attrs: c.Attrs, Version: baseVersion(c, base), Out: make([]*tensor.Tensor, 1), OutType: make([]Type, 1)}
	for _, s := range in {
		if err := checkScalars(c, s.scale, s.zero); err != nil {
			return nil, err
		}
		if err := c.wantType(s.x, tensor.Int8, tensor.Uint8); err != nil {
			return nil, err
		}
		t := c.typ(s.x)
		b.Types, b.In = append(b.Types, Type{DType: tensor.Float32, Shape: t.Shape, Known: t.Known}), append(b.In, nil)
	}
	return b, nil
}

// baseVersion is the version of the float operator that is meant: Softmax says
// it by an attribute, ReduceMean still has its axes as one.
func baseVersion(c *Call, base string) int {
	switch base {
	case "Softmax":
		return c.Attrs.Int("opset", 13)
	case "ReduceMean":
		return 13
	}
	return 0
}

// checkScalars checks that a scale and a zero point are one number each.
func checkScalars(c *Call, scale, zero int) error {
	if err := c.wantType(scale, tensor.Float32); err != nil {
		return err
	}
	for _, i := range []int{scale, zero} {
		if t := c.typ(i); t.Static() && tensor.Volume(t.Shape) != 1 {
			return badInput("input %d has shape %v, one number is needed", i, t.Shape)
		}
	}
	return nil
}

// dequantize returns (x - zero) * scale as float32; the zero point may be nil.
func dequantize(x, scale, zero *tensor.Tensor) (*tensor.Tensor, error) {
	if x == nil || scale == nil {
		return nil, badInput("values or scale are missing")
	}
	return runOne("DequantizeLinear", x, scale, zero)
}

// requantize sets output 0 to x with the scale at input i and the zero point
// behind it.
func requantize(c *Call, x *tensor.Tensor, i int) error {
	scale, zero := c.in(i), c.in(i+1)
	if zero == nil {
		zero = tensor.New(c.OutType[0].DType)
	}
	if scale == nil || zero.DType() != c.OutType[0].DType {
		return badInput("the output's scale is missing, or its zero point is %s and not %s", zero.DType(), c.OutType[0].DType)
	}
	y, err := runOne("QuantizeLinear", x, scale, zero)
	c.Out[0] = y
	return err
}

// runOne runs an operator of the default domain without attributes.
func runOne(name string, in ...*tensor.Tensor) (*tensor.Tensor, error) {
	o, err := Lookup("", name)
	if err != nil {
		return nil, err
	}
	c := &Call{In: in, Out: make([]*tensor.Tensor, 1)}
	err = o.Run(c)
	return c.Out[0], err
}

// QLinearConcat has the output's scale and zero point first, then values,
// scale and zero point of each input.
func inferQLinearConcat(c *Call) error {
	if (len(c.Types)-2)%3 != 0 {
		return badInput("%d inputs are not 2 and groups of 3", len(c.Types))
	}
	b := &Call{Attrs: c.Attrs, OutType: c.OutType}
	for i := 2; i < len(c.Types); i += 3 {
		if err := checkScalars(c, i+1, i+2); err != nil {
			return err
		}
		b.Types = append(b.Types, c.Types[i])
	}
	if err := checkScalars(c, 0, 1); err != nil {
		return err
	}
	return inferConcat(b)
}

func runQLinearConcat(c *Call) error {
	b := &Call{Attrs: c.Attrs, Out: make([]*tensor.Tensor, 1), OutType: slices.Clone(c.OutType)}
	b.OutType[0].DType = tensor.Float32
	for i := 2; i < len(c.In); i += 3 {
		x, err := dequantize(c.In[i], c.In[i+1], c.In[i+2])
		if err != nil {
			return err
		}
		b.In = append(b.In, x)
	}
	if err := runConcat(b); err != nil {
		return err
	}
	return requantize(c, b.Out[0], 0)
}
