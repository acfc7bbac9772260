package graph

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// FuseFunctions makes one node of each activation function and normalization that exporters write out in parts, in whatever form:
// what the parts compute is brought to a normal form and compared with that of the functions. As parts, each intermediate result would be
// rounded. The writer sees to the operator set, and takes apart again what is newer than the sets it writes.
func FuseFunctions(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	order := make(map[*Node]int, len(g.Nodes))
	for i, n := range g.Nodes {
		order[n] = i
	}
	for _, n := range g.Nodes {
		f := recognize(g, n, order)
		if f == nil {
			continue
		}
		// What only scales and shifts the result becomes part of it.
		for y := n.Outputs[0]; len(uses[y]) == 1 && !g.IsOutput(y); y = n.Outputs[0] {
			next := recognize(g, uses[y][0], order)
			if next == nil || next.x != f.x {
				break
			}
			n, f = uses[y][0], next
		}
		inputs := []*Value{f.x}
		for i, t := range f.constants {
			inputs = append(inputs, NewConst(g.Unique(n.Outputs[0].Name+[]string{"_scale", "_bias"}[i]), t))
		}
		*n = Node{Name: n.Name, Op: f.operator, Attrs: f.attrs, Inputs: inputs, Outputs: n.Outputs}
		count++
	}
	return count, g.Sort()
}

// function is an operator on a value.
type function struct {
	operator  string
	attrs     op.Attrs
	x         *Value
	constants []*tensor.Tensor // the inputs behind x
}

// A pattern recognizes a function of x in its normal form, nil for another.
type pattern func(x *Value, atom poly, y poly, opset int) *function

// patterns are tried in this order on all values that the result may be a function of: a
// LayerNorm of x is an RMSNorm of x less its mean as well.
var patterns = []pattern{activation, layerNorm, rmsNorm, softmax}

// recognize returns the function that n is the end of, nil if it is none that is known.
func recognize(g *Graph, n *Node, order map[*Node]int) *function {
	if !isArithmetic(n) {
		return nil
	}
	xs := origins(n, order)
	slices.Reverse(xs) // as much as can be
	ys, atoms := make([]poly, len(xs)), make([]poly, len(xs))
	for i, x := range xs {
		if !sameType(x.Type, n.Outputs[0].Type) {
			continue
		}
		var e *expression
		e, atoms[i] = newExpression(x)
		ys[i] = e.get(n.Outputs[0])
	}
	for _, p := range patterns {
		for i, x := range xs {
			if ys[i] == nil {
				continue
			}
			if f := p(x, atoms[i], ys[i], g.Opset[""]); f != nil && f.operator != n.Op {
				return f
			}
		}
	}
	return nil
}

func sameType(a, b op.Type) bool {
	return a.DType == b.DType && a.DType.IsFloat() && a.Known && b.Known && slices.Equal(a.Shape, b.Shape)
}

// activations are the functions of single elements, by what they compute.
var activations = []struct {
	operator string
	attrs    op.Attrs
	of       func(x poly) poly
}{
	{"HardSwish", op.Attrs{}, func(x poly) poly { return x.mul(hardGate(x)) }},
	{"HardSigmoid", op.Attrs{"alpha": float32(1.0 / 6), "beta": float32(0.5)}, hardGate},
	{"Gelu", op.Attrs{}, func(x poly) poly {
		erf := newAtom("erf", x.times(math.Sqrt2/2)).poly()
		return x.mul(erf.plus(constantPoly(1))).times(0.5)
	}},
	{"Gelu", op.Attrs{"approximate": "tanh"}, func(x poly) poly {
		u := x.plus(x.pow(3).times(0.044715)).times(math.Sqrt(2 / math.Pi))
		return x.mul(u.tanh().plus(constantPoly(1))).times(0.5)
	}},
	{"Sigmoid", nil, func(x poly) poly { return newAtom("sigmoid", x).poly() }},
	{"Tanh", nil, poly.tanh},
	{"Swish", op.Attrs{}, func(x poly) poly { return x.mul(newAtom("sigmoid", x).poly()) }},
	{"Mish", nil, func(x poly) poly { return x.mul(x.softplus().tanh()) }},
	{"Softplus", nil, poly.softplus},
}

// hardGate is clip(x+3, 0, 6)/6.
func hardGate(x poly) poly { return x.plus(constantPoly(3)).clip(0, 6).times(1.0 / 6) }

