package engine

import (
	"bytes"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// batchable reports whether axis 0 of every input and output is a batch of
// independent samples, whatever its size, so that a run may be cut in pieces.
// It is proved node by node for two sizes of the batch: a constant that only
// fits one of them would show.
func batchable(g *graph.Graph, inputs []op.Type) bool {
	for _, v := range g.Inputs {
		if v.Type.Known && len(v.Type.Shape) > 0 && v.Type.Shape[0] >= 0 {
			return false // the file fixes the size
		}
	}
	for _, n := range []int{2, 3} {
		f, err := infer(g, withBatch(inputs, n))
		if err != nil || !provesBatch(f, n) {
			return false
		}
	}
	return true
}

// withBatch returns the types with dimension 0 set to n.
func withBatch(types []op.Type, n int) []op.Type {
	out := slices.Clone(types)
	for i := range out {
		out[i].Shape = slices.Clone(out[i].Shape)
		if len(out[i].Shape) > 0 {
			out[i].Shape[0] = n
		}
	}
	return out
}

// prover knows which values hold n independent samples along axis 0.
type prover struct {
	*facts
	n       int
	batched map[*graph.Value]bool
}

func provesBatch(f *facts, n int) bool {
	p := &prover{facts: f, n: n, batched: make(map[*graph.Value]bool)}
	for _, v := range f.graph.Inputs {
		p.batched[v] = p.sized(v)
	}
	for _, node := range f.graph.Nodes {
		if slices.ContainsFunc(node.Outputs, func(v *graph.Value) bool { return v != nil && !f.isConst(v) }) && !p.node(node) {
			return false
		}
	}
	for _, v := range f.graph.Outputs {
		if !p.batched[v] {
			return false
		}
	}
	return true
}

// sized reports whether dimension 0 of v is the batch's.
func (p *prover) sized(v *graph.Value) bool {
	t := p.typeOf(v)
	return t.Static() && len(t.Shape) > 0 && t.Shape[0] == p.n
}

// node records that the outputs are batched, and returns false if that cannot be told.
func (p *prover) node(n *graph.Node) bool {
	for _, v := range n.Outputs {
		if v != nil && !p.sized(v) {
			return false
		}
	}
	if !p.keeps(n) {
		return false
	}
	for _, v := range n.Outputs {
		if v != nil {
			p.batched[v] = true
		}
	}
	return true
}

// onlyFirst reports whether the node reads samples by its first input alone.
func (p *prover) onlyFirst(n *graph.Node) bool {
	for i, v := range n.Inputs {
		if v != nil && (i == 0) != p.batched[v] {
			return false
		}
	}
	return len(n.Inputs) > 0
}

// broadcasts reports whether all inputs are either batched and of the output's
// rank, or constants that are the same for every sample.
func (p *prover) broadcasts(n *graph.Node) bool {
	rank := len(p.typeOf(n.Outputs[0]).Shape)
	for _, v := range n.Inputs {
		if v == nil {
			continue
		}
		shape := p.typeOf(v).Shape
		switch {
		case p.batched[v] && len(shape) == rank:
		case p.isConst(v) && (len(shape) < rank || shape[0] == 1 || p.repeats(v)):
		default:
			return false
		}
	}
	return true
}

// repeats reports whether a constant is the same n samples.
func (p *prover) repeats(v *graph.Value) bool {
	t := p.constant(v)
	if t == nil || t.Rank() == 0 || t.Shape()[0] != p.n || t.DType() == tensor.String || t.Len() == 0 {
		return false
	}
	b := t.Bytes()
	one := len(b) / p.n
	for i := 1; i < p.n; i++ {
		if !bytes.Equal(b[:one], b[i*one:(i+1)*one]) {
			return false
		}
	}
	return true
}

// axis reports whether the axis attribute is not the batch's.
func (p *prover) axis(n *graph.Node, def int) bool {
	a := n.Attrs.Int("axis", def)
	return a != 0 && a != -len(p.typeOf(n.In(0)).Shape)
}

// axes reports whether a list of axes is known and leaves the batch alone.
func (p *prover) axes(list []int, known bool, v *graph.Value) bool {
	rank := len(p.typeOf(v).Shape)
	return known && !slices.Contains(list, 0) && !slices.Contains(list, -rank)
}

// keeps reports whether sample i of the outputs depends on sample i of the
// inputs alone.
func (p *prover) keeps(n *graph.Node) bool {
	switch n.Op {
	case "Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN",
		"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool",
		"DepthToSpace", "SpaceToDepth", "Resize", "Upsample",
		"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand",
		"QLinearConv", "ConvInteger", "QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSigmoid", "QLinearLeakyRelu":
		return p.onlyFirst(n)
	case "Softmax", "LogSoftmax", "Hardmax", "QLinearSoftmax":
		return p.onlyFirst(n) && p.axis(n, 1)
	case "QuantizeLinear", "DequantizeLinear":
		return p.onlyFirst(n) && (p.axis(n, 1) || p.typeOf(n.In(1)).Static() && len(p.typeOf(n.In(1)).Shape) == 0)
	case "LayerNormalization":
		return p.onlyFirst(n) && p.axis(n, -1)
	case "Split", "ArgMax", "ArgMin":
		return p.onlyFirst(n) && p.axis(n, 0)
	case "TopK":
		return p.onlyFirst(n) && p.axis(n, -1)
	case "Transpose":
		perm := n.Attrs.Ints("perm")
		return p.onlyFirst(n) && len(perm) > 0 && perm[0] == 0
	case "Concat":
		return p.broadcasts(n) && p.axis(n, 0) && !slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool {
			return !p.batched[v] && !p.repeats(v)
		})
	case "Gather":
		if p.batched[n.In(0)] {
			return p.onlyFirst(n) && p.axis(n, 0)
		}
		return p.isConst(n.In(0)) && !p.axis(n, 0) && p.batched[n.In(1)]
	case "Slice":
		axes, known := p.ints(n.In(3))
		if n.In(1) == nil {
			axes, known = n.Attrs.Ints("axes"), true
		}
		return p.onlyFirst(n) && axes != nil && p.axes(axes, known, n.In(0))
	case "Pad":
		return p.onlyFirst(n) && p.pad(n)
	case "MatMul", "QLinearMatMul", "MatMulInteger":
		return p.matMul(n)
	case "Gemm":
		c := n.In(2)
		return p.onlyFirst(n) && n.Attrs.Int("transA", 0) == 0 && (c == nil || len(p.typeOf(c).Shape) < 2 || p.typeOf(c).Shape[0] == 1)
	case "QGemm":
		return p.onlyFirst(n) && n.Attrs.Int("transA", 0) == 0
	case "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp":
		list, known := p.ints(n.In(1))
		if n.In(1) == nil {
			list = n.Attrs.Ints("axes")
		}
		return p.onlyFirst(n) && len(list) > 0 && p.axes(list, known, n.In(0))
	}
	return elementwise[n.Op] && p.broadcasts(n)
}

