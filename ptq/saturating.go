package ptq

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Saturating returns a copy of a quantized network, of whatever tool, that computes what a machine makes
// of it that adds two products in 16 bits: to the sums of every node with weights of which two may be too much,
// what they lose is added. It also returns the names of such nodes for which that is not known.
func Saturating(g *graph.Graph) (saturating *graph.Graph, unknown []string, err error) {
	if g, err = copied(g); err != nil {
		return nil, nil, err
	}
	pairs, err := graph.Saturation(g)
	if err != nil {
		return nil, nil, err
	}
	s := &saturator{newLowering(g)}
	for _, n := range slices.Clone(g.Nodes) {
		if pairs[n].Above == 0 {
			continue
		}
		known, err := s.node(n)
		if err != nil {
			return nil, nil, nodeError(n, err)
		}
		if !known {
			unknown = append(unknown, n.Name)
		}
	}
	s.finish()
	return g, unknown, g.Sort()
}

type saturator struct{ *lowering }

// node adds to the sums of n what they lose. It reports whether it could.
func (s *saturator) node(n *graph.Node) (bool, error) {
	p := n.Products()
	q, err := graph.IntegerWeights(n, p)
	if err != nil {
		return false, err
	}
	weights := rowsFirst(q, p.Sums(n.Attrs, q.Shape()))
	if weights == nil || n.Attrs.Int("transA", 0) != 0 {
		return false, nil
	}
	if t := traitsOf(n); slices.Contains(t.Inputs, op.ScaleOf) {
		if n = s.inFloat(n, &t, p); n == nil {
			return false, nil
		}
		p = n.Products()
	}
	x, zero, unit := n.In(0), n.In(2), (*tensor.Tensor)(nil)
	if p.Zero == 0 {
		d := x.Node
		if d == nil || d.Op != "DequantizeLinear" {
			return true, nil // it computes in float
		}
		if unit = unitOf(d, n, q.Rank()); unit == nil {
			return false, nil
		}
		x, zero = d.In(0), d.In(2)
	}
	if zero == nil {
		zero = graph.NewConst(s.name(n.Name+"_zero"), tensor.From([]uint8{0}, 1))
	}
	loss := s.add(n.Name+"_loss", "SaturationLoss", n.Attrs, x, zero, graph.NewConst(s.name(n.Name+"_weights"), weights))
	loss.Node.Domain = op.Narrow
	if unit != nil {
		loss = s.add(n.Name+"_loss_scaled", "Mul", nil, loss, graph.NewConst(s.name(n.Name+"_unit"), unit))
	} else {
		loss = s.add(n.Name+"_loss_integer", "Cast", op.Attrs{"to": int64(6)}, loss) // int32
	}
	exact := &graph.Value{Name: s.name(n.Outputs[0].Name + "_exact"), Type: n.Outputs[0].Type, Dims: n.Outputs[0].Dims, Node: n}
	sum := s.add(n.Name+"_saturated", "Add", nil, exact, loss).Node
	sum.Outputs[0], n.Outputs[0] = n.Outputs[0], exact
	sum.Outputs[0].Node = sum
	return true, nil
}

// rowsFirst returns weights with the output channels on axis 0 and what is summed on axis 1, nil for those
// that cannot be seen so.
func rowsFirst(q *tensor.Tensor, s op.Sums) *tensor.Tensor {
	switch shape := q.Shape(); {
	case s.Output == 0:
		return q
	case s.Output == 1 && len(shape) == 2:
		out := make([]float32, q.Len())
		for i, v := range q.F32() {
			out[i%shape[1]*shape[0]+i/shape[1]] = v
		}
		return tensor.From(out, shape[1], shape[0])
	}
	return nil
}

// unitOf returns the scale of the products of n, whose activations d dequantizes, in a shape that
// multiplies its result; nil if it is not constant.
func unitOf(d, n *graph.Node, rank int) *tensor.Tensor {
	w := n.In(1).Node
	if !d.In(1).IsConst() || d.In(1).Const.Len() != 1 || !w.In(1).IsConst() || w.In(1).Const.Rank() > 1 {
		return nil
	}
	x := d.In(1).Const.Float32s()[0] * n.Attrs.Float("alpha", 1)
	unit := slices.Clone(w.In(1).Const.Float32s())
	for i := range unit {
		unit[i] *= x
	}
	if len(unit) == 1 {
		return tensor.Scalar(unit[0])
	}
	shape := []int{len(unit)}
	if rank > 2 {
		shape = append(shape, slices.Repeat([]int{1}, rank-2)...)
	}
	return tensor.From(unit, shape...)
}

// inFloat makes of an operator on integers (QLinearConv and the like) the float one behind dequantized operands, which it
// returns; nil if there is none. From then on n is that one, or the QuantizeLinear behind it.
func (s *saturator) inFloat(n *graph.Node, t *op.Traits, p *op.Products) *graph.Node {
	var name string
	for _, base := range op.Names() {
		if o, err := op.Lookup("", base); err == nil && o.Traits.Q.Name == n.Op && o.Traits.Q.Domain == n.Domain {
			name = base
		}
	}
	scale, zero, bias := 0, 0, slices.Index(t.Inputs, op.Bias)
	for i, r := range t.Inputs {
		switch r {
		case op.ScaleOf:
			scale = i
		case op.ZeroPoint:
			zero = i
		}
	}
	if name == "" {
		return nil
	}
	dequantize := func(i int, attrs op.Attrs) *graph.Value {
		return s.add(n.Name+"_dequantized", "DequantizeLinear", attrs, n.In(i), n.In(i+1), n.In(i+2))
	}
	axis := op.Attrs{"axis": int64(p.Sums(n.Attrs, n.In(p.Weights).Const.Shape()).Output)}
	operands := []*graph.Value{dequantize(0, nil), dequantize(p.Weights, axis)}
	if b := n.In(bias); bias >= 0 && b != nil {
		unit := s.add(n.Name+"_unit", "Mul", nil, n.In(1), n.In(p.Weights+1))
		operands = append(operands, s.add(n.Name+"_bias", "DequantizeLinear", op.Attrs{"axis": int64(0)}, b, unit))
	}
	if n.In(scale) == nil { // its result is in float
		n.Op, n.Domain, n.Inputs = name, "", operands
		return n
	}
	y := s.add(n.Name+"_float", name, n.Attrs, operands...)
	n.Op, n.Domain, n.Attrs, n.Inputs = "QuantizeLinear", "", nil, []*graph.Value{y, n.In(scale), n.In(zero)}
	return y.Node
}
