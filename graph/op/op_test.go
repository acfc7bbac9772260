package op

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/tensor"
)

// f32, i64 and others make small tensors for tables.
func f32(shape []int, v ...float32) *tensor.Tensor { return tensor.From(v, shape...) }
func i64(v ...int64) *tensor.Tensor                { return tensor.From(v, len(v)) }

func ramp(shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(i)
	}
	return t
}

type opCase struct {
	op      string
	version int
	attrs   Attrs
	in      []*tensor.Tensor
	want    []*tensor.Tensor
}

var opCases = []opCase{
	{op: "Add", in: []*tensor.Tensor{f32([]int{2, 2}, 1, 2, 3, 4), f32([]int{2}, 10, 20)}, want: []*tensor.Tensor{f32([]int{2, 2}, 11, 22, 13, 24)}},
	{op: "Add", version: 6, attrs: Attrs{"broadcast": int64(1), "axis": int64(0)},
		in: []*tensor.Tensor{f32([]int{2, 2}, 1, 2, 3, 4), f32([]int{2}, 10, 20)}, want: []*tensor.Tensor{f32([]int{2, 2}, 11, 12, 23, 24)}},
	{op: "Sub", in: []*tensor.Tensor{f32([]int{1}, 1), f32([]int{3}, 1, 2, 3)}, want: []*tensor.Tensor{f32([]int{3}, 0, -1, -2)}},
	{op: "Div", in: []*tensor.Tensor{i64(7, -7, 5), i64(2, 2, 0)}, want: []*tensor.Tensor{i64(3, -3, 0)}},
	{op: "Relu", in: []*tensor.Tensor{f32([]int{3}, -1, 0, 2)}, want: []*tensor.Tensor{f32([]int{3}, 0, 0, 2)}},
	{op: "Max", in: []*tensor.Tensor{i64(1, 5), i64(3), i64(2, 2)}, want: []*tensor.Tensor{i64(3, 5)}},
	{op: "Conv", attrs: Attrs{"pads": []int64{1, 1}, "strides": []int64{2}},
		in:   []*tensor.Tensor{f32([]int{1, 1, 5}, 1, 2, 3, 4, 5), f32([]int{1, 1, 3}, 1, 10, 100), f32([]int{1}, 0.5)},
		want: []*tensor.Tensor{f32([]int{1, 1, 3}, 210.5, 432.5, 54.5)}},
	{op: "Conv", attrs: Attrs{"group": int64(2)},
		in:   []*tensor.Tensor{f32([]int{1, 2, 1, 2}, 1, 2, 3, 4), f32([]int{2, 1, 1, 2}, 1, 1, 1, -1)},
		want: []*tensor.Tensor{f32([]int{1, 2, 1, 1}, 3, -1)}},
	{op: "MaxPool", attrs: Attrs{"kernel_shape": []int64{2}, "strides": []int64{2}, "ceil_mode": int64(1)},
		in: []*tensor.Tensor{f32([]int{1, 1, 3}, 1, 3, 2)}, want: []*tensor.Tensor{f32([]int{1, 1, 2}, 3, 2), tensor.From([]int64{1, 2}, 1, 1, 2)}},
	{op: "AveragePool", attrs: Attrs{"kernel_shape": []int64{2}, "pads": []int64{1, 0}, "count_include_pad": int64(1)},
		in: []*tensor.Tensor{f32([]int{1, 1, 2}, 2, 4)}, want: []*tensor.Tensor{f32([]int{1, 1, 2}, 1, 3)}},
	{op: "GlobalAveragePool", in: []*tensor.Tensor{f32([]int{1, 2, 2}, 1, 3, 5, 9)}, want: []*tensor.Tensor{f32([]int{1, 2, 1}, 2, 7)}},
	{op: "MatMul", in: []*tensor.Tensor{ramp(2, 1, 2), ramp(2, 2)}, want: []*tensor.Tensor{f32([]int{2, 1, 2}, 2, 3, 6, 11)}},
	{op: "MatMul", in: []*tensor.Tensor{ramp(2), ramp(2)}, want: []*tensor.Tensor{f32(nil, 1)}},
	{op: "Gemm", attrs: Attrs{"transB": int64(1), "alpha": float32(2), "beta": float32(3)},
		in: []*tensor.Tensor{f32([]int{1, 2}, 1, 2), f32([]int{2, 2}, 1, 0, 0, 1), f32([]int{1}, 10)}, want: []*tensor.Tensor{f32([]int{1, 2}, 32, 34)}},
	{op: "Swish", attrs: Attrs{"alpha": float32(0)}, in: []*tensor.Tensor{f32([]int{2}, -2, 4)}, want: []*tensor.Tensor{f32([]int{2}, -1, 2)}},
	{op: "RMSNormalization", attrs: Attrs{"epsilon": float32(0)}, in: []*tensor.Tensor{f32([]int{2, 2}, 1, -7, 4, 4), f32([]int{2}, 1, 10)},
		want: []*tensor.Tensor{f32([]int{2, 2}, 0.2, -14, 1, 10)}},
	{op: "Softmax", in: []*tensor.Tensor{f32([]int{1, 2}, 1000, 1000)}, want: []*tensor.Tensor{f32([]int{1, 2}, 0.5, 0.5)}},
	{op: "Softmax", version: 11, in: []*tensor.Tensor{f32([]int{1, 2, 2}, 0, 0, 0, 0)}, want: []*tensor.Tensor{f32([]int{1, 2, 2}, .25, .25, .25, .25)}},
	{op: "ReduceMean", attrs: Attrs{"keepdims": int64(0)}, in: []*tensor.Tensor{ramp(2, 2), i64(-1)}, want: []*tensor.Tensor{f32([]int{2}, 0.5, 2.5)}},
	{op: "ReduceSum", version: 11, attrs: Attrs{"axes": []int64{0}}, in: []*tensor.Tensor{ramp(2, 2)}, want: []*tensor.Tensor{f32([]int{1, 2}, 2, 4)}},
	{op: "Reshape", in: []*tensor.Tensor{ramp(2, 2, 2), i64(0, -1)}, want: []*tensor.Tensor{ramp(2, 4)}},
	{op: "Flatten", in: []*tensor.Tensor{ramp(2, 2, 2)}, want: []*tensor.Tensor{ramp(2, 4)}},
	{op: "Squeeze", in: []*tensor.Tensor{ramp(1, 2, 1), i64(-1)}, want: []*tensor.Tensor{ramp(1, 2)}},
	{op: "Unsqueeze", version: 11, attrs: Attrs{"axes": []int64{0, 2}}, in: []*tensor.Tensor{ramp(2)}, want: []*tensor.Tensor{ramp(1, 2, 1)}},
	{op: "Transpose", in: []*tensor.Tensor{ramp(2, 3)}, want: []*tensor.Tensor{f32([]int{3, 2}, 0, 3, 1, 4, 2, 5)}},
	{op: "Concat", attrs: Attrs{"axis": int64(1)}, in: []*tensor.Tensor{ramp(2, 1), ramp(2, 2)}, want: []*tensor.Tensor{f32([]int{2, 3}, 0, 0, 1, 1, 2, 3)}},
	{op: "Slice", in: []*tensor.Tensor{ramp(5), i64(-1), i64(math.MinInt64), i64(0), i64(-2)}, want: []*tensor.Tensor{f32([]int{3}, 4, 2, 0)}},
	{op: "Slice", version: 9, attrs: Attrs{"starts": []int64{1}, "ends": []int64{100}, "axes": []int64{1}},
		in: []*tensor.Tensor{ramp(2, 3)}, want: []*tensor.Tensor{f32([]int{2, 2}, 1, 2, 4, 5)}},
	{op: "Pad", in: []*tensor.Tensor{ramp(3), i64(1, -1), f32(nil, 9)}, want: []*tensor.Tensor{f32([]int{3}, 9, 0, 1)}},
	{op: "Pad", attrs: Attrs{"mode": "reflect"}, in: []*tensor.Tensor{ramp(3), i64(2, 1)}, want: []*tensor.Tensor{f32([]int{6}, 2, 1, 0, 1, 2, 1)}},
	{op: "Gather", attrs: Attrs{"axis": int64(1)}, in: []*tensor.Tensor{ramp(2, 3), i64(-1, 0)}, want: []*tensor.Tensor{f32([]int{2, 2}, 2, 0, 5, 3)}},
	{op: "Expand", in: []*tensor.Tensor{ramp(2, 1), i64(2, 1, 2)}, want: []*tensor.Tensor{f32([]int{2, 2, 2}, 0, 0, 1, 1, 0, 0, 1, 1)}},
	{op: "Tile", in: []*tensor.Tensor{ramp(1, 2), i64(2, 2)}, want: []*tensor.Tensor{f32([]int{2, 4}, 0, 1, 0, 1, 0, 1, 0, 1)}},
	{op: "Shape", attrs: Attrs{"start": int64(-1)}, in: []*tensor.Tensor{ramp(2, 3)}, want: []*tensor.Tensor{i64(3)}},
	{op: "Cast", attrs: Attrs{"to": int64(3)}, in: []*tensor.Tensor{f32([]int{4}, 1.7, -300, 300, float32(math.NaN()))}, want: []*tensor.Tensor{tensor.From([]int8{1, -128, 127, 0}, 4)}},
	{op: "QuantizeLinear", in: []*tensor.Tensor{f32([]int{5}, 1, 3, -1, 1000, float32(math.NaN())), f32(nil, 2), tensor.Scalar(uint8(10))},
		want: []*tensor.Tensor{tensor.From([]uint8{10, 12, 10, 255, 10}, 5)}},
	{op: "DequantizeLinear", attrs: Attrs{"axis": int64(0)}, in: []*tensor.Tensor{tensor.From([]int8{1, 2, 3, 4}, 2, 2), f32([]int{2}, 1, 10), tensor.From([]int8{0, 1}, 2)},
		want: []*tensor.Tensor{f32([]int{2, 2}, 1, 2, 20, 30)}},
	{op: "Clip", in: []*tensor.Tensor{ramp(4), f32(nil, 1), f32(nil, 2)}, want: []*tensor.Tensor{f32([]int{4}, 1, 1, 2, 2)}},
	{op: "Clip", in: []*tensor.Tensor{ramp(4), nil, f32(nil, 2)}, want: []*tensor.Tensor{f32([]int{4}, 0, 1, 2, 2)}},
	{op: "Clip", version: 6, attrs: Attrs{"min": float32(1)}, in: []*tensor.Tensor{ramp(3)}, want: []*tensor.Tensor{f32([]int{3}, 1, 1, 2)}},
	{op: "Einsum", attrs: Attrs{"equation": "bij, bjk -> bik"}, in: []*tensor.Tensor{ramp(1, 2, 2), ramp(1, 2, 2)}, want: []*tensor.Tensor{f32([]int{1, 2, 2}, 2, 3, 6, 11)}},
	{op: "Einsum", attrs: Attrs{"equation": "ii->i"}, in: []*tensor.Tensor{ramp(2, 2)}, want: []*tensor.Tensor{f32([]int{2}, 0, 3)}},
	{op: "Einsum", attrs: Attrs{"equation": "...i,i"}, in: []*tensor.Tensor{ramp(2, 2), ramp(2)}, want: []*tensor.Tensor{f32([]int{2}, 1, 3)}},
	{op: "TopK", in: []*tensor.Tensor{f32([]int{1, 4}, 1, 3, 3, 2), i64(3)}, want: []*tensor.Tensor{f32([]int{1, 3}, 3, 3, 2), tensor.From([]int64{1, 2, 3}, 1, 3)}},
	{op: "TopK", attrs: Attrs{"largest": int64(0), "axis": int64(0)}, in: []*tensor.Tensor{ramp(3, 1), i64(1)}, want: []*tensor.Tensor{f32([]int{1, 1}, 0), tensor.From([]int64{0}, 1, 1)}},
	{op: "CumSum", attrs: Attrs{"exclusive": int64(1), "reverse": int64(1)}, in: []*tensor.Tensor{ramp(1, 4), i64(1)}, want: []*tensor.Tensor{f32([]int{1, 4}, 6, 5, 3, 0)}},
	{op: "Range", in: []*tensor.Tensor{tensor.Scalar(int64(5)), tensor.Scalar(int64(0)), tensor.Scalar(int64(-2))}, want: []*tensor.Tensor{i64(5, 3, 1)}},
	{op: "OneHot", in: []*tensor.Tensor{i64(1, -1, 7), i64(2), f32([]int{2}, 0, 5)}, want: []*tensor.Tensor{f32([]int{3, 2}, 0, 5, 0, 5, 0, 0)}},
	{op: "NonZero", in: []*tensor.Tensor{f32([]int{2, 2}, 1, 0, 0, 2)}, want: []*tensor.Tensor{tensor.From([]int64{0, 1, 0, 1}, 2, 2)}},
	{op: "Compress", in: []*tensor.Tensor{ramp(2, 2), tensor.From([]bool{false, true, true}, 3)}, want: []*tensor.Tensor{f32([]int{2}, 1, 2)}},
	{op: "Trilu", attrs: Attrs{"upper": int64(0)}, in: []*tensor.Tensor{f32([]int{2, 2}, 1, 2, 3, 4)}, want: []*tensor.Tensor{f32([]int{2, 2}, 1, 0, 3, 4)}},
	{op: "Trilu", in: []*tensor.Tensor{f32([]int{2, 2}, 1, 2, 3, 4), tensor.Scalar(int64(1))}, want: []*tensor.Tensor{f32([]int{2, 2}, 0, 2, 0, 0)}},
	{op: "GatherElements", attrs: Attrs{"axis": int64(1)}, in: []*tensor.Tensor{ramp(2, 2), tensor.From([]int64{0, 0, 1, -2}, 2, 2)}, want: []*tensor.Tensor{f32([]int{2, 2}, 0, 0, 3, 2)}},
	{op: "GatherND", attrs: Attrs{"batch_dims": int64(1)}, in: []*tensor.Tensor{ramp(2, 2, 2), tensor.From([]int64{1, 0}, 2, 1)}, want: []*tensor.Tensor{f32([]int{2, 2}, 2, 3, 4, 5)}},
	{op: "ScatterND", attrs: Attrs{"reduction": "add"}, in: []*tensor.Tensor{ramp(4), tensor.From([]int64{1, 1}, 2, 1), f32([]int{2}, 10, 100)}, want: []*tensor.Tensor{f32([]int{4}, 0, 111, 2, 3)}},
	{op: "ScatterElements", in: []*tensor.Tensor{ramp(4), i64(-1), f32([]int{1}, 9)}, want: []*tensor.Tensor{f32([]int{4}, 0, 1, 2, 9)}},
	{op: "ReverseSequence", in: []*tensor.Tensor{ramp(3, 2), i64(1, 3)}, want: []*tensor.Tensor{f32([]int{3, 2}, 0, 5, 2, 3, 4, 1)}},
	{op: "EyeLike", attrs: Attrs{"k": int64(1)}, in: []*tensor.Tensor{ramp(2, 2)}, want: []*tensor.Tensor{f32([]int{2, 2}, 0, 1, 0, 0)}},
	{op: "NonMaxSuppression", in: []*tensor.Tensor{f32([]int{1, 3, 4}, 0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 2, 1, 3), f32([]int{1, 1, 3}, 0.5, 0.9, 0.1), i64(3), f32(nil, 0.5)},
		want: []*tensor.Tensor{tensor.From([]int64{0, 0, 1, 0, 0, 2}, 2, 3)}},
	{op: "ConvTranspose", attrs: Attrs{"strides": []int64{2}}, in: []*tensor.Tensor{f32([]int{1, 1, 2}, 1, 2), f32([]int{1, 1, 3}, 1, 10, 100)},
		want: []*tensor.Tensor{f32([]int{1, 1, 5}, 1, 10, 102, 20, 200)}},
	{op: "Resize", in: []*tensor.Tensor{ramp(2), nil, f32([]int{1}, 2)}, want: []*tensor.Tensor{f32([]int{4}, 0, 0, 1, 1)}},
	{op: "Resize", attrs: Attrs{"mode": "linear"}, in: []*tensor.Tensor{ramp(2), nil, nil, i64(4)}, want: []*tensor.Tensor{f32([]int{4}, 0, 0.25, 0.75, 1)}},
	{op: "Resize", version: 10, in: []*tensor.Tensor{ramp(4), f32([]int{1}, 0.5)}, want: []*tensor.Tensor{f32([]int{2}, 0, 2)}},
	{op: "BitwiseXor", in: []*tensor.Tensor{i64(5, 6), i64(3)}, want: []*tensor.Tensor{i64(6, 5)}},
	{op: "BitwiseNot", in: []*tensor.Tensor{i64(0, -1)}, want: []*tensor.Tensor{i64(-1, 0)}},
	{op: "BitShift", attrs: Attrs{"direction": "LEFT"}, in: []*tensor.Tensor{tensor.From([]uint8{1, 255}, 2), tensor.From([]uint8{3, 200}, 2)}, want: []*tensor.Tensor{tensor.From([]uint8{8, 0}, 2)}},
	{op: "Where", in: []*tensor.Tensor{tensor.From([]bool{true, false}, 2), f32(nil, 1), f32([]int{2}, 2, 3)}, want: []*tensor.Tensor{f32([]int{2}, 1, 3)}},
	{op: "BatchNormalization", attrs: Attrs{"epsilon": float32(0)},
		in:   []*tensor.Tensor{f32([]int{1, 2, 1}, 3, 5), f32([]int{2}, 1, 2), f32([]int{2}, 0, 1), f32([]int{2}, 1, 1), f32([]int{2}, 4, 1)},
		want: []*tensor.Tensor{f32([]int{1, 2, 1}, 1, 9)}},
}

