package profile

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// coding checks a QuantizeLinear or DequantizeLinear.
func (c *checker) coding(n *graph.Node) {
	if n.Op != "QuantizeLinear" && n.Op != "DequantizeLinear" {
		c.dynamic(n)
		return
	}
	if len(n.Outputs) == 0 || n.Outputs[0] == nil {
		return
	}
	x := c.codedBy(n, n.Outputs[0])
	if n.Op == "QuantizeLinear" {
		x.name = n.Inputs[0].Name
	}
	if !x.constant {
		if ints := n.In(0); n.Op == "QuantizeLinear" || ints.Node == nil || ints.Node.Op != "QuantizeLinear" { // once
			c.activation(n, x)
		}
		return
	}
	for _, r := range c.uses[n.Outputs[0]] {
		t := r.TraitsWith(constantOf)
		for i, v := range r.Inputs {
			switch {
			case v != n.Outputs[0]:
			case t.Role(i) == op.Bias:
				c.bias(r, x)
			case t.Role(i) == op.Weights:
				c.weights(r, x)
			}
		}
	}
	c.scales(x)
}

// activation checks a tensor that is computed.
func (c *checker) activation(n *graph.Node, x *coded) {
	switch {
	case len(c.Types) == 0:
		c.problem(x.name, "it is %s: %s computes in float, with integers for weights alone", x.dtype, c.Name)
		return
	case !slices.Contains(c.Types, x.dtype):
		c.problem(x.name, "it is %s: %s takes %s", x.dtype, c.Name, list(c.Types))
	case x.scale != nil && x.scale.Len() != 1:
		c.problem(x.name, "it has %d scales: activations have one", x.scale.Len())
	case x.scale == nil:
		c.problem(x.name, "its scale is not constant")
	case c.Middle && !x.inMiddle():
		c.problem(x.name, "its zero point is %s: %s wants it in the middle of the type", zeroText(x), c.Name)
	}
	c.scales(x)
}

// scales checks what holds for every scale.
func (c *checker) scales(x *coded) {
	if x.scale == nil {
		return
	}
	for _, s := range x.scale.Float64s() {
		frac, _ := math.Frexp(s)
		switch {
		case !(s > 0) || math.IsInf(s, 0):
			c.problem(x.name, "a scale is %g: scales are positive", s)
			return
		case c.Powers && frac != 0.5:
			c.problem(x.name, "a scale is %.6g, no power of two, which %s wants", s, c.Name)
			return
		}
	}
}

// weights checks the constant weights of a node, behind a DequantizeLinear.
func (c *checker) weights(n *graph.Node, x *coded) {
	if x.dtype.Size() == 1 && !slices.Contains(c.Weights, x.dtype) && !fewBits(x.dtype) {
		c.problem(name(n), "its weights are %s: %s takes %s", x.dtype, c.Name, list(c.Weights))
	}
	if !c.WeightZeros && !x.inMiddle() {
		c.problem(name(n), "its weights have the zero point %s: %s wants none", zeroText(x), c.Name)
	}
	if why := c.axis(n, x); why != "" {
		c.problem(name(n), "%s", why)
	}
}

// axis returns why several scales of a node's weights do not suit the target.
func (c *checker) axis(n *graph.Node, x *coded) string {
	if x.scale == nil || x.scale.Len() <= 1 {
		return ""
	}
	if !c.Channels(n.Op) {
		return fmt.Sprintf("its weights have %d scales: %s takes one for the weights of %s", x.scale.Len(), c.Name, n.Op)
	}
	p, shape := n.Products(), x.node.Outputs[0].Type
	if p == nil || !shape.Known || x.node.Attrs.Int("block_size", 0) > 0 {
		return ""
	}
	s := p.Sums(n.Attrs, shape.Shape)
	axis := x.node.Attrs.Int("axis", 1)
	if axis < 0 {
		axis += len(shape.Shape)
	}
	if s.Inputs > 0 && axis != s.Output {
		return fmt.Sprintf("its weights have scales along axis %d: output channels are along axis %d", axis, s.Output)
	}
	return ""
}

// biasTolerance is how far the scale of a bias may be from that of the products.
const biasTolerance = 1e-3

// bias checks a bias of integers.
func (c *checker) bias(n *graph.Node, x *coded) {
	if c.FloatBias {
		c.problem(name(n), "its bias is %s behind a DequantizeLinear: %s takes biases in float", x.dtype, c.Name)
		return
	}
	if x.dtype != tensor.Int32 {
		return // a constant like any other: the node is computed in float
	}
	in, w := c.codedAt(n.In(0)), c.codedAt(n.In(1))
	if in == nil || w == nil || in.scale == nil || w.scale == nil || x.scale == nil || in.scale.Len() != 1 {
		return
	}
	b, ws, unit := x.scale.Float64s(), w.scale.Float64s(), in.scale.Float64s()[0]
	for i, s := range b {
		want := unit * ws[min(i, len(ws)-1)]
		if len(b) != len(ws) && len(ws) != 1 || math.Abs(s-want) > biasTolerance*math.Abs(want) {
			c.problem(name(n), "the scale of its bias is %.6g, that of its products %.6g: the bias would be added as if they were one", s, want)
			return
		}
	}
}

// integerForm checks an operator on integers.
func (c *checker) integerForm(n *graph.Node, t *op.Traits) {
	if !c.QOperator {
		c.problem(name(n), "%s is an operator on integers: %s takes QuantizeLinear and DequantizeLinear around operators in float", n.Op, c.Name)
		c.add(n, Float, "")
		return
	}
	c.add(n, Integer, "")
	p := n.Products()
	for i, v := range n.Inputs {
		if v == nil || t.Role(i) != op.ScaleOf || !v.IsConst() {
			continue
		}
		x := &coded{name: v.Name, scale: v.Const}
		c.scales(x)
		if p != nil && i == p.Weights+1 && v.Const.Len() > 1 && !c.Channels(base(n)) {
			c.problem(name(n), "its weights have %d scales: %s takes one", v.Const.Len(), c.Name)
		}
	}
}

// base returns the float operator that an operator on integers stands for.
func base(n *graph.Node) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(n.Op, "QLinear"), "Q"), "Integer")
}

// dynamic checks an operator that quantizes by what it sees.
func (c *checker) dynamic(n *graph.Node) {
	if !c.QOperator {
		c.problem(name(n), "%s quantizes when the network runs: %s wants scales that are constant", n.Op, c.Name)
	}
}

// inMiddle reports whether all zero points are in the middle of the type.
func (x *coded) inMiddle() bool {
	least, most := limits(x.dtype)
	for _, z := range zeros(x) {
		if z != math.Ceil((least+most)/2) {
			return false
		}
	}
	return true
}

// fewBits reports whether a type has less than 8 bits.
func fewBits(d tensor.DType) bool {
	return d == tensor.Int4 || d == tensor.Uint4 || d == tensor.Int2 || d == tensor.Uint2
}

func zeroText(x *coded) string {
	z := zeros(x)
	if len(z) == 0 {
		return "none"
	}
	for _, v := range z {
		if v != 0 {
			return fmt.Sprint(v)
		}
	}
	return fmt.Sprint(z[0])
}

func list(types []tensor.DType) string {
	names := make([]string, len(types))
	for i, d := range types {
		names[i] = d.String()
	}
	return strings.Join(names, ", ")
}
