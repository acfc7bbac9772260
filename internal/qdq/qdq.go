// Package qdq builds small quantized networks for tests.
package qdq

import (
	"fmt"
	"math/rand/v2"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

const microsoft = "com.microsoft"

// Builder builds quantized graphs by hand.
type Builder struct {
	*graph.Graph
	random *rand.Rand
	Scale  func() float32 // of the next tensor
	Zero   func() uint8   // point of the next tensor of uint8
	Signed bool           // int8 instead of uint8
	names  int
}

// New returns a builder for a float input of these dimensions behind the batch, and the input
// quantized. What is random in it depends on the seed alone.
func New(seed uint64, signed bool, input ...int) (*Builder, *graph.Value) {
	q := &Builder{Graph: &graph.Graph{Opset: map[string]int{"": 13, microsoft: 1}}, random: rand.New(rand.NewPCG(seed, 1)), Signed: signed}
	q.Scale = func() float32 { return 0.01 + 0.02*q.random.Float32() }
	q.Zero = func() uint8 { return 120 }
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: append([]int{op.Unknown}, input...), Known: true}}
	q.Inputs = []*graph.Value{x}
	return q, q.Quantized(x)
}

func (q *Builder) name(prefix string) string {
	q.names++
	return fmt.Sprintf("%s%d", prefix, q.names)
}

// Node adds a node of one output.
func (q *Builder) Node(operator string, attrs op.Attrs, in ...*graph.Value) *graph.Value {
	return q.New(q.name(operator), operator, attrs, in...)
}

// Constant makes a constant of t.
func (q *Builder) Constant(t *tensor.Tensor) *graph.Value { return graph.NewConst(q.name("const"), t) }

// Ints makes a constant list.
func (q *Builder) Ints(list ...int64) *graph.Value { return q.Constant(tensor.From(list, len(list))) }

// Quantized puts QuantizeLinear and DequantizeLinear behind v.
func (q *Builder) Quantized(v *graph.Value) *graph.Value {
	scale := q.Constant(tensor.Scalar(q.Scale()))
	zero := q.Constant(tensor.Scalar(q.Zero()))
	if q.Signed {
		zero = q.Constant(tensor.Scalar(int8(0)))
	}
	return q.Node("DequantizeLinear", nil, q.Node("QuantizeLinear", nil, v, scale, zero), scale, zero)
}

// Weights are random bytes with a scale for each channel along axis.
func (q *Builder) Weights(axis int64, shape ...int) *graph.Value {
	w := tensor.New(tensor.Int8, shape...)
	for i := range tensor.Data[int8](w) {
		tensor.Data[int8](w)[i] = int8(q.random.IntN(255) - 127)
	}
	scales := make([]float32, shape[axis])
	for i := range scales {
		scales[i] = q.Scale() / 4
	}
	return q.Node("DequantizeLinear", op.Attrs{"axis": axis}, q.Constant(w), q.Constant(tensor.From(scales, len(scales))))
}

// Conv adds a convolution with quantized weights and a bias.
func (q *Builder) Conv(x *graph.Value, out, in, kernel int, attrs op.Attrs) *graph.Value {
	bias := make([]float32, out)
	for i := range bias {
		bias[i] = q.random.Float32() - 0.5
	}
	if attrs == nil {
		attrs = op.Attrs{}
	}
	if !attrs.Has("pads") && kernel == 3 {
		attrs["pads"] = []int64{1, 1, 1, 1}
	}
	return q.Node("Conv", attrs, x, q.Weights(0, out, in, kernel, kernel), q.Constant(tensor.From(bias, out)))
}

// Done makes v the output.
func (q *Builder) Done(v *graph.Value) *graph.Graph {
	q.Outputs = []*graph.Value{v}
	return q.Graph
}

// product multiplies x by itself transposed, as signed bytes.
func (q *Builder) product(x *graph.Value) *graph.Value {
	q.Signed = true
	return q.Node("MatMul", nil, x, q.Quantized(q.Node("Transpose", op.Attrs{"perm": []int64{0, 1, 3, 2}}, x)))
}

// Six puts convolutions that differ in nothing but their numbers behind each other. Their zero points differ, and so does what
// stands for 0 in the padding of each.
func (q *Builder) Six(x *graph.Value) *graph.Value {
	zeros := []uint8{10, 200, 60, 130, 250, 90}
	i := 0
	q.Zero = func() uint8 { i++; return zeros[(i-1)%len(zeros)] }
	for range zeros {
		x = q.Quantized(q.Conv(x, 8, 8, 3, nil))
	}
	q.Zero = func() uint8 { return 120 }
	return x
}