// activationForms are the normal forms of the activations: those of all values are alike.
var activationForms = func() []poly {
	_, atom := newExpression(nil)
	var all []poly
	for _, a := range activations {
		all = append(all, a.of(atom))
	}
	return all
}()

func activation(x *Value, _, y poly, _ int) *function {
	for i, a := range activations {
		if y.equal(activationForms[i]) {
			return &function{operator: a.operator, attrs: a.attrs, x: x}
		}
	}
	return nil
}

// layerNorm recognizes (x-mean(x))/sqrt(var(x)+eps)*scale + bias over the last axes, a
// LayerNormalization, or over all but the first two, an InstanceNormalization.
func layerNorm(x *Value, atom, y poly, _ int) *function {
	for _, r := range roots(y) {
		n := newNorm(x, atom, y, r)
		if n == nil || !n.lessMean {
			continue
		}
		rank := len(x.Type.Shape)
		if !trailing(r.axes, rank) || len(r.axes) == rank {
			continue
		}
		if len(r.axes) > 1 && r.axes[0] == 2 {
			if f := n.instanceNorm(); f != nil {
				return f
			}
		}
		if f := n.function("LayerNormalization", x.Type.Shape[r.axes[0]:], n.bias != nil); f != nil {
			f.attrs["axis"] = int64(-len(r.axes))
			return f
		}
		if rank > 2 && r.axes[0] == 2 {
			return n.instanceNorm()
		}
	}
	return nil
}

// rmsNorm recognizes x/sqrt(mean(x^2)+eps)*scale over the last axes.
func rmsNorm(x *Value, atom, y poly, _ int) *function {
	for _, r := range roots(y) {
		n := newNorm(x, atom, y, r)
		if n == nil || n.lessMean || n.bias != nil || !trailing(r.axes, len(x.Type.Shape)) || len(x.Type.Shape) == len(r.axes) {
			continue
		}
		if f := n.function("RMSNormalization", x.Type.Shape[r.axes[0]:], false); f != nil {
			f.attrs["axis"] = int64(-len(r.axes))
			return f
		}
	}
	return nil
}

// softmax recognizes exp(u)/sum(exp(u)) with u = x, or x less its maximum.
func softmax(x *Value, atom, y poly, opset int) *function {
	if len(y) != 1 || len(y[0].factors) != 2 {
		return nil
	}
	for i, top := range y[0].factors {
		mean := y[0].factors[1-i]
		if top.fn != "exp" || top.exp != 1 || mean.fn != "mean" || mean.exp != -1 || len(mean.axes) != 1 || !mean.arg.equal(top.atom.poly()) {
			continue
		}
		axis, rank := mean.axes[0], len(x.Type.Shape)
		count := float64(x.Type.Shape[axis])
		largest := newAtom("max", atom, axis).poly()
		if !near(y[0].coef*count, 1) || !top.arg.equal(atom) && !top.arg.equal(atom.plus(largest.times(-1))) {
			return nil
		}
		if opset < 13 && axis != rank-1 { // it was over all axes from there on
			return nil
		}
		return &function{operator: "Softmax", attrs: op.Attrs{"axis": int64(axis - rank)}, x: x}
	}
	return nil
}

// trailing reports whether the axes are the last ones.
func trailing(axes []int, rank int) bool {
	for i, a := range axes {
		if a != rank-len(axes)+i {
			return false
		}
	}
	return len(axes) > 0
}

// root is the mean square of a norm under its root.
type root struct {
	*atom       // the factor of the terms
	under poly  // what it is the inverse root of
	axes  []int // of the mean
}

// roots returns the inverse roots among the factors of y.
func roots(y poly) []root {
	var found []root
	for _, t := range y {
		for _, f := range t.factors {
			r := root{atom: f.atom, under: f.atom.poly()}
			if f.fn == "base" {
				r.under = f.arg
			}
			if f.exp != -0.5 || slices.ContainsFunc(found, func(o root) bool { return o.atom.key == f.key }) {
				continue
			}
			for _, t := range r.under {
				if len(t.factors) == 1 && t.factors[0].fn == "mean" {
					r.axes = t.factors[0].axes
				}
			}
			if r.axes != nil {
				found = append(found, r)
			}
		}
	}
	return found
}

// norm is a normalization of x: scale*(x - mean(x) if lessMean)/sqrt(square+epsilon) + bias.
type norm struct {
	x           *Value
	lessMean    bool
	epsilon     float64
	scale, bias poly // of constants
}

