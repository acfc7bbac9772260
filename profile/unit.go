package profile

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// unit returns why a node is computed in float, "" if it is computed on integers.
func (c *checker) unit(n *graph.Node, t *op.Traits) string {
	if maker := c.fusedInto(n); maker != nil {
		if c.runs[maker] == Integer {
			return ""
		}
		if _, ok := c.Wants(n.Domain, n.Op); !ok {
			return fmt.Sprintf("it follows %q, which is computed in float", name(maker))
		}
	}
	wants, ok := c.Wants(n.Domain, n.Op)
	if !ok {
		return fmt.Sprintf("%s computes %s in float", c.Name, n.Op)
	}
	around, why := c.operands(n, t, wants)
	result, without := c.result(n)
	if wants&OneScale != 0 && c.Propagates && (why == "") != (without == "") { // the other is coded as this one
		why, without, wants = "", "", wants&^(OneScale|Result)
	}
	switch {
	case why != "":
		return why
	case result != nil:
		around = append(around, result)
	case wants&Result != 0:
		return without
	}
	return c.fits(n, around, result, wants)
}

// operands returns how the operands of a node are coded, the first being that of its data, or why it is computed in float.
func (c *checker) operands(n *graph.Node, t *op.Traits, wants Unit) (all []*coded, why string) {
	for i, v := range n.Inputs {
		role := t.Role(i)
		if v == nil || role != op.Data && role != op.Weights && role != op.Bias {
			continue
		}
		x := c.codedAt(v)
		switch {
		case role == op.Bias && wants&BiasToo == 0:
		case role == op.Bias:
			if x == nil || x.dtype != tensor.Int32 {
				return nil, "its bias is in float"
			}
		case x == nil && v.IsConst():
			return nil, fmt.Sprintf("its constant %q is in float", v.Name)
		case x == nil:
			return nil, fmt.Sprintf("its operand %q is in float", v.Name)
		case role == op.Weights && x.constant:
			if why := c.axis(n, x); why != "" {
				return nil, why
			}
		case role == op.Weights && wants&Static != 0:
			return nil, fmt.Sprintf("its weights %q are not constant", v.Name)
		case x.scale != nil && x.scale.Len() > 1:
			return nil, fmt.Sprintf("%q has %d scales", v.Name, x.scale.Len())
		default:
			all = append(all, x)
		}
		if x != nil && role != op.Bias && wants&Bytes != 0 && x.dtype.Size() > 1 {
			return nil, fmt.Sprintf("%s computes %s on 8 bits, and %q is %s", c.Name, n.Op, v.Name, x.dtype)
		}
	}
	if len(all) == 0 {
		return nil, "it reads constants alone"
	}
	return all, ""
}

// constantWeights reports whether the weights of a product are constant.
func (c *checker) constantWeights(n *graph.Node) bool {
	x := c.codedAt(n.In(1))
	return x != nil && x.constant
}

// shifted reports whether a tensor has a zero point, other than the one that makes unsigned integers signed ones.
func shifted(x *coded) bool {
	return !x.inMiddle() && slices.ContainsFunc(zeros(x), func(z float64) bool { return z != 0 })
}

// result returns how the result of a node is coded, or why it is not.
func (c *checker) result(n *graph.Node) (*coded, string) {
	var first *coded
	for _, v := range n.Outputs {
		if v == nil {
			continue
		}
		q, clamp, why := c.behind(v)
		if why != "" {
			return nil, why
		}
		if clamp != nil && c.Redundant && !q.clamps(clamp) {
			return nil, fmt.Sprintf("%q behind it clamps to less than its integers can hold", name(clamp))
		}
		if first == nil {
			first = q
		}
	}
	if first == nil {
		return nil, "it has no result"
	}
	return first, ""
}

// behind returns how v is coded by what reads it, and the activation function between.
func (c *checker) behind(v *graph.Value) (q *coded, clamp *graph.Node, why string) {
	inFloat := fmt.Sprintf("its result %q is read in float", v.Name)
	if r := c.uses[v]; len(r) == 1 && !c.g.IsOutput(v) && isClamp(r[0]) {
		clamp, v = r[0], r[0].Outputs[0]
	}
	readers := c.uses[v]
	for c.Propagates && len(readers) == 1 && !c.g.IsOutput(v) && c.hands(readers[0]) && readers[0].Inputs[0] == v {
		v = readers[0].Outputs[0]
		readers = c.uses[v]
	}
	if len(readers) == 0 || c.g.IsOutput(v) {
		return nil, nil, inFloat
	}
	for _, r := range readers {
		if r.Op != "QuantizeLinear" || r.Inputs[0] != v {
			return nil, nil, inFloat
		}
	}
	return c.codedBy(readers[0], readers[0].Outputs[0]), clamp, ""
}

// hands reports whether a node hands on integers as they are.
func (c *checker) hands(n *graph.Node) bool {
	wants, _ := c.Wants(n.Domain, n.Op)
	return wants&OneScale != 0 && len(n.Outputs) == 1 && n.Outputs[0] != nil
}

// fusedInto returns the node whose result an activation function clamps, nil if n is none.
func (c *checker) fusedInto(n *graph.Node) *graph.Node {
	if !isClamp(n) || n.In(0) == nil || n.In(0).Node == nil || len(c.uses[n.In(0)]) != 1 || c.g.IsOutput(n.In(0)) {
		return nil
	}
	maker := n.In(0).Node
	if maker.Traits().Coding {
		return nil
	}
	return maker
}

