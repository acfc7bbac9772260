package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// expression reads what nodes compute as a function of one value, in the normal form.
type expression struct {
	of      *Value // where it ends
	read    map[*Value]poly
	without map[*Value][]int // the axes that a reduction before a value has dropped
}

// newExpression begins to read functions of x, whose atom it returns as well.
func newExpression(x *Value) (*expression, poly) {
	atom := (&atom{key: "x", value: x}).poly()
	return &expression{of: x, read: map[*Value]poly{x: atom}, without: make(map[*Value][]int)}, atom
}

// maxExpression bounds how many nodes are looked at for one expression.
const maxExpression = 48

// reader returns what a node computes, false if the normal form does not look into it.
type reader func(e *expression, n *Node) (p poly, ok bool)

// byElement and alongAxes have the operators that the normal form knows: those on elements side by side, and
// those that reduce axes or bring reduced ones back.
var byElement, alongAxes map[string]reader

func init() { // the functions refer to the tables
	byElement = map[string]reader{
		"Add": func(e *expression, n *Node) (poly, bool) { return e.get(n.In(0)).plus(e.get(n.In(1))), true },
		"Sub": func(e *expression, n *Node) (poly, bool) { return e.get(n.In(0)).plus(e.get(n.In(1)).times(-1)), true },
		"Mul": func(e *expression, n *Node) (poly, bool) { return e.get(n.In(0)).mul(e.get(n.In(1))), true },
		"Div": func(e *expression, n *Node) (poly, bool) { return e.get(n.In(0)).mul(e.get(n.In(1)).pow(-1)), true },
		"Pow": func(e *expression, n *Node) (poly, bool) {
			k, ok := number(n.In(1))
			return e.get(n.In(0)).pow(k), ok
		},
		"Neg":         one(func(p poly) poly { return p.times(-1) }),
		"Sqrt":        one(func(p poly) poly { return p.pow(0.5) }),
		"Reciprocal":  one(func(p poly) poly { return p.pow(-1) }),
		"Exp":         one(func(p poly) poly { return newAtom("exp", p).poly() }),
		"Log":         one(poly.log),
		"Erf":         one(func(p poly) poly { return newAtom("erf", p).poly() }),
		"Sigmoid":     one(func(p poly) poly { return newAtom("sigmoid", p).poly() }),
		"Tanh":        one(poly.tanh),
		"Softplus":    one(poly.softplus),
		"Relu":        one(func(p poly) poly { return p.clip(0, math.Inf(1)) }),
		"Expand":      one(func(p poly) poly { return p }), // elementwise operators broadcast anyway
		"Cast":        cast,
		"Clip":        clip,
		"Max":         bound,
		"Min":         bound,
		"HardSigmoid": hardSigmoid,
	}
	alongAxes = map[string]reader{
		"ReduceMean": reduce, "ReduceSum": reduce, "ReduceSumSquare": reduce, "ReduceL2": reduce, "ReduceMax": reduce, "GlobalAveragePool": reduce,
		"Unsqueeze": keepReduced, "Reshape": keepReduced,
	}
}

func one(f func(poly) poly) reader {
	return func(e *expression, n *Node) (poly, bool) { return f(e.get(n.In(0))), true }
}

// isArithmetic reports whether the normal form looks into the node.
func isArithmetic(n *Node) bool {
	return n != nil && n.Domain == "" && (byElement[n.Op] != nil || alongAxes[n.Op] != nil) && n.In(0) != nil && len(n.Outputs) == 1 && n.Outputs[0].Type.DType.IsFloat()
}

// get returns what v is, an atom for what the normal form does not look into.
func (e *expression) get(v *Value) poly {
	if p, ok := e.read[v]; ok {
		return p
	}
	p := e.make(v)
	e.read[v] = p
	return p
}

func (e *expression) make(v *Value) poly {
	if k, ok := number(v); ok {
		return constantPoly(k)
	}
	if v != e.of && !v.IsConst() && isArithmetic(v.Node) && len(e.read) < maxExpression {
		if f := byElement[v.Node.Op]; f != nil {
			if p, ok := f(e, v.Node); ok && e.alike(v.Node) {
				return p
			}
		} else if p, ok := alongAxes[v.Node.Op](e, v.Node); ok {
			return p
		}
	}
	return (&atom{key: fmt.Sprintf("v%d", len(e.read)), value: v}).poly()
}

// alike reports whether the operands of n are elements side by side, none of a reduction that has dropped its axes or all
// of the same one, and notes the axes that its result is without.
func (e *expression) alike(n *Node) bool {
	y, first := n.Outputs[0], true
	for _, v := range n.Inputs {
		if _, isNumber := number(v); v == nil || isNumber {
			continue
		}
		if !first && !slices.Equal(e.without[v], e.without[y]) {
			return false
		}
		e.without[y], first = e.without[v], false
	}
	return true
}

// cast is nothing between floats.
func cast(e *expression, n *Node) (poly, bool) { return e.get(n.In(0)), n.In(0).Type.DType.IsFloat() }

func clip(e *expression, n *Node) (poly, bool) {
	lo, hi := math.Inf(-1), math.Inf(1)
	for i, bound := range []*float64{&lo, &hi} {
		if v := n.In(i + 1); v != nil {
			k, ok := number(v)
			if !ok {
				return nil, false
			}
			*bound = k
		}
	}
	lo, hi = float64(n.Attrs.Float("min", float32(lo))), float64(n.Attrs.Float("max", float32(hi)))
	return e.get(n.In(0)).clip(lo, hi), true
}