// coded applies an operator of ONNX Runtime's to integers: those that v is the meaning of, each with its scale and zero point, behind
// the result's scale and zero point if these come first.
func (q *Builder) coded(operator string, attrs op.Attrs, resultFirst bool, vs ...*graph.Value) *graph.Value {
	scale := q.Constant(tensor.Scalar(q.Scale()))
	zero := q.Constant(tensor.Scalar(uint8(110)))
	if q.Signed {
		zero = q.Constant(tensor.Scalar(int8(0)))
	}
	var in []*graph.Value
	for _, v := range vs {
		in = append(in, v.Node.In(0), v.Node.In(1), v.Node.In(2))
	}
	if result := []*graph.Value{scale, zero}; resultFirst {
		in = append(result, in...)
	} else {
		in = append(in, result...)
	}
	y := q.Node(operator, attrs, in...)
	y.Node.Domain = microsoft
	return q.Node("DequantizeLinear", nil, y, scale, zero)
}

// nibbles are weights of 4 bits.
func (q *Builder) nibbles(shape ...int) *graph.Value {
	w := tensor.New(tensor.Int4, shape...)
	for i := range tensor.Data[tensor.Nibble](w) {
		tensor.Data[tensor.Nibble](w)[i] = tensor.Nibble(q.random.IntN(15) - 7)
	}
	scales := make([]float32, shape[0])
	for i := range scales {
		scales[i] = q.Scale()
	}
	return q.Node("DequantizeLinear", op.Attrs{"axis": int64(0)}, q.Constant(w), q.Constant(tensor.From(scales, len(scales))))
}

// RandomInput makes numbers from -8/3 to 8/3 that depend on the seed alone.
func RandomInput(seed uint64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 2))
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(r.IntN(256)-128) / 48
	}
	return x
}

