package graph

import (
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// MACs returns how many multiply-accumulates a node does for one sample (a
// symbolic dimension counts as 1). It is 0 for operators that are no sums of
// products, and where it is not known: see [CountsMACs].
func MACs(n *Node) int64 {
	t := n.Traits()
	if t.MACs == nil || len(n.Outputs) == 0 || n.Outputs[0] == nil || !n.Outputs[0].Type.Known {
		return 0
	}
	c := n.call(constOf)
	c.OutType = []op.Type{n.Outputs[0].Type}
	return t.MACs(c)
}

// CountsMACs reports whether [MACs] knows what a node does: not with graphs inside, or results of unknown rank.
func CountsMACs(n *Node) bool {
	if len(n.Subgraphs()) > 0 {
		return false
	}
	return n.Traits().MACs == nil || len(n.Outputs) > 0 && n.Outputs[0] != nil && n.Outputs[0].Type.Known
}

// Mean returns of how many elements each result of a node is the mean; 0 where it
// is none, or not of one number of elements that is known.
func Mean(n *Node) int {
	if t := n.Traits(); t.Mean != nil {
		return t.Mean(n.call(constOf))
	}
	return 0
}

// Parameters returns how many numbers the constants of a node's inputs hold, and of those of the graphs inside it,
// shapes and other integers not counted but for quantized weights.
func Parameters(n *Node) int64 {
	var total int64
	for _, sub := range n.Subgraphs() {
		for _, m := range sub.Nodes {
			total += Parameters(m)
		}
	}
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
