package ptq

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// lowerUnrounded replaces the scaling nodes so that the network computes, in
// float, what the integers would be without rounding and clipping: weights
// divided by their scale, biases by that of the products, every result multiplied by
// M = s_x*s_w/s_y. The operands of a sum are brought to the larger of their scales
// (maximum arbitration, so no factor is above 1) and the sum to its own. The network
// must compute the same as the float one: the proof that all else is only a change of
// variables.
func lowerUnrounded(g *graph.Graph) error {
	u := &unrounding{lowering: newLowering(g), scales: scalesOf(g), unit: make(map[*graph.Value]float64)}
	nodes := slices.Clone(g.Nodes)
	for _, v := range g.Values() {
		u.unit[v] = 1
	}
	for _, n := range nodes {
		if s := scalingOf(n); s != nil {
			u.scaling(n, s)
		} else {
			u.node(n)
		}
	}
	for i, v := range g.Outputs {
		out := u.in(u.current(v), 1)
		if out != v {
			out.Name, v.Name = v.Name, u.name(v.Name+"_integer")
		}
		g.Outputs[i] = out
	}
	return g.Sort()
}

// unrounding knows in which unit each value is: the real value is unit times it.
type unrounding struct {
	*lowering
	scales *scales
	unit   map[*graph.Value]float64
}

// current returns what stands for v by now.
func (u *unrounding) current(v *graph.Value) *graph.Value {
	if w := u.with[v]; w != nil {
		return w
	}
	return v
}

// times returns v multiplied by a factor, in the unit that this makes of v's.
func (u *unrounding) times(v *graph.Value, factor float64) *graph.Value {
	if factor == 1 {
		return v
	}
	c := graph.NewConst(u.name(v.Name+"_factor"), tensor.Scalar(float32(factor)))
	out := u.add(v.Name+"_times", "Mul", nil, v, c)
	out.Type, out.Dims = v.Type, v.Dims
	u.unit[out] = u.unit[v] / factor
	return out
}

// in returns v in the given unit.
func (u *unrounding) in(v *graph.Value, unit float64) *graph.Value {
	return u.times(v, u.unit[v]/unit)
}

// scaling drops a scaling node.
func (u *unrounding) scaling(n *graph.Node, s *Scaling) {
	in, out := u.current(n.Inputs[0]), n.Outputs[0]
	switch {
	case in.IsConst():
		c := graph.NewConst(u.name(in.Name+"_unrounded"), s.divide(in.Const))
		if s.Axis < 0 {
			u.unit[c] = float64(s.Scale[0])
		}
		u.with[out] = c
	default:
		u.with[out] = u.in(in, float64(s.Scale[0]))
	}
}

// divide returns t in units of the scale.
func (s *Scaling) divide(t *tensor.Tensor) *tensor.Tensor {
	values, out := t.Float32s(), make([]float32, t.Len())
	s.runs(t.Shape(), func(l Levels, from, to int) {
		for i := from; i < to; i++ {
			out[i] = float32(float64(values[i]) / l.Scale)
		}
	})
	return tensor.From(out, t.Shape()...)
}

// node brings what a node reads into units that it can compute with, and its
// result into the unit of the scaling node behind.
func (u *unrounding) node(n *graph.Node) {
	scaledWeights := isAffine(n)
	weights := n.In(1)
	for i, v := range n.Inputs {
		if v != nil {
			n.Inputs[i] = u.current(v)
		}
	}
	for _, v := range n.Reads()[len(n.Inputs):] { // by its subgraphs, which compute in real units
		if v != nil {
			n.ReplaceCaptured(v, u.in(u.current(v), 1))
		}
	}
	v := n.In(0)
	target := 1.0
	if s := u.scales.output(n); s != nil {
		target = float64(scalingOf(s).Scale[0])
	}
	t := traitsOf(n)
	switch {
	case scaledWeights:
		u.rescale(n, u.channelFactors(n, scalingOf(weights.Node), u.unit[v]/target), target)
	case t.Flow == op.Join && t.Scale == op.TensorScale:
		unit := math.Max(u.unit[n.Inputs[0]], u.unit[n.Inputs[1]])
		n.Inputs[0], n.Inputs[1] = u.in(n.Inputs[0], unit), u.in(n.Inputs[1], unit)
		u.rescale(n, scalar(unit/target), target)
	case t.Scale == op.Bilinear:
		u.rescale(n, scalar(u.unit[n.Inputs[0]]*u.unit[n.Inputs[1]]/target), target)
	case t.Flow == op.Concat:
		for i, v := range n.Inputs {
			n.Inputs[i] = u.in(v, u.unit[n.Inputs[0]])
		}
		u.keep(n)
	case isActivationFunction(n):
		u.clip(n)
	case t.Flow == op.Moves && !readsMore(n, &t):
		u.keep(n)
	case t.Flow == op.OneToOne && t.Scale >= op.TensorScale:
		u.rescale(n, scalar(u.unit[v]/target), target)
	default:
		for i, v := range n.Inputs {
			if v != nil && u.unit[v] != 1 {
				n.Inputs[i] = u.in(v, 1)
			}
		}
		if target != 1 {
			u.rescale(n, scalar(1/target), target)
		}
	}
}

// readsMore reports whether n has data beside its first input.
func readsMore(n *graph.Node, t *op.Traits) bool {
	for i := 1; i < len(n.Inputs); i++ {
		if isActivation(n, t, i) {
			return true
		}
	}
	return false
}

func scalar(x float64) *tensor.Tensor { return tensor.Scalar(float32(x)) }

// keep says that the results of n are in the unit of its input.
func (u *unrounding) keep(n *graph.Node) {
	for _, v := range n.Outputs {
		if v != nil {
			u.unit[v] = u.unit[n.Inputs[0]]
		}
	}
}

// clip brings the bounds of a Clip into the unit of its input.
func (u *unrounding) clip(n *graph.Node) {
	u.keep(n)
	unit := u.unit[n.Inputs[0]]
	for i, v := range n.Inputs {
		if i > 0 && v != nil {
			n.Inputs[i] = graph.NewConst(u.name(v.Name+"_integer"), tensor.Scalar(float32(v.Const.Float64s()[0]/unit)))
		}
	}
}

// rescale multiplies the result of n by factors and says which unit that makes.
func (u *unrounding) rescale(n *graph.Node, factors *tensor.Tensor, unit float64) {
	old := n.Outputs[0]
	acc := &graph.Value{Name: u.name(old.Name + "_products"), Type: old.Type, Dims: old.Dims, Node: n}
	n.Outputs[0] = acc
	c := graph.NewConst(u.name(old.Name+"_factor"), factors)
	out := u.add(old.Name+"_rescaled", "Mul", nil, acc, c)
	out.Type, out.Dims = old.Type, old.Dims
	u.unit[out] = unit
	u.with[old] = out
}

// channelFactors returns s_w*factor for each output channel of an affine node, in a shape
// that multiplies its result.
func (u *unrounding) channelFactors(n *graph.Node, s *Scaling, factor float64) *tensor.Tensor {
	if s.Axis < 0 {
		return scalar(float64(s.Scale[0]) * factor)
	}
	shape := []int{len(s.Scale)}
	if traitsOf(n).Channels == 1 { // the rest of the shape follows
		for range n.In(1).Const.Rank() - 2 {
			shape = append(shape, 1)
		}
	}
	factors := make([]float32, len(s.Scale))
	for i, w := range s.Scale {
		factors[i] = float32(float64(w) * factor)
	}
	return tensor.From(factors, shape...)
}