// newNorm takes y, a function of x, apart; nil if it is no norm.
func newNorm(x *Value, atom, y poly, r root) *norm {
	n := &norm{x: x}
	mean := atom.mean(r.axes)
	square, squareOfMean := atom.pow(2).mean(r.axes), mean.pow(2)
	factor := 0.0
	for _, t := range r.under {
		switch one := (poly{{1, t.factors}}); {
		case len(t.factors) == 0 && t.coef >= 0:
			n.epsilon = t.coef
		case one.equal(square):
			factor = t.coef
		case one.equal(squareOfMean):
			n.lessMean = true
		default:
			return nil
		}
	}
	variance := square.times(factor).plus(constantPoly(n.epsilon))
	if n.lessMean {
		variance = variance.plus(squareOfMean.times(-factor))
	}
	if factor <= 0 || !variance.equal(r.under) {
		return nil
	}
	if !n.split(y, atom, mean, (&root{atom: r.atom}).inverse()) {
		return nil
	}
	n.scale, n.epsilon = n.scale.times(1/math.Sqrt(factor)), n.epsilon/factor
	return n
}

// inverse returns the inverse root.
func (r *root) inverse() poly { return poly{{1, []factor{{r.atom, -0.5}}}} }

// split finds scale and bias in y = scale*(x-mean)*inverse + bias.
func (n *norm) split(y, x, mean, inverse poly) bool {
	over := x.mul(inverse)
	for _, t := range y {
		if rest, ok := t.without(over[0]); ok && rest.isConstant() {
			n.scale = append(n.scale, rest)
		}
		if t.isConstant() {
			n.bias = append(n.bias, t)
		}
	}
	n.scale, n.bias = collect(n.scale), collect(n.bias)
	whole := n.scale.mul(over).plus(n.bias)
	if n.lessMean {
		whole = whole.plus(n.scale.mul(mean).mul(inverse).times(-1))
	}
	return len(n.scale) > 0 && whole.equal(y)
}

// without returns t divided by u, if u is a part of it.
func (t term) without(u term) (term, bool) {
	rest := term{coef: t.coef / u.coef}
	left := len(u.factors)
	for _, f := range t.factors {
		if i := slices.IndexFunc(u.factors, func(g factor) bool { return g.key == f.key && g.exp == f.exp }); i >= 0 {
			left--
			continue
		}
		rest.factors = append(rest.factors, f)
	}
	return rest, left == 0
}

// isConstant reports whether t is a product of constants.
func (t term) isConstant() bool {
	return !slices.ContainsFunc(t.factors, func(f factor) bool { return !f.value.IsConst() || f.value.Const.DType() != tensor.Float32 })
}

// function returns the normalization as an operator whose scale and bias are broadcast to the shape; nil if they do not fit it.
func (n *norm) function(operator string, shape []int, bias bool) *function {
	f := &function{operator: operator, x: n.x, attrs: op.Attrs{"epsilon": float32(n.epsilon)}}
	polys := []poly{n.scale}
	if bias {
		polys = append(polys, n.bias)
	}
	if n.x.Type.DType != tensor.Float32 {
		return nil
	}
	for _, p := range polys {
		t, err := constantOf(p)
		if err != nil {
			return nil
		}
		if t = broadcastTo(t, shape); t == nil {
			return nil
		}
		f.constants = append(f.constants, t)
	}
	return f
}

// instanceNorm returns the normalization of each channel.
func (n *norm) instanceNorm() *function {
	shape := slices.Clone(n.x.Type.Shape[1:])
	for i := range shape[1:] {
		shape[1+i] = 1
	}
	f := n.function("InstanceNormalization", shape, true)
	if f == nil {
		return nil
	}
	for i, t := range f.constants {
		f.constants[i] = tensor.From(t.F32(), t.Len())
	}
	return f
}

// broadcastTo returns t broadcast to the shape, nil if it is larger.
func broadcastTo(t *tensor.Tensor, shape []int) *tensor.Tensor {
	if slices.Min(shape) < 1 {
		return nil
	}
	own := t.Shape()
	for len(own) > len(shape) && own[0] == 1 {
		own = own[1:]
	}
	t, err := t.Reshape(own...)
	if err != nil {
		return nil
	}
	wide, err := elementwise("Add", t, tensor.New(tensor.Float32, shape...))
	if err != nil || !slices.Equal(wide.Shape(), shape) {
		return nil
	}
	return wide
}
