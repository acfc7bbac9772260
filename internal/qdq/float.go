package qdq

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Floats makes a constant of random numbers.
func (q *Builder) Floats(shape ...int) *graph.Value {
	return q.Constant(RandomInput(uint64(len(q.Nodes)+q.names), shape...))
}

// positive is Floats without those that are not.
func (q *Builder) positive(shape ...int) *graph.Value {
	t := RandomInput(uint64(q.names), shape...)
	for i, v := range t.F32() {
		t.F32()[i] = max(v, -v) + 0.5
	}
	return q.Constant(t)
}

// FloatCases are networks for inputs of [N,8,9,7] that run in float, each by steps of its own.
var FloatCases = map[string]func(q *Builder, x *graph.Value) *graph.Value{
	"Conv": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Relu", nil, q.Node("Conv", op.Attrs{"pads": []int64{1, 0, 0, 2}, "strides": []int64{2, 1}}, x, q.Floats(5, 8, 3, 2), q.Floats(5)))
	},
	"Conv grouped": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Conv", op.Attrs{"group": int64(4), "auto_pad": "SAME_LOWER"}, x, q.Floats(8, 2, 2, 2))
	},
	"Conv, sum and clip": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Conv", op.Attrs{"auto_pad": "SAME_UPPER"}, x, q.Floats(8, 8, 2, 2))
		return q.Node("Clip", nil, q.Node("Add", nil, y, x), q.Constant(tensor.Scalar(float32(-1))), q.Constant(tensor.Scalar(float32(6))))
	},
	"ConvTranspose": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("ConvTranspose", op.Attrs{"strides": []int64{2, 3}, "pads": []int64{1, 0, 0, 1}}, x, q.Floats(8, 5, 3, 4), q.Floats(5))
	},
	"BatchNormalization": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Relu", nil, x)
		return q.Node("BatchNormalization", op.Attrs{"epsilon": float32(1e-3)}, y, q.Floats(8), q.Floats(8), q.Floats(8), q.positive(8))
	},
	"LayerNormalization": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("LayerNormalization", op.Attrs{"axis": int64(-1)}, x, q.Floats(7), q.Floats(7))
	},
	"Softmax": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Softmax", op.Attrs{"axis": int64(-1)}, x)
	},
	"channels": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Sub", nil, q.Floats(8, 1, 1), q.Node("Mul", nil, x, q.Floats(8, 1, 1)))
		return q.Node("Div", nil, q.Node("LeakyRelu", op.Attrs{"alpha": float32(0.1)}, y), q.positive(8, 1, 1))
	},
	"scalars": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Sub", nil, q.Constant(tensor.Scalar(float32(2))), q.Node("Div", nil, x, q.Constant(tensor.Scalar(float32(3)))))
		return q.Node("Max", nil, q.Node("Min", nil, y, q.Constant(tensor.Scalar(float32(2.5)))), q.Constant(tensor.Scalar(float32(1.5))))
	},
	"functions": func(q *Builder, x *graph.Value) *graph.Value {
		for _, f := range []string{"Sigmoid", "Neg", "HardSigmoid", "Exp", "Tanh", "Erf", "HardSwish"} {
			x = q.Node(f, nil, x)
		}
		return x
	},
	"two branches": func(q *Builder, x *graph.Value) *graph.Value {
		a, b := q.Node("Sigmoid", nil, x), q.Node("Tanh", nil, x)
		return q.Node("Relu", nil, q.Node("Sub", nil, q.Node("Mul", nil, a, b), q.Node("Div", nil, b, a)))
	},
	"a number for each element": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Add", nil, q.Node("Mul", nil, x, q.Floats(8, 9, 7)), q.Floats(9, 7))
	},
	"along one axis": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Reshape", nil, x, q.Ints(0, 8, 63))
		y = q.Node("MaxPool", op.Attrs{"kernel_shape": []int64{5}, "strides": []int64{2}}, y)
		return q.Node("Conv", op.Attrs{"pads": []int64{2, 1}}, y, q.Floats(4, 8, 3), q.Floats(4))
	},
	"MaxPool beyond the border": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("MaxPool", op.Attrs{"kernel_shape": []int64{3, 2}, "dilations": []int64{2, 3}, "strides": []int64{3, 2}, "ceil_mode": int64(1)}, x)
	},
	"gate": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Mul", nil, x, q.Node("Sigmoid", nil, q.Node("GlobalAveragePool", nil, x)))
	},
	"pools": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("MaxPool", op.Attrs{"kernel_shape": []int64{2, 3}, "pads": []int64{1, 1, 0, 1}}, x)
		return q.Node("AveragePool", op.Attrs{"kernel_shape": []int64{3, 2}, "strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}, "count_include_pad": int64(1)}, y)
	},
	"pools, padding that does not count": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("AveragePool", op.Attrs{"kernel_shape": []int64{3, 2}, "pads": []int64{1, 1, 1, 0}, "ceil_mode": int64(1), "strides": []int64{2, 2}}, x)
	},
	"moves": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Pad", nil, x, q.Ints(0, 1, 2, 0, 0, 0, 1, 3), q.Constant(tensor.Scalar(float32(0.5))))
		y = q.Node("Slice", nil, q.Node("Relu", nil, y), q.Ints(-5, 1), q.Ints(100, -1), q.Ints(2, -3), q.Ints(1, 2))
		return q.Node("Concat", op.Attrs{"axis": int64(-1)}, q.Node("Tanh", nil, y), y)
	},
	"turned": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Reshape", nil, q.Node("Transpose", op.Attrs{"perm": []int64{0, 2, 3, 1}}, q.Node("Conv", nil, x, q.Floats(4, 8, 1, 1))), q.Ints(0, 63, 4))
		return q.Node("MatMul", nil, q.Node("MatMul", nil, y, q.Floats(4, 6)), q.Floats(6, 3))
	},
	"attention": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("MatMul", nil, x, q.Node("Transpose", op.Attrs{"perm": []int64{0, 1, 3, 2}}, x))
		y = q.Node("Softmax", op.Attrs{"axis": int64(-1)}, q.Node("Div", nil, y, q.Constant(tensor.Scalar(float32(3)))))
		return q.Node("MatMul", nil, y, x)
	},
	"Gemm": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Gemm", op.Attrs{"transB": int64(1)}, q.Node("Flatten", nil, x), q.Floats(10, 8*9*7), q.Floats(10))
		return q.Node("Gemm", op.Attrs{"alpha": float32(0.5), "beta": float32(2)}, q.Node("Relu", nil, y), q.Floats(10, 4), q.Floats(1, 4))
	},
	"Resize": func(q *Builder, x *graph.Value) *graph.Value {
		y := q.Node("Resize", op.Attrs{"mode": "nearest", "coordinate_transformation_mode": "half_pixel"}, x, nil, q.Constant(tensor.From([]float32{1, 1, 3, 2}, 4)))
		return q.Node("Resize", op.Attrs{"mode": "linear"}, y, nil, q.Constant(tensor.From([]float32{1, 1, 0.5, 2}, 4)))
	},
	"means": func(q *Builder, x *graph.Value) *graph.Value {
		return q.Node("Add", nil, q.Node("ReduceMean", op.Attrs{"axes": []int64{2, 3}}, x), q.Node("ReduceMean", op.Attrs{"axes": []int64{1}}, x))
	},
}
