package ptq

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Operator and domain of a scaling node: one input, one output, the point
// where a tensor is brought to integers. It is in a graph only while that is quantized;
// in the end it becomes a pair of QuantizeLinear and DequantizeLinear, or a Mul.
const (
	scalingOp     = "Scaling"
	scalingDomain = "narrow"
)

// Scaling is what a scaling node does: r = Scale*(q-Zero), with q on a grid.
type Scaling struct {
	Grid
	Scale []float32 // one, or one for each index of Axis; empty until the ranges are known
	Zero  int       // the zero point
	Axis  int       // of several scales; -1 for one
	Bias  bool      // an int32 bias, whose scale is that of input and weights

	Paired bool // of weights: what is rounded is saturation-safe, see [WithSaturationSafe]
	Powers bool // of weights: scales are powers of two
}

// Clone implements [graph.Scaling].
func (s *Scaling) Clone() graph.Scaling {
	own := *s
	own.Scale = slices.Clone(s.Scale)
	return &own
}

// scalingOf returns what a scaling node does, nil for any other node. The
// caller may change it.
func scalingOf(n *graph.Node) *Scaling {
	if n == nil {
		return nil
	}
	s, _ := n.Scaling.(*Scaling)
	return s
}

// levels returns the grid laid out by the scaling of index c of its axis.
func (s *Scaling) levels(c int) Levels {
	if s.Axis < 0 {
		c = 0
	}
	return Levels{Scale: float64(s.Scale[c]), Zero: s.Zero, Min: s.Min(), Max: s.Max()}
}

// runs calls f for every run of elements [from, to) of a tensor that have one scale.
func (s *Scaling) runs(shape []int, f func(l Levels, from, to int)) {
	inner, count := tensor.Volume(shape), 1
	if s.Axis >= 0 {
		inner, count = tensor.Volume(shape[s.Axis+1:]), shape[s.Axis]
	}
	for from := 0; from < tensor.Volume(shape); from += inner {
		f(s.levels(from/inner%count), from, from+inner)
	}
}

// isWeight reports whether the node scales a constant.
func isWeight(n *graph.Node) bool { return n.Inputs[0].IsConst() }

// newScaling appends a scaling node that reads v and returns its output.
func newScaling(g *graph.Graph, v *graph.Value, s *Scaling) *graph.Value {
	out := g.New(v.Name+"_scaled", scalingOp, nil, v)
	out.Node.Domain, out.Node.Scaling = scalingDomain, s
	out.Type, out.Dims = v.Type, v.Dims
	return out
}

// nodeError makes a message name the node.
func nodeError(n *graph.Node, err error) error { return fmt.Errorf("ptq: %s: %w", n, err) }
