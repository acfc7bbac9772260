package graph

import (
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// FoldShapes replaces shape arithmetic by constants: a small tensor that has
// the same elements whatever the symbolic dimensions are, and the target of a
// Reshape whose elements are constant or dimensions of the reshaped tensor, but
// for one at most, which is then inferred (-1).
func FoldShapes(g *Graph) (int, error) {
	s, err := inferShapes(g)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, n := range g.Nodes {
		for i, v := range n.Outputs {
			if v == nil || isQuantizer(n) {
				continue
			}
			if t := s.constant(v); t != nil {
				*v = Value{Name: v.Name, Type: op.TypeOf(t), Const: t}
				n.Outputs[i] = nil
				count++
			}
		}
	}
	for _, n := range g.Nodes {
		if n.Op != "Reshape" || n.Domain != "" || len(n.Inputs) != 2 || n.Inputs[1].IsConst() || n.Attrs.Int("allowzero", 0) != 0 {
			continue
		}
		if target := s.reshapeTarget(n); target != nil {
			n.Inputs = []*Value{n.Inputs[0], NewConst(g.Unique(n.Outputs[0].Name+"_shape"), tensor.From(target, len(target)))}
			count++
		}
	}
	return count, g.Sort()
}

func isQuantizer(n *Node) bool { return n.Traits().Coding }

// constant returns the value of v if every probe computed the same.
func (s *shapes) constant(v *Value) *tensor.Tensor {
	walks := s.settled
	if len(walks) == 0 {
		walks = []*walk{s.generic}
	}
	first := walks[0].values[v]
	if first == nil || first.DType() == tensor.String {
		return nil
	}
	for _, w := range walks[1:] {
		t := w.values[v]
		if t == nil || !slices.Equal(t.Shape(), first.Shape()) || !slices.Equal(t.Bytes(), first.Bytes()) {
			return nil
		}
	}
	return first
}

// reshapeTarget returns the constant that means the same as the computed
// target of a Reshape, nil if there is none.
func (s *shapes) reshapeTarget(n *Node) []int64 {
	if len(s.settled) == 0 {
		return nil
	}
	data, target := n.Inputs[0], n.Inputs[1]
	var length int
	for i, w := range s.settled {
		t := w.values[target]
		if t == nil || t.DType() != tensor.Int64 || t.Rank() != 1 || i > 0 && t.Len() != length {
			return nil
		}
		length = t.Len()
	}
	out := make([]int64, length)
	inferred := 0
	for i := range out {
		element := func(w *walk) int { return int(w.values[target].I64()[i]) }
		if d, _ := s.agreed(element); d != op.Unknown {
			out[i] = int64(d)
			continue
		}
		if s.sameDim(data, i, element) {
			out[i] = 0 // as in the input
			continue
		}
		out[i] = -1
	}
	for _, d := range out {
		if d == -1 {
			inferred++
		}
	}
	if inferred > 1 {
		return nil
	}
	return out
}

// sameDim reports whether an element of the target is dimension i of data in
// every probe.
func (s *shapes) sameDim(data *Value, i int, element func(*walk) int) bool {
	for _, w := range s.settled {
		if shape := w.typeOf(data).Shape; i >= len(shape) || shape[i] != element(w) {
			return false
		}
	}
	return true
}
