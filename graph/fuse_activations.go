package graph

import (
	"math"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// FuseActivations makes one node of a hard-swish, x*clip(x+3, 0, 6)/6 or
// x*HardSigmoid(x), and of a GELU, x*(1+erf(x/sqrt(2)))/2, which exporters
// write out for older operator sets. As parts, each intermediate result would
// be rounded. The operators are of the sets 14 and 20; the writer sees to it.
func FuseActivations(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	for _, n := range g.Nodes {
		p := factorsOf(g, n, uses)
		if p == nil || len(p.factors) != 2 {
			continue
		}
		for i, gate := range p.factors {
			x := p.factors[1-i]
			operator := ""
			switch {
			case near(p.constant, 1.0/6) && isClipGate(gate, x), near(p.constant, 1) && isHardSigmoidGate(gate, x):
				operator = "HardSwish"
			case near(p.constant, 0.5) && isErfGate(gate, x):
				operator = "Gelu"
			default:
				continue
			}
			*n = Node{Name: n.Name, Op: operator, Attrs: op.Attrs{}, Inputs: []*Value{x}, Outputs: n.Outputs}
			count++
			break
		}
	}
	return count, g.Sort()
}

// factors are a product of values and a constant.
type factors struct {
	constant float64
	factors  []*Value
}

// factorsOf takes apart a product: a Mul, or a Div by a constant, and those
// before it that nothing else reads. It is nil if n is none.
func factorsOf(g *Graph, n *Node, uses map[*Value][]*Node) *factors {
	if n.Domain != "" || n.Op != "Mul" && n.Op != "Div" || len(n.Inputs) != 2 {
		return nil
	}
	p := &factors{constant: 1}
	for i, v := range n.Inputs {
		k, isNumber := number(v)
		switch {
		case isNumber && n.Op == "Div" && i == 1:
			p.constant /= k
		case isNumber && n.Op == "Mul":
			p.constant *= k
		case n.Op == "Div" && i == 1:
			return nil
		default:
			p.multiply(g, v, uses)
		}
	}
	return p
}

func (p *factors) multiply(g *Graph, v *Value, uses map[*Value][]*Node) {
	if v != nil && v.Node != nil && len(uses[v]) == 1 && !g.IsOutput(v) && len(p.factors) < 3 {
		if inner := factorsOf(g, v.Node, uses); inner != nil {
			p.constant *= inner.constant
			p.factors = append(p.factors, inner.factors...)
			return
		}
	}
	p.factors = append(p.factors, v)
}

// number returns the value of a float constant of one element.
func number(v *Value) (float64, bool) {
	if !v.IsConst() || v.Const.Len() != 1 || !v.Const.DType().IsFloat() {
		return 0, false
	}
	return v.Const.Float64s()[0], true
}

// near reports whether a is b but for the rounding of float16 constants.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-3*math.Abs(b) }

// isClipGate recognises clip(x+3, 0, 6).
func isClipGate(v, x *Value) bool {
	n := producer(v, "Clip")
	if n == nil || n.In(0) == nil {
		return false
	}
	low, okLow := clipMin(n)
	high, okHigh := clipMax(n)
	return okLow && okHigh && low == 0 && high == 6 && isSum(n.In(0), x, 3)
}

// isHardSigmoidGate recognises HardSigmoid(x) of slope 1/6.
func isHardSigmoidGate(v, x *Value) bool {
	n := producer(v, "HardSigmoid")
	return n != nil && n.In(0) == x && near(float64(n.Attrs.Float("alpha", 0.2)), 1.0/6) && near(float64(n.Attrs.Float("beta", 0.5)), 0.5)
}

// isErfGate recognises 1 + erf(x/sqrt(2)).
func isErfGate(v, x *Value) bool {
	n := producer(v, "Add")
	if n == nil {
		return false
	}
	for i, in := range n.Inputs {
		erf := producer(in, "Erf")
		if erf == nil || !isSum(v, in, 1) || i > 1 {
			continue
		}
		scaled := erf.In(0)
		for _, operator := range []string{"Div", "Mul"} {
			m := producer(scaled, operator)
			if m == nil || len(m.Inputs) != 2 {
				continue
			}
			k, ok := number(m.Inputs[1])
			if operator == "Div" {
				k = 1 / k
			} else if first, isFirst := number(m.Inputs[0]); isFirst {
				return near(first, math.Sqrt2/2) && m.Inputs[1] == x
			}
			return ok && near(k, math.Sqrt2/2) && m.Inputs[0] == x
		}
	}
	return false
}

// isSum recognises x + k.
func isSum(v, x *Value, k float64) bool {
	n := producer(v, "Add")
	if n == nil || len(n.Inputs) != 2 {
		return false
	}
	for i, in := range n.Inputs {
		if c, ok := number(in); ok && near(c, k) && n.Inputs[1-i] == x {
			return true
		}
	}
	return false
}

// producer returns the node that makes v if it is of the operator, else nil.
func producer(v *Value, operator string) *Node {
	if v == nil || v.Node == nil || v.Node.Op != operator || v.Node.Domain != "" {
		return nil
	}
	return v.Node
}

// clipMax returns the upper bound of a Clip, false if there is none that is
// constant.
func clipMax(n *Node) (float64, bool) {
	if n.Attrs.Has("max") {
		return float64(n.Attrs.Float("max", 0)), true
	}
	if high := n.In(2); high.IsConst() && high.Const.Len() == 1 && high.Const.DType() != tensor.String {
		return high.Const.Float64s()[0], true
	}
	return 0, false
}