// Cases are networks of one operator that must run on integers.
var Cases = map[string]func(q *Builder, x *graph.Value) *graph.Value{
	"Conv":      func(q *Builder, x *graph.Value) *graph.Value { return q.Conv(x, 16, 8, 3, nil) },
	"Conv+Relu": func(q *Builder, x *graph.Value) *graph.Value { return q.Node("Relu", nil, q.Conv(x, 5, 8, 1, nil)) },
	"Conv strided": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Conv(x, 16, 8, 3, op.Attrs{"strides": []int64{2, 2}})
	},
	"Conv depthwise": func(q *Builder, x *graph.Value) *graph.Value { return q.Conv(x, 8, 1, 3, op.Attrs{"group": int64(8)}) },
	"Conv grouped":   func(q *Builder, x *graph.Value) *graph.Value { return q.Conv(x, 8, 4, 3, op.Attrs{"group": int64(2)}) },
	"ConvTranspose": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("ConvTranspose", op.Attrs{"strides": []int64{2, 3}, "pads": []int64{1, 0, 0, 1}}, x, q.Weights(1, 8, 5, 3, 4))
	},
	"Conv+Clip": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Clip", nil, q.Conv(x, 8, 8, 3, nil), q.Constant(tensor.Scalar(float32(0))), q.Constant(tensor.Scalar(float32(2))))
	},
	"Conv of 4 bits": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Conv", op.Attrs{"auto_pad": "SAME_UPPER", "strides": []int64{2, 1}}, x, q.nibbles(6, 8, 3, 2))
	},
	"Conv dilated": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Conv", op.Attrs{"dilations": []int64{2, 3}, "auto_pad": "VALID"}, x, q.Weights(0, 6, 8, 3, 2))
	},
	"Conv, uneven padding": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Conv", op.Attrs{"auto_pad": "SAME_LOWER", "strides": []int64{1, 2}}, x, q.Weights(0, 6, 8, 2, 4))
	},
	"QLinearConcat": func(q *Builder, x *graph.Value) *graph.Value {
		return q.coded("QLinearConcat", op.Attrs{"axis": int64(-3)}, true, q.Quantized(q.Conv(x, 4, 8, 3, nil)), x)
	},
	"QLinearAdd": func(q *Builder, x *graph.Value) *graph.Value {
		return q.coded("QLinearAdd", nil, false, q.Quantized(q.Conv(x, 8, 8, 1, nil)), x)
	},
	"QLinearMul": func(q *Builder, x *graph.Value) *graph.Value {
		return q.coded("QLinearMul", nil, false, q.Quantized(q.Conv(x, 8, 8, 1, nil)), x)
	},
	"QLinearSigmoid": func(q *Builder, x *graph.Value) *graph.Value { return q.coded("QLinearSigmoid", nil, false, x) },
	"QLinearLeakyRelu": func(q *Builder, x *graph.Value) *graph.Value {
		return q.coded("QLinearLeakyRelu", op.Attrs{"alpha": float32(0.2)}, false, x)
	},
	"QLinearGlobalAveragePool": func(q *Builder, x *graph.Value) *graph.Value {
		return q.coded("QLinearGlobalAveragePool", nil, false, x)
	},
	"QLinearAveragePool": func(q *Builder, x *graph.Value) *graph.Value {
		return q.coded("QLinearAveragePool", op.Attrs{"kernel_shape": []int64{3, 2}, "strides": []int64{2, 1}}, false, x)
	},
	"residual": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Relu", nil, q.Node("Add", nil, q.Quantized(q.Conv(x, 8, 8, 3, nil)), x))
	},
	"Add": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Add", nil, x, q.Quantized(q.Node("Relu", nil, x)))
	},
	"Sub": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Sub", nil, x, q.Quantized(q.Node("Relu", nil, x)))
	},
	"Mul": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Mul", nil, x, q.Quantized(q.Node("Relu", nil, x)))
	},
	"gate": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Mul", nil, q.Quantized(q.Node("GlobalAveragePool", nil, x)), x)
	},
	"Concat": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Concat", op.Attrs{"axis": int64(1)}, q.Quantized(q.Conv(x, 16, 8, 3, nil)), x)
	},
	"AveragePool": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("AveragePool", op.Attrs{"kernel_shape": []int64{3, 2}, "strides": []int64{2, 1}}, x)
	},
	"GlobalAveragePool": func(q *Builder, x *graph.Value) *graph.Value { return q.Node("GlobalAveragePool", nil, x) },
	"MaxPool": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("MaxPool", op.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}, x)
	},
	"Sigmoid": func(q *Builder, x *graph.Value) *graph.Value { return q.Node("Sigmoid", nil, x) },
	"Resize": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Resize", op.Attrs{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
			x, nil, q.Constant(tensor.From([]float32{1, 1, 2, 3}, 4)))
	},
	"MaxPool strided": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("MaxPool", op.Attrs{"kernel_shape": []int64{3, 2}, "strides": []int64{2, 3}, "auto_pad": "SAME_UPPER"}, q.Node("Relu", nil, q.Quantized(q.Conv(x, 8, 8, 3, nil))))
	},
	"Slice backwards": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Slice", nil, x, q.Ints(-8, -100), q.Ints(-1, 100), q.Ints(-2, -3))
	},
	"Split": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Split", op.Attrs{"axis": int64(1)}, x, q.Ints(3, 5))
		rest := &graph.Value{Name: q.name("rest"), Node: y.Node}
		y.Node.Outputs = append(y.Node.Outputs, rest)
		return q.Node("Concat", op.Attrs{"axis": int64(1)}, rest, y)
	},
	"Transpose": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Transpose", op.Attrs{"perm": []int64{0, 3, 1, 2}}, x)
	},
	"Slice": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Slice", nil, x, q.Ints(1, 0), q.Ints(7, 9), q.Ints(1, 2), q.Ints(1, 2))
	},
	"Pad": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Pad", nil, x, q.Ints(0, 2, 1, 0, 0, 3, 0, 1))
	},
	"Pad of bytes": func(q *Builder, x *graph.Value) *graph.Value {
		zero := q.Constant(tensor.Scalar(uint8(0)))
		if q.Signed {
			zero = q.Constant(tensor.Scalar(int8(-128)))
		}
		codes := q.Node("Pad", nil, x.Node.In(0), q.Ints(0, 0, 1, 2, 0, 0, 1, 0), zero)
		return q.Node("DequantizeLinear", nil, codes, x.Node.In(1), x.Node.In(2))
	},
	"Gemm": func(q *Builder, x *graph.Value) *graph.Value {
		flat := q.Node("Flatten", nil, x)
		return q.Node("Gemm", op.Attrs{"transB": int64(1)}, flat, q.Weights(0, 10, 8*9*7), q.Constant(tensor.From(make([]float32, 10), 10)))
	},
	"MatMul":                func(q *Builder, x *graph.Value) *graph.Value { return q.Node("MatMul", nil, x, q.Weights(1, 7, 12)) },
	"MatMul of activations": func(q *Builder, x *graph.Value) *graph.Value { return q.product(x) },
	"MatMul of activations and Div": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Relu", nil, q.Node("Div", nil, q.product(x), q.Constant(tensor.Scalar(float32(3)))))
	},
}

// ShiftNetwork is a residual network all of whose scales are powers of two.
func ShiftNetwork() *graph.Graph {
	q, _ := New(5, false, 3, 16, 16)
	q.Nodes, q.names, q.Signed = nil, 0, true
	exps := []float32{1. / 16, 1. / 32, 1. / 8}
	i := 0
	q.Scale = func() float32 { i++; return exps[i%len(exps)] }
	x := q.Quantized(q.Inputs[0])
	x = q.Quantized(q.Node("Relu", nil, q.Conv(x, 16, 3, 3, nil)))
	y := q.Quantized(q.Node("Relu", nil, q.Conv(x, 16, 1, 3, op.Attrs{"group": int64(16)})))
	y = q.Quantized(q.Conv(y, 16, 16, 1, nil))
	x = q.Quantized(q.Node("Relu", nil, q.Node("Add", nil, y, x)))
	x = q.Quantized(q.Node("GlobalAveragePool", nil, x))
	x = q.Node("Flatten", nil, x)
	return q.Done(q.Quantized(q.Node("Gemm", nil, x, q.Weights(1, 16, 10), q.Constant(tensor.From(make([]float32, 10), 10)))))
}
