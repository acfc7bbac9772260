package graph

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// PairSums tells how much the magnitudes of neighbouring 8-bit weights of one node sum to, see
// [op.PairLimit].
type PairSums struct {
	Pairs   int `json:"pairs"`   // that are added before all others
	Above   int `json:"above"`   // of them, more than [op.PairLimit]
	Largest int `json:"largest"` // sum
}

// Saturation returns the sums of neighbouring weights of every node of a quantized network, of whatever
// tool, that has constant 8-bit weights.
func Saturation(g *Graph) (map[*Node]PairSums, error) {
	found := make(map[*Node]PairSums)
	for _, n := range g.Nodes {
		p := n.Products()
		if p == nil {
			continue
		}
		q, err := IntegerWeights(n, p)
		if err != nil {
			return nil, fmt.Errorf("graph: %s: %w", n, err)
		}
		if q != nil && q.Len() > 0 {
			found[n] = pairSums(q.F32(), p.Sums(n.Attrs, q.Shape()))
		}
	}
	return found, nil
}

// IntegerWeights returns the constant 8-bit weights of a node, less their zero point, nil if
// it has none: those it reads, or those behind a DequantizeLinear.
func IntegerWeights(n *Node, p *op.Products) (*tensor.Tensor, error) {
	v := n.In(p.Weights)
	if v == nil {
		return nil, nil
	}
	if d := v.Node; d != nil && d.Op == "DequantizeLinear" {
		return lessZero(d.In(0), d.In(2), d.Attrs)
	}
	if p.Zero == 0 || !v.IsConst() {
		return nil, nil
	}
	return lessZero(v, n.In(p.Zero), op.Attrs{"axis": int64(p.Sums(n.Attrs, v.Const.Shape()).Output)})
}

// lessZero returns constant 8-bit integers less their zero point, which may be nil, as floats;
// nil if they are something else.
func lessZero(v, zero *Value, attrs op.Attrs) (*tensor.Tensor, error) {
	if !v.IsConst() || v.Const.DType() != tensor.Int8 && v.Const.DType() != tensor.Uint8 || zero != nil && !zero.IsConst() {
		return nil, nil
	}
	c := &op.Call{Attrs: attrs, In: []*tensor.Tensor{v.Const, tensor.Scalar(float32(1)), nil}, Out: make([]*tensor.Tensor, 1)}
	if zero != nil {
		ones := tensor.New(tensor.Float32, zero.Const.Shape()...)
		for i := range ones.F32() {
			ones.F32()[i] = 1
		}
		c.In[1], c.In[2] = ones, zero.Const
	}
	dequantize, err := op.Lookup("", "DequantizeLinear")
	if err != nil {
		return nil, err
	}
	if err := dequantize.Run(c); err != nil {
		return nil, err
	}
	return c.Out[0], nil
}

// pairSums adds the magnitudes of neighbours.
func pairSums(q []float32, sums op.Sums) (p PairSums) {
	if sums.Inputs == 0 {
		return p
	}
	for i, v := range q {
		channel, gathered := sums.Partners(i)
		for _, j := range [2]int{channel, gathered} {
			if j > i {
				sum := int(math.Abs(float64(v)) + math.Abs(float64(q[j])))
				p.Pairs++
				p.Largest = max(p.Largest, sum)
				if sum > op.PairLimit {
					p.Above++
				}
			}
		}
	}
	return p
}
