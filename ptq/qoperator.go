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

// ToQOperator rewrites a network with QuantizeLinear and DequantizeLinear around its
// operators, as [LowerQDQ] makes it, to operators on integers: QLinearConv, QLinearMatMul, QLinearAdd and
// the like. What has no such form keeps its float form between the two.
func ToQOperator(g *graph.Graph) error {
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
func storeUnsigned(g *graph.Graph) {
	s := scalesOf(g)
	for _, n := range g.Nodes {
		if sc := scalingOf(n); sc != nil && sc.Signed && !sc.Bias && (!isWeight(n) || s.isOperand(n)) {
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
	if n.Domain != "" {
		return
	}
	quantize, function := q.result(n)
	x, ok := input(n.In(0))
	if !ok {
		return
	}
	if quantize == nil {
		if w, ok := input(n.In(1)); n.Op == "Gemm" && ok {
			q.matrix(n, x, w, nil)
		}
		return
	}
	y := coded{nil, quantize.In(1), quantize.In(2)}
	var out *graph.Value
	switch {
	case n.Op == "Conv" || n.Op == "MatMul" || n.Op == "Gemm":
		w, ok := input(n.In(1))
		if !ok {
			return
		}
		switch n.Op {
		case "Conv":
			inputs := append(append(x.values(), w.values()...), y.scale, y.zero)
			if b, ok := input(n.In(2)); ok {
				inputs = append(inputs, b.ints)
			}
			out = q.node(n, "", "QLinearConv", n.Attrs, inputs...)
		case "MatMul":
			out = q.node(n, "", "QLinearMatMul", nil, append(append(x.values(), w.values()...), y.scale, y.zero)...)
		case "Gemm":
			out = q.matrix(n, x, w, &y)
		}
	case n.Op == "Add" || n.Op == "Mul":
		b, ok := input(n.In(1))
		if !ok || b.zero.Type.DType != x.zero.Type.DType || y.zero.Type.DType != x.zero.Type.DType {
			return // ONNX Runtime's take one type only
		}
		out = q.node(n, microsoft, "QLinear"+n.Op, nil, append(append(x.values(), b.values()...), y.scale, y.zero)...)
	case slices.Contains([]string{"GlobalAveragePool", "AveragePool", "Sigmoid", "LeakyRelu"}, n.Op):
		if y.zero.Type.DType != x.zero.Type.DType {
			return
		}
		out = q.node(n, microsoft, "QLinear"+n.Op, n.Attrs, append(x.values(), y.scale, y.zero)...)
	case n.Op == "Concat":
		inputs := []*graph.Value{y.scale, y.zero}
		for _, v := range n.Inputs {
			c, ok := input(v)
			if !ok {
				return
			}
			inputs = append(inputs, c.values()...)
		}
		out = q.node(n, microsoft, "QLinearConcat", n.Attrs, inputs...)
	case kinds[n.Op] == moving && len(n.Outputs) == 1 && n.Op != "Pad" && n.Op != "Resize" && n.Op != "Upsample":
		inputs := slices.Clone(n.Inputs)
		inputs[0] = x.ints
		out = q.node(n, "", n.Op, n.Attrs, inputs...)
	default:
		return
	}
	if function != nil {
		out = q.clamp(out, y, function)
	}
	q.substitute(quantize.Outputs[0], out)
}

// node appends the integer form of n.
func (q *qoperator) node(n *graph.Node, domain, operator string, attrs op.Attrs, inputs ...*graph.Value) *graph.Value {
	out := q.add(n.Name+"_integer", operator, attrs, inputs...)
	out.Node.Domain = domain
	q.foreign = q.foreign || domain == microsoft
	return out
}

// matrix makes a QGemm, whose result is in float if y is nil.
func (q *qoperator) matrix(n *graph.Node, x, w coded, y *coded) *graph.Value {
	inputs := append(x.values(), w.values()...)
	var bias *graph.Value
	if b, ok := input(n.In(2)); ok {
		bias = b.ints
	}
	inputs = append(inputs, bias)
	if y != nil {
		inputs = append(inputs, y.scale, y.zero)
	}
	out := q.node(n, microsoft, "QGemm", op.Attrs{"transB": int64(n.Attrs.Int("transB", 0))}, inputs...)
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
	lo, hi := clipBounds(function)
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