func (p *prover) pad(n *graph.Node) bool {
	pads, known := p.ints(n.In(1))
	if n.In(1) == nil {
		pads = n.Attrs.Ints("pads")
	}
	if !known || n.In(3) != nil || len(pads) < 2 {
		return false
	}
	return pads[0] == 0 && pads[len(pads)/2] == 0
}

func (p *prover) matMul(n *graph.Node) bool {
	i, j := 0, 1
	if n.Op == "QLinearMatMul" {
		j = 3
	}
	a, b := n.In(i), n.In(j)
	ra, rb := len(p.typeOf(a).Shape), len(p.typeOf(b).Shape)
	for k, v := range n.Inputs {
		if k != i && k != j && v != nil && !p.isConst(v) {
			return false
		}
	}
	switch {
	case p.batched[a] && p.batched[b]:
		return ra == rb && ra >= 3
	case p.batched[a]:
		return ra >= 2 && (rb == 2 || rb >= 2 && rb < ra || rb == ra && p.typeOf(b).Shape[0] == 1)
	case p.batched[b]:
		return rb >= 3 && (ra < rb && ra >= 2 || ra == rb && p.typeOf(a).Shape[0] == 1)
	}
	return false
}

// elementwise lists operators that compute each element from those at its
// place in the inputs, with broadcasting.
var elementwise = func() map[string]bool {
	m := make(map[string]bool)
	for _, name := range []string{
		"Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh",
		"Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
		"IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow",
		"QLinearAdd", "QLinearMul", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum",
		"Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
	} {
		m[name] = true
	}
	return m
}()