func isClamp(n *graph.Node) bool {
	_, _, ok := n.Clamp()
	return ok && len(n.Outputs) == 1 && n.Outputs[0] != nil
}

// fits returns why the codes around a node do not suit the target.
func (c *checker) fits(n *graph.Node, around []*coded, result *coded, wants Unit) string {
	first := around[0]
	for _, x := range around {
		if c.Alone && x.dtype == tensor.Int8 && !x.alone && !x.constant {
			return fmt.Sprintf("%q is int8, and its integers have several readers", x.name)
		}
		if wants&Bytes != 0 && x.dtype.Size() > 1 {
			return fmt.Sprintf("%s computes %s on 8 bits, and %q is %s", c.Name, n.Op, x.name, x.dtype)
		}
		if x != result && shifted(x) && (wants&Unshifted != 0 || wants&UnshiftedPair != 0 && !c.constantWeights(n)) {
			return fmt.Sprintf("%q has a zero point, which %s does not take there", x.name, c.Name)
		}
		if wants&OneType != 0 && c.typeOf(x) != c.typeOf(first) {
			return fmt.Sprintf("%q is %s and %q %s", first.name, first.dtype, x.name, x.dtype)
		}
		if wants&OneScale != 0 && !x.same(first) {
			return fmt.Sprintf("%q and %q have different scales", first.name, x.name)
		}
	}
	return ""
}

// typeOf returns the type that a target takes integers for.
func (c *checker) typeOf(x *coded) tensor.DType {
	if c.Alone && x.dtype == tensor.Int8 && !x.constant {
		return tensor.Uint8
	}
	return x.dtype
}

// coded is a tensor as integers.
type coded struct {
	name     string
	dtype    tensor.DType
	scale    *tensor.Tensor // nil if it is not constant
	zero     *tensor.Tensor // nil for 0, or if it is not constant
	constant bool
	node     *graph.Node
	alone    bool // its integers have one reader
}

// codedAt returns how v is coded; what only moves values between does not matter.
func (c *checker) codedAt(v *graph.Value) *coded {
	for v != nil && v.Node != nil {
		n := v.Node
		t := n.Traits()
		if n.Op == "DequantizeLinear" {
			return c.codedBy(n, v)
		}
		if !(t.Flow == op.Moves && (t.View || t.Permutes)) || len(c.uses[v]) > 1 {
			return nil
		}
		v = n.In(0)
	}
	return nil
}

// codedBy returns how a QuantizeLinear or DequantizeLinear codes what is called v there.
func (c *checker) codedBy(n *graph.Node, v *graph.Value) *coded {
	x := &coded{name: v.Name, dtype: integerType(n), node: n}
	if s := n.In(1); s.IsConst() {
		x.scale = s.Const
	}
	if z := n.In(2); z.IsConst() {
		x.zero = z.Const
	}
	ints := n.Outputs[0]
	if n.Op == "DequantizeLinear" {
		ints = n.In(0)
		x.constant = ints.IsConst() || ints != nil && ints.Node != nil && ints.Node.Op == "QuantizeLinear" && ints.Node.In(0).IsConst()
	}
	x.alone = len(c.uses[ints]) == 1
	if x.alone && n.Op == "QuantizeLinear" {
		if r := c.uses[ints][0]; len(r.Outputs) > 0 && r.Outputs[0] != nil {
			x.alone = len(c.uses[r.Outputs[0]]) <= 1
		}
	}
	if n.Op == "DequantizeLinear" {
		x.alone = x.alone && len(c.uses[v]) <= 1
	}
	return x
}

// integerType returns the type of the integers that a node makes or reads.
func integerType(n *graph.Node) tensor.DType {
	ints := n.In(0)
	if n.Op == "QuantizeLinear" && len(n.Outputs) > 0 {
		ints = n.Outputs[0]
	}
	switch {
	case ints != nil && ints.Type.DType != 0:
		return ints.Type.DType
	case n.In(2) != nil && n.In(2).Type.DType != 0:
		return n.In(2).Type.DType
	}
	return tensor.Uint8 // what QuantizeLinear makes without a zero point
}

// same reports whether two tensors have one scale and zero point.
func (x *coded) same(y *coded) bool {
	if x.scale == nil || y.scale == nil {
		return false
	}
	return slices.Equal(x.scale.Float64s(), y.scale.Float64s()) && slices.Equal(zeros(x), zeros(y))
}

func zeros(x *coded) []float64 {
	if x.zero == nil {
		return []float64{0}
	}
	return x.zero.Float64s()
}

// tolerance is what is no difference, in steps of the integers.
const tolerance = 1e-2

// clamps reports whether the integers hold no more than what an activation function lets through.
func (x *coded) clamps(n *graph.Node) bool {
	lo, hi, _ := n.Clamp()
	if x.scale == nil || x.scale.Len() != 1 || len(zeros(x)) != 1 {
		return false
	}
	least, most := limits(x.dtype)
	s, z := x.scale.Float64s()[0], zeros(x)[0]
	slack := tolerance * s // scales are rounded
	return (least-z)*s >= lo-slack && (most-z)*s <= hi+slack
}

// limits returns the ends of a type of integers.
func limits(d tensor.DType) (least, most float64) {
	switch d {
	case tensor.Uint8:
		return 0, 255
	case tensor.Int8:
		return -128, 127
	case tensor.Uint16:
		return 0, 65535
	case tensor.Int16:
		return -32768, 32767
	}
	return 0, 0
}
