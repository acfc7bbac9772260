package graph

import (
	"maps"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// affine is a Conv, ConvTranspose or Gemm with constant float32 weights, taken
// apart so that its output channels can be scaled and shifted.
type affine struct {
	node      *Node
	channels  int
	weights   *tensor.Tensor // a copy
	bias      []float64
	channelOf func(i int) int // output channel of weight i
}

// newAffine takes n apart; nil if it is not such a node.
func newAffine(n *Node) *affine {
	w := n.In(1)
	if n.Domain != "" || !w.IsConst() || w.Const.DType() != tensor.Float32 || n.In(0) == nil {
		return nil
	}
	a := &affine{node: n}
	shape := w.Const.Shape()
	switch n.Op {
	case "Conv":
		if len(shape) < 3 {
			return nil
		}
		a.channels = shape[0]
		per := w.Const.Len() / max(1, shape[0])
		a.channelOf = func(i int) int { return i / per }
	case "ConvTranspose": // [in, out/group, kernel...]
		group := n.Attrs.Int("group", 1)
		if len(shape) < 3 || group < 1 || shape[0]%group != 0 {
			return nil
		}
		a.channels = shape[1] * group
		kernel := tensor.Volume(shape[2:])
		a.channelOf = func(i int) int {
			in, out := i/kernel/shape[1], i/kernel%shape[1]
			return in/(shape[0]/group)*shape[1] + out
		}
	case "Gemm":
		if len(shape) != 2 {
			return nil
		}
		a.channels = shape[1]
		a.channelOf = func(i int) int { return i % shape[1] }
		if n.Attrs.Int("transB", 0) != 0 {
			a.channels = shape[0]
			a.channelOf = func(i int) int { return i / shape[1] }
		}
	default:
		return nil
	}
	if w.Const.Len() == 0 || !a.readBias() {
		return nil
	}
	a.weights = w.Const.Clone()
	return a
}

// readBias sets the bias of every channel; false if it is not constant.
func (a *affine) readBias() bool {
	a.bias = make([]float64, a.channels)
	b := a.node.In(2)
	if b == nil {
		return true
	}
	if !b.IsConst() || b.Const.DType() != tensor.Float32 {
		return false
	}
	rank := b.Const.Rank()
	if b.Const.Len() != 1 && (b.Const.Len() != a.channels || b.Const.Shape()[rank-1] != a.channels) {
		return false // differs along the rows of a Gemm
	}
	copy(a.bias, spread(b.Const.Float64s(), a.channels))
	if a.node.Op == "Gemm" {
		beta := float64(a.node.Attrs.Float("beta", 1))
		for c := range a.bias {
			a.bias[c] *= beta
		}
	}
	return true
}

// apply makes the node compute scale*y + shift for each output channel.
func (a *affine) apply(scale, shift []float64) {
	w := a.weights.F32()
	for i := range w {
		w[i] = float32(float64(w[i]) * scale[a.channelOf(i)])
	}
	for c := range a.bias {
		a.bias[c] = float64(a.bias[c]*scale[c]) + shift[c]
	}
}

// weightValue and biasValue return the results as constants of g with names
// of their own.
func (a *affine) weightValue(g *Graph) *Value {
	return NewConst(g.Unique(a.node.Inputs[1].Name+"_folded"), a.weights)
}

func (a *affine) biasValue(g *Graph) *Value {
	b := make([]float32, a.channels)
	for c, v := range a.bias {
		b[c] = float32(v)
	}
	return NewConst(g.Unique(a.node.Outputs[0].Name+"_bias"), tensor.From(b, a.channels))
}

func cloneAttrs(a op.Attrs) op.Attrs {
	if a == nil {
		return op.Attrs{}
	}
	return maps.Clone(a)
}