func TestOps(t *testing.T) {
	for _, c := range opCases {
		o, err := Lookup("", c.op)
		if err != nil {
			t.Fatal(err)
		}
		call := &Call{Attrs: c.attrs, Version: c.version, In: c.in, Out: make([]*tensor.Tensor, len(c.want))}
		if err := o.Run(call); err != nil {
			t.Errorf("%s %v: %v", c.op, c.attrs, err)
			continue
		}
		checkInferred(t, o, call)
		for i, want := range c.want {
			got := call.Out[i]
			if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) || !slices.Equal(got.Float64s(), want.Float64s()) {
				t.Errorf("%s %v: output %d is %s %v, want %s %v", c.op, c.attrs, i, got, got.Float64s(), want, want.Float64s())
			}
		}
	}
}

// checkInferred compares what Run made with what Infer says, with all inputs
// known, with constants only in place of lists, and with nothing but types.
func checkInferred(t *testing.T, o *Op, ran *Call) {
	t.Helper()
	for _, know := range []string{"all", "lists", "types"} {
		c := &Call{Attrs: ran.Attrs, Version: ran.Version, OutType: make([]Type, len(ran.Out))}
		for i, in := range ran.In {
			c.Types, c.In = append(c.Types, Type{}), append(c.In, nil)
			if in == nil {
				continue
			}
			c.Types[i] = TypeOf(in)
			if know == "all" || know == "lists" && i > 0 && in.DType() == tensor.Int64 {
				c.In[i] = in
			}
			if know == "types" && i == 0 {
				c.Types[i] = Type{DType: in.DType()}
			}
		}
		if err := o.Infer(c); err != nil {
			t.Errorf("%s: inference with %s known: %v", o.Name, know, err)
			continue
		}
		for i, got := range c.OutType {
			want := TypeOf(ran.Out[i])
			if !agree(got, want) || know == "all" && !got.Static() && !slices.Contains(dataDependent, o.Name) {
				t.Errorf("%s: inference with %s known: output %d is %v, should be %v", o.Name, know, i, got, want)
			}
		}
	}
}