// bound reads a Max or Min of a value and a number.
func bound(e *expression, n *Node) (poly, bool) {
	if len(n.Inputs) != 2 {
		return nil, false
	}
	for i, v := range n.Inputs {
		k, ok := number(v)
		switch {
		case !ok:
		case n.Op == "Max":
			return e.get(n.Inputs[1-i]).clip(k, math.Inf(1)), true
		default:
			return e.get(n.Inputs[1-i]).clip(math.Inf(-1), k), true
		}
	}
	return nil, false
}

func hardSigmoid(e *expression, n *Node) (poly, bool) {
	alpha, beta := float64(n.Attrs.Float("alpha", 0.2)), float64(n.Attrs.Float("beta", 0.5))
	return e.get(n.In(0)).times(alpha).plus(constantPoly(beta)).clip(0, 1), true
}

// keepReduced reads what brings the axes back that a reduction has dropped.
func keepReduced(e *expression, n *Node) (poly, bool) {
	p := e.get(n.In(0))
	axes, x, y := e.without[n.In(0)], e.of.Type, n.Outputs[0].Type
	if axes == nil || !y.Known || len(y.Shape) != len(x.Shape) {
		return nil, false
	}
	for i, d := range y.Shape {
		if slices.Contains(axes, i) != (d == 1) && x.Shape[i] != 1 {
			return nil, false
		}
	}
	return p, true
}

// reduce reads reductions of what has all axes.
func reduce(e *expression, n *Node) (poly, bool) {
	axes := reducedAxes(n)
	if axes == nil || len(e.of.Type.Shape) != len(n.In(0).Type.Shape) || e.without[n.In(0)] != nil {
		return nil, false
	}
	if n.Attrs.Int("keepdims", 1) == 0 {
		e.without[n.Outputs[0]] = axes
	}
	x, count := e.get(n.In(0)), 1.0
	for _, a := range axes {
		count *= float64(n.In(0).Type.Shape[a])
		if n.In(0).Type.Shape[a] < 1 {
			count = math.NaN()
		}
	}
	switch n.Op {
	case "ReduceMax":
		return newAtom("max", x, axes...).poly(), true
	case "ReduceMean", "GlobalAveragePool":
		return x.mean(axes), true
	}
	if math.IsNaN(count) {
		return nil, false
	}
	switch n.Op {
	case "ReduceSumSquare":
		return x.pow(2).mean(axes).times(count), true
	case "ReduceL2":
		return x.pow(2).mean(axes).times(count).pow(0.5), true
	}
	return x.mean(axes).times(count), true
}

// reducedAxes returns the axes of a reduction, sorted and counted from the front; nil
// if they are not known.
func reducedAxes(n *Node) []int {
	x := n.In(0).Type
	if !x.Known || len(x.Shape) == 0 {
		return nil
	}
	axes := n.Attrs.Ints("axes")
	switch a := n.In(1); {
	case n.Op == "GlobalAveragePool":
		for i := 2; i < len(x.Shape); i++ {
			axes = append(axes, i)
		}
	case a.IsConst() && a.Const.DType() == tensor.Int64:
		axes = a.Const.Ints()
	case a != nil:
		return nil
	}
	for i, a := range axes {
		if a < 0 {
			axes[i] += len(x.Shape)
		}
		if axes[i] < 0 || axes[i] >= len(x.Shape) {
			return nil
		}
	}
	slices.Sort(axes)
	return slices.Compact(axes)
}

// origins returns the values that all of what n computes goes through, the nearest first: those of which it can be
// a function alone.
func origins(n *Node, order map[*Node]int) []*Value {
	var found []*Value
	waiting := []*Value{}
	add := func(n *Node) {
		for _, v := range n.Inputs {
			if v != nil && !v.IsConst() && !slices.Contains(waiting, v) {
				waiting = append(waiting, v)
			}
		}
	}
	add(n)
	for range maxExpression {
		if len(waiting) == 0 {
			break
		}
		last := 0
		for i, v := range waiting {
			if at(v, order) > at(waiting[last], order) {
				last = i
			}
		}
		v := waiting[last]
		waiting = slices.Delete(waiting, last, last+1)
		if len(waiting) == 0 {
			found = append(found, v)
		}
		if !isArithmetic(v.Node) {
			break // all others, if there are any, are not functions of it, nor it of them
		}
		add(v.Node)
	}
	return found
}

// at returns where in the graph v is made, -1 for an input.
func at(v *Value, order map[*Node]int) int {
	if i, ok := order[v.Node]; ok {
		return i
	}
	return -1
}

// constantOf computes a poly of constants.
func constantOf(p poly) (*tensor.Tensor, error) {
	sum := tensor.Scalar(float32(0))
	for _, t := range p {
		product := tensor.Scalar(float32(t.coef))
		for _, f := range t.factors {
			power, err := elementwise("Pow", f.value.Const, tensor.Scalar(float32(f.exp)))
			if err != nil {
				return nil, err
			}
			if product, err = elementwise("Mul", product, power); err != nil {
				return nil, err
			}
		}
		var err error
		if sum, err = elementwise("Add", sum, product); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func elementwise(operator string, a, b *tensor.Tensor) (*tensor.Tensor, error) {
	o, err := op.Lookup("", operator)
	if err != nil {
		return nil, err
	}
	c := &op.Call{In: []*tensor.Tensor{a, b}, Out: make([]*tensor.Tensor, 1)}
	err = o.Run(c)
	return c.Out[0], err
}
