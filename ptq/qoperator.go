package ptq

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// microsoft is the domain of ONNX Runtime's own operators.
const microsoft = "com.microsoft"

// toQOperator rewrites a network with QuantizeLinear and DequantizeLinear around its
// operators, as lowerQDQ makes it, to operators on integers: QLinearConv, QLinearMatMul, QLinearAdd and
// the like. What has no such form keeps its float form between the two.
func toQOperator(g *graph.Graph) error {
	q := &qoperator{lowering: newLowering(g), uses: g.Uses()}
	for _, n := range slices.Clone(g.Nodes) {
		q.convert(n)
	}
	if q.foreign {
		g.Opset[microsoft] = 1
	}
	return g.Sort()
}

// storeUnsigned moves the integers of signed activations to the same number of
// unsigned ones, which changes no value: ONNX Runtime's integer operators want one type
// for all activations.
func storeUnsigned(net *network) {
	for _, n := range net.Nodes {
		if sc := scalingOf(n); sc != nil && sc.Signed && net.place[n] != nil {
			sc.Zero += 1 << (sc.Bits - 1)
			sc.Signed = false
		}
	}
}

type qoperator struct {
	*lowering
	uses    map[*graph.Value][]*graph.Node
	foreign bool // whether an operator of microsoft was used
}

// coded is a quantized tensor: integers, scale and zero point.
type coded struct{ ints, scale, zero *graph.Value }

func (c coded) values() []*graph.Value { return []*graph.Value{c.ints, c.scale, c.zero} }

// input returns the integers that v is the meaning of.
func input(v *graph.Value) (coded, bool) {
	if v == nil || v.Node == nil || v.Node.Op != "DequantizeLinear" {
		return coded{}, false
	}
	n := v.Node
	return coded{n.In(0), n.In(1), n.In(2)}, true
}

// result returns the QuantizeLinear behind n, and the activation function between.
func (q *qoperator) result(n *graph.Node) (quantize, function *graph.Node) {
	v := n.Outputs[0]
	if r := q.uses[v]; len(r) == 1 && isActivationFunction(r[0]) && !q.g.IsOutput(v) {
		function = r[0]
		v = function.Outputs[0]
	}
	if r := q.uses[v]; len(r) == 1 && r[0].Op == "QuantizeLinear" && !q.g.IsOutput(v) {
		return r[0], function
	}
	return nil, nil
}

// convert makes the integer form of one node, if it has one.
func (q *qoperator) convert(n *graph.Node) {
	t := n.Traits()
	if t.Q.Form == op.NoQForm {
		return
	}
	quantize, function := q.result(n)
	x, ok := input(n.In(0))
	if !ok {
		return
	}
	if quantize == nil {
		if w, ok := input(n.In(1)); t.Q.Form == op.QMatrix && ok {
			q.matrix(n, &t, x, w, nil)
		}
		return
	}
	y := coded{nil, quantize.In(1), quantize.In(2)}
	var out *graph.Value
	switch t.Q.Form {
	case op.QMatrix:
		w, ok := input(n.In(1))
		if !ok {
			return
		}
		out = q.matrix(n, &t, x, w, &y)
	case op.QSelf:
		if len(n.Outputs) != 1 {
			return
		}
		inputs := slices.Clone(n.Inputs)
		inputs[0] = x.ints
		out = q.node(n, "", n.Op, inputs...)
	default:
		inputs, ok := q.operands(n, &t, y)
		if !ok {
			return
		}
		out = q.node(n, t.Q.Domain, t.Q.Name, inputs...)
	}
	if function != nil {
		out = q.clamp(out, y, function)
	}
	q.substitute(quantize.Outputs[0], out)
}

// operands returns the inputs of a form that reads every operand with its scale
// and zero point; false if one is in float, or of a type that the form does not take.
func (q *qoperator) operands(n *graph.Node, t *op.Traits, y coded) (list []*graph.Value, ok bool) {
	var bias *graph.Value
	for i, v := range n.Inputs {
		c, ok := input(v)
		switch role := t.Role(i); {
		case v == nil:
			continue
		case role == op.Bias && ok:
			bias = c.ints
			continue
		case !ok || t.Q.SameType && c.zero.Type.DType != y.zero.Type.DType:
			return nil, false
		}
		list = append(list, c.values()...)
	}
	if t.Q.Form == op.QConcat {
		return append([]*graph.Value{y.scale, y.zero}, list...), true
	}
	list = append(list, y.scale, y.zero)
	if bias != nil {
		list = append(list, bias)
	}
	return list, true
}

// node appends the integer form of n.
func (q *qoperator) node(n *graph.Node, domain, operator string, inputs ...*graph.Value) *graph.Value {
	out := q.add(n.Name+"_integer", operator, n.Attrs, inputs...)
	out.Node.Domain = domain
	q.foreign = q.foreign || domain == microsoft
	return out
}

// matrix makes a QGemm, whose result is in float if y is nil.
func (q *qoperator) matrix(n *graph.Node, t *op.Traits, x, w coded, y *coded) *graph.Value {
	inputs := append(x.values(), w.values()...)
	var bias *graph.Value
	if b, ok := input(n.In(2)); ok {
		bias = b.ints
	}
	inputs = append(inputs, bias)
	if y != nil {
		inputs = append(inputs, y.scale, y.zero)
	}
	out := q.node(n, t.Q.Domain, t.Q.Name, inputs...)
	out.Node.Attrs = nil // it has no beta
	if n.Attrs.Int("transB", 0) != 0 {
		out.Node.Attrs = op.Attrs{"transB": int64(1)}
	}
	if y == nil {
		old := n.Outputs[0]
		out.Type, out.Dims = old.Type, old.Dims
		q.substitute(old, out)
	}
	return out
}

// clamp applies an activation function to integers, unless their range does already.
func (q *qoperator) clamp(v *graph.Value, y coded, function *graph.Node) *graph.Value {
	scale, zero := float64(y.scale.Const.F32()[0]), y.zero.Const.Float64s()[0]
	grid := Grid{Bits: 8, Signed: y.zero.Type.DType == tensor.Int8}
	lo, hi, _ := function.Clamp()
	least := math.Max(float64(grid.Min()), math.RoundToEven(lo/scale)+zero)
	greatest := math.Min(float64(grid.Max()), math.RoundToEven(hi/scale)+zero)
	if least == float64(grid.Min()) && greatest == float64(grid.Max()) {
		return v
	}
	bound := func(name string, x float64) *graph.Value {
		return graph.NewConst(q.name(v.Name+name), integers([]int{int(x)}, y.zero.Type.DType, nil))
	}
	return q.add(v.Name+"_clamped", "Clip", nil, v, bound("_min", least), bound("_max", greatest))
}

// substitute makes all readers of old, and the outputs, read new.
func (q *qoperator) substitute(old, new *graph.Value) {
	for _, n := range q.uses[old] {
		for i, v := range n.Inputs {
			if v == old {
				n.Inputs[i] = new
			}
		}
	}
	q.uses[new] = q.uses[old]
	for i, v := range q.g.Outputs {
		if v == old {
			q.g.Outputs[i] = new
			old.Name, new.Name = q.name(old.Name+"_replaced"), old.Name
		}
	}
}
