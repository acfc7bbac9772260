package ptq

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// weightTensor is a constant that weighted nodes read, directly or through what only names it anew or transposes it.
type weightTensor struct {
	value   *graph.Value
	readers []*graph.Node // the weighted nodes
	output  int           // axis of the outputs, which have a scale each where weights are not blocked
	sum     int           // axis that is summed over, along which blocks lie
}

// weightTensors returns the floating-point weights of a graph and of the graphs in it, in the order of the nodes.
func weightTensors(g *graph.Graph) []*weightTensor {
	found := make(map[*graph.Value]*weightTensor)
	var all []*weightTensor
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			root, perm := constantBehind(v)
			if root == nil || !root.Const.DType().IsFloat() || root.Const.DType() == tensor.Float64 || root.Const.Rank() < 2 {
				continue
			}
			output, sum, ok := weightAxes(n, i, root.Const.Rank())
			if !ok {
				continue
			}
			w := found[root]
			if w == nil {
				w = &weightTensor{value: root, output: perm[output], sum: perm[sum]}
				found[root] = w
				all = append(all, w)
			}
			w.readers = append(w.readers, n)
		}
	}
	return all
}

// constantBehind follows a value through Identity and Transpose to a constant. Axis i of the value is
// axis perm[i] of the constant.
func constantBehind(v *graph.Value) (root *graph.Value, perm []int) {
	for v != nil && v.Node != nil {
		n := v.Node
		if n.Domain != "" || n.Op != "Identity" && n.Op != "Transpose" {
			return nil, nil
		}
		if n.Op == "Transpose" {
			p := n.Attrs.Ints("perm")
			if p == nil || perm != nil {
				return nil, nil
			}
			perm = p
		}
		v = n.In(0)
	}
	if !v.IsConst() {
		return nil, nil
	}
	if rank := v.Const.Rank(); perm == nil {
		for i := range rank {
			perm = append(perm, i)
		}
	} else if len(perm) != rank {
		return nil, nil
	}
	return v, perm
}

// weightAxes returns the axes of the outputs and of the sum if input i of n, with so many dimensions, holds weights.
func weightAxes(n *graph.Node, i, rank int) (output, sum int, ok bool) {
	if axes := n.Traits().WeightAxes; axes != nil {
		return axes(n.Call(), i, rank)
	}
	return 0, 0, false
}

// weightGroups says which weights share a scale: those with one index of an axis, or blocks along an axis.
type weightGroups struct {
	outer, n, inner int // elements before, along and after the axis
	axis            int
	block           int // along the axis; 0: an index of the axis is a group
}

// groups returns how the weights are grouped: in blocks along the sum where it is longer than one, else by output.
func (w *weightTensor) groups(block int) weightGroups {
	shape := w.value.Const.Shape()
	axis := w.output
	if block > 0 && shape[w.sum] > block {
		axis = w.sum
	} else {
		block = 0
	}
	return weightGroups{outer: tensor.Volume(shape[:axis]), n: shape[axis], inner: tensor.Volume(shape[axis+1:]), axis: axis, block: block}
}

// rows returns the number of blocks along the axis.
func (g weightGroups) rows() int { return (g.n + g.block - 1) / g.block }

// count returns the number of groups.
func (g weightGroups) count() int {
	if g.block == 0 {
		return g.n
	}
	return g.outer * g.rows() * g.inner
}

// shape returns the shape of the scales of weights of a shape: that of their blocks, or one for each index.
func (g weightGroups) shape(weights []int) []int {
	if g.block == 0 {
		return []int{g.n}
	}
	s := slices.Clone(weights)
	s[g.axis] = g.rows()
	return s
}

// members appends the places of the weights of group s.
func (g weightGroups) members(s int, at []int) []int {
	if g.block == 0 {
		for o := range g.outer {
			for i := range g.inner {
				at = append(at, (o*g.n+s)*g.inner+i)
			}
		}
		return at
	}
	o, row, i := s/(g.rows()*g.inner), s/g.inner%g.rows(), s%g.inner
	for k := row * g.block; k < min((row+1)*g.block, g.n); k++ {
		at = append(at, (o*g.n+k)*g.inner+i)
	}
	return at
}
