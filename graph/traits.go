package graph

import (
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Traits returns what the operator table says of the node with its attributes
// and constants.
func (n *Node) Traits() op.Traits { return n.TraitsWith(constOf) }

// TraitsWith does so where constant tells the tensor of an input that is constant.
func (n *Node) TraitsWith(constant func(*Value) *tensor.Tensor) op.Traits {
	return op.TraitsOf(n.Domain, n.Op, n.call(constant))
}

// Products returns where a node has its weights and how their products are summed, nil for
// one that has none.
func (n *Node) Products() *op.Products {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil {
		return nil
	}
	return o.Traits.Products
}

// Clamp returns the bounds of a node that does nothing but clamp by constants (a
// Relu, a Clip), infinite where there are none; ok is false for any other.
func (n *Node) Clamp() (lo, hi float64, ok bool) {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil || o.Traits.Clamp == nil {
		return 0, 0, false
	}
	return o.Traits.Clamp(n.call(constOf))
}

// Call returns what the operator table is asked about: the attributes and constants of the node.
func (n *Node) Call() *op.Call { return n.call(constOf) }

func constOf(v *Value) *tensor.Tensor { return v.Const }

func (n *Node) call(constant func(*Value) *tensor.Tensor) *op.Call {
	c := &op.Call{Attrs: n.Attrs, Types: make([]op.Type, len(n.Inputs)), In: make([]*tensor.Tensor, len(n.Inputs))}
	for i, v := range n.Inputs {
		if v != nil {
			c.In[i], c.Types[i] = constant(v), v.Type
		}
	}
	return c
}