// dataDependent are the operators whose output shape depends on data.
var dataDependent = []string{"NonZero", "Compress", "NonMaxSuppression"}

// agree reports whether an inferred type says nothing that is wrong.
func agree(got, want Type) bool {
	if got.DType != tensor.Undefined && got.DType != want.DType || got.Known && len(got.Shape) != len(want.Shape) {
		return false
	}
	for d, n := range got.Shape {
		if !compatible(n, want.Shape[d]) {
			return false
		}
	}
	return true
}

func TestOpErrors(t *testing.T) {
	for _, c := range []struct {
		opCase
		want error
	}{
		{opCase{op: "Add", in: []*tensor.Tensor{ramp(2), ramp(3)}}, ErrInput},
		{opCase{op: "Add", in: []*tensor.Tensor{ramp(2)}}, ErrInput},
		{opCase{op: "Add", in: []*tensor.Tensor{ramp(2), nil}}, ErrInput},
		{opCase{op: "Add", in: []*tensor.Tensor{ramp(2), i64(1, 2)}}, ErrInput},
		{opCase{op: "Conv", attrs: Attrs{"strides": []int64{0}}, in: []*tensor.Tensor{ramp(1, 1, 4), ramp(1, 1, 2)}}, ErrAttr},
		{opCase{op: "Conv", attrs: Attrs{"pads": []int64{-1, 0}}, in: []*tensor.Tensor{ramp(1, 1, 4), ramp(1, 1, 2)}}, ErrAttr},
		{opCase{op: "Conv", in: []*tensor.Tensor{ramp(1, 1, 1), ramp(1, 1, 2)}}, ErrInput},
		{opCase{op: "Conv", attrs: Attrs{"group": int64(0)}, in: []*tensor.Tensor{ramp(1, 1, 4), ramp(1, 1, 2)}}, ErrAttr},
		{opCase{op: "Expand", in: []*tensor.Tensor{ramp(1), i64(1<<40, 1<<40)}}, ErrInput},
		{opCase{op: "ConstantOfShape", in: []*tensor.Tensor{i64(1<<20, 1<<20)}}, ErrInput},
		{opCase{op: "ConstantOfShape", in: []*tensor.Tensor{i64(-1)}}, ErrInput},
		{opCase{op: "Reshape", in: []*tensor.Tensor{ramp(4), i64(3, -1)}}, ErrInput},
		{opCase{op: "Gather", in: []*tensor.Tensor{ramp(4), i64(4)}}, ErrInput},
		{opCase{op: "Transpose", attrs: Attrs{"perm": []int64{0, 0}}, in: []*tensor.Tensor{ramp(2, 2)}}, ErrAttr},
		{opCase{op: "Cast", attrs: Attrs{"to": int64(14)}, in: []*tensor.Tensor{ramp(2)}}, ErrAttr},
	} {
		o, err := Lookup("", c.op)
		if err != nil {
			t.Fatal(err)
		}
		err = o.Run(&Call{Attrs: c.attrs, Version: c.version, In: c.in, Out: make([]*tensor.Tensor, 1)})
		if !errors.Is(err, c.want) || errors.Is(err, errInternal) {
			t.Errorf("%s %v: got %v, want %v", c.op, c.attrs, err, c.want)
		}
	}
	if _, err := Lookup("some.domain", "Nothing"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}
