package ptq

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// signMap makes a scaling node unsigned where no value can be negative: twice
// the resolution for the same bits. The operators decide: behind a Relu, a Clip
// from 0 up, a Sigmoid or a Softmax, and behind what moves, averages, adds or
// multiplies such values. Of the network's inputs, calibration decides. Tensors that
// share a scale share the sign: if one is signed, all are.
func signMap(net *network, stats *Statistics) {
	m := signs{stats: stats, known: make(map[*graph.Value]bool)}
	for _, v := range net.Inputs {
		m.known[v] = m.seenNonNegative(v)
	}
	for _, n := range net.Nodes {
		positive := m.result(n)
		for _, v := range n.Outputs {
			m.known[v] = positive
		}
	}
	for _, gr := range net.groups() {
		unsigned := true
		for _, n := range gr.nodes {
			unsigned = unsigned && m.known[n.Outputs[0]]
		}
		for _, n := range gr.nodes {
			scalingOf(n).Signed = !unsigned
		}
	}
}

type signs struct {
	stats *Statistics
	known map[*graph.Value]bool // whether no element is negative
}

func (m signs) seenNonNegative(v *graph.Value) bool {
	h := m.stats.Tensors[v.Name]
	if h == nil {
		return false
	}
	lo, _ := h.Range()
	return lo >= 0
}

// nonNegative reports whether no element of v is negative.
func (m signs) nonNegative(v *graph.Value) bool {
	if v.IsConst() {
		return v.Const.DType().IsFloat() && !hasNegative(v.Const.Float32s())
	}
	return m.known[v]
}

func hasNegative(x []float32) bool {
	for _, v := range x {
		if v < 0 {
			return true
		}
	}
	return false
}

// result reports whether no result of n is negative.
func (m signs) result(n *graph.Node) bool {
	if scalingOf(n) != nil {
		return m.nonNegative(n.Inputs[0])
	}
	t := traitsOf(n)
	if t.NeverNegative() || t.Sign == op.AnySign {
		return t.NeverNegative()
	}
	for i, v := range n.Inputs {
		if v != nil && t.Role(i) == op.Data && !m.nonNegative(v) {
			return false
		}
	}
	return true
}
