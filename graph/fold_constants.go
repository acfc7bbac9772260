package graph

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// maxFolded is the number of elements a folded constant may have beyond those
// of the constants it is made from: a Range or an Expand can stand for much.
const maxFolded = 1 << 16

// FoldConstants replaces nodes whose inputs are all constant by their results.
// QuantizeLinear and DequantizeLinear stay: they say how the network is
// quantized.
func FoldConstants(g *Graph) (int, error) {
	count := 0
	for _, n := range g.Nodes {
		if !foldable(n) {
			continue
		}
		outs, err := evaluate(g, n)
		if err != nil {
			return count, fmt.Errorf("%s: %w", n, err)
		}
		if outs == nil {
			continue
		}
		for i, v := range n.Outputs {
			if v != nil {
				*v = Value{Name: v.Name, Type: op.TypeOf(outs[i]), Const: outs[i]}
			}
		}
		count++
	}
	return count, g.Sort()
}

func foldable(n *Node) bool {
	if n.Traits().Coding || len(n.Outputs) == 0 || !deterministic(n) {
		return false
	}
	for _, v := range n.Inputs {
		if v != nil && !v.IsConst() {
			return false
		}
	}
	return true
}

// evaluate computes a node of constants; nil if it is not known or too large.
func evaluate(g *Graph, n *Node) ([]*tensor.Tensor, error) {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil {
		return nil, nil
	}
	c := &op.Call{
		Attrs:   n.Attrs,
		Version: g.Opset[n.Domain],
		In:      make([]*tensor.Tensor, len(n.Inputs)),
		Out:     make([]*tensor.Tensor, len(n.Outputs)),
	}
	limit := maxFolded
	for i, v := range n.Inputs {
		if v != nil {
			c.In[i] = v.Const
			limit += v.Const.Len()
		}
	}
	for _, v := range n.Outputs {
		if v == nil {
			continue
		}
		if size, ok := tensor.CheckedVolume(v.Type.Shape); !v.Type.Static() || !ok || size > limit {
			return nil, nil
		}
	}
	if err := o.Run(c); err != nil {
		return nil, err
	}
	return c.Out, nil
}
