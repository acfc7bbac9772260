package graph

import (
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// MACs returns how many multiply-accumulates a node does for one sample (a
// symbolic dimension counts as 1): those of Conv, ConvTranspose, Gemm, MatMul
// and their integer forms. It is 0 for other operators and where shapes are
// not known.
func MACs(n *Node) int64 {
	if len(n.Outputs) == 0 || n.Outputs[0] == nil {
		return 0
	}
	weights := 1
	switch n.Op {
	case "QLinearConv":
		weights = 3
	case "QLinearMatMul", "QGemm":
		weights = 3
	case "Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger":
	default:
		return 0
	}
	in, w, out := n.In(0), n.In(weights), n.Outputs[0]
	if in == nil || w == nil || len(w.Type.Shape) < 1 || len(in.Type.Shape) < 1 {
		return 0
	}
	switch n.Op {
	case "Conv", "ConvInteger", "QLinearConv": // each output is a sum over [in/group, kernel...]
		return count(out.Type) * count(op.Type{Shape: w.Type.Shape[1:]})
	case "ConvTranspose": // each input goes to [out/group, kernel...]
		return count(in.Type) * count(op.Type{Shape: w.Type.Shape[1:]})
	case "Gemm", "QGemm":
		inner := in.Type.Shape[len(in.Type.Shape)-1]
		if n.Attrs.Int("transA", 0) != 0 {
			inner = in.Type.Shape[0]
		}
		return count(out.Type) * count(op.Type{Shape: []int{inner}})
	}
	return count(out.Type) * count(op.Type{Shape: in.Type.Shape[len(in.Type.Shape)-1:]})
}

// count returns the number of elements of one sample.
func count(t op.Type) int64 {
	n := int64(1)
	for _, d := range t.Shape {
		if d != op.Unknown {
			n *= int64(d)
		}
	}
	return n
}

// Parameters returns how many numbers the constants of a node's inputs hold,
// shapes and other integers not counted but for quantized weights.
func Parameters(n *Node) int64 {
	var total int64
	for _, v := range n.Inputs {
		if !v.IsConst() {
			continue
		}
		switch v.Const.DType() {
		case tensor.Int64, tensor.Bool, tensor.String:
		default:
			total += int64(v.Const.Len())
		}
	}
	return total
}
