package ptq

import (
	"cmp"
	"maps"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// A few channels of what transformers multiply by matrices have values many times those of all others. Where a factor
// does not help enough, these channels are multiplied apart, in float: x*W = x'*W' + x_k*W_k, where x' and W' are without
// them and go to integers, and k are at most a handful (Dettmers et al., LLM.int8(), 2022).

const (
	mostApart  = 8   // channels
	shareApart = 64  // of so many, one may be apart
	worthApart = 0.6 // of the error must be left, at most, each time that the number of channels doubles
)

// bestApart is best, with the channels that are worth it apart.
func (s *scaledInput) bestApart(c *config, may bool) (factors []float64, share float64) {
	factors, share, least := s.best(c, exponents)
	if !may || !s.matrix {
		return factors, share
	}
	order := make([]int, len(s.spread))
	for i := range order {
		order[i] = i
	}
	size := func(i int) float64 { return max(-s.spread[i].lo, s.spread[i].hi) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	for count := 1; count <= min(mostApart, len(order)/shareApart); count *= 2 {
		before := s.apart
		s.apart = make(map[int]bool)
		for _, i := range order[:count] {
			s.apart[i] = true
		}
		f, kept, err := s.best(c, exponents)
		if err >= worthApart*least {
			s.apart = before
			break
		}
		factors, share, least = f, kept, err
	}
	if factors == nil && s.apart != nil {
		factors = slices.Repeat([]float64{1}, len(s.spread))
	}
	return factors, share
}

// setApart has the channels that are apart multiplied in float and added to the layer's result, and takes them out of its weights.
func (s *scaledInput) setApart(g *graph.Graph, l *layer) {
	if len(s.apart) == 0 {
		return
	}
	n, w := l.node, l.node.In(1)
	channels := slices.Sorted(maps.Keys(s.apart))
	index := make([]int64, len(channels))
	rows := make([]float32, len(channels)*l.outputs)
	left := slices.Clone(w.Const.Float32s())
	for i, v := range left {
		o, c := l.channels(i)
		if k, found := slices.BinarySearch(channels, c); found {
			rows[k*l.outputs+o], left[i] = v, 0
			index[k] = int64(c)
		}
	}
	n.Inputs[1] = graph.NewConst(g.Unique(w.Name+"_inliers"), tensor.From(left, l.shape...))
	named := func(suffix string) string { return g.Unique(n.Outputs[0].Name + suffix) }
	picked := g.New(named("_outliers"), "Gather", op.Attrs{"axis": int64(s.axis)}, s.value, graph.NewConst(named("_channels"), tensor.From(index, len(index))))
	part := g.New(named("_apart"), "MatMul", nil, picked, graph.NewConst(named("_rows"), tensor.From(rows, len(index), l.outputs)))
	y := n.Outputs[0]
	part.Type, part.Dims = y.Type, y.Dims
	picked.Type = s.value.Type
	picked.Type.Shape = append(slices.Clone(s.value.Type.Shape[:s.axis]), len(index))
	rest := &graph.Value{Name: named("_inliers"), Type: y.Type, Dims: y.Dims, Node: n}
	sum := g.New(named("_together"), "Add", nil, rest, part).Node
	n.Outputs[0], sum.Outputs[0], y.Node = rest, y, sum
	if s.left == nil {
		s.left = make(map[*graph.Node]Reason)
	}
	s.left[part.Node] = Reason{Code: Outliers}
}
