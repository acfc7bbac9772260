package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// poly is a sum of products in a normal form: what exporters write in a dozen ways (a division or a product by a reciprocal, a power or
// a square root, a constant on either side, E[(x-m)^2] or E[x^2]-m^2) has one. The terms are sorted by their keys, which differ. An empty poly is 0.
type poly []term

// term is a number times powers of atoms, sorted by their keys.
type term struct {
	coef    float64
	factors []factor
}

type factor struct {
	*atom
	exp float64
}

// atom is what the normal form does not look into: a value, or a function of a poly.
type atom struct {
	key   string
	value *Value // not nil for a value
	fn    string // "mean" and "max" over axes that are kept, "base" of a power, "exp", "log", "erf", "sigmoid", "clip" to [0,1], "relu"
	arg   poly
	axes  []int
}

// Bounds on the size of normal forms: past them an expression is an atom.
const (
	maxTerms  = 16
	maxDegree = 4
)

func number(v *Value) (float64, bool) {
	if !v.IsConst() || v.Const.Len() != 1 || !v.Const.DType().IsFloat() {
		return 0, false
	}
	return v.Const.Float64s()[0], true
}

// near reports whether a is b but for the rounding of float16 constants.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-3*math.Abs(b) }

func constantPoly(c float64) poly {
	if c == 0 {
		return nil
	}
	return poly{{coef: c}}
}

func (a *atom) poly() poly { return poly{{1, []factor{{a, 1}}}} }

// newAtom returns a function of arg.
func newAtom(fn string, arg poly, axes ...int) *atom {
	key := fn + "(" + arg.key() + ")"
	if len(axes) > 0 {
		key = fmt.Sprint(fn, axes, "(", arg.key(), ")")
	}
	return &atom{key: key, fn: fn, arg: arg, axes: axes}
}

func (t *term) key() string {
	var b strings.Builder
	for _, f := range t.factors {
		fmt.Fprintf(&b, "*%s^%g", f.key, f.exp)
	}
	return b.String()
}

func (p poly) key() string {
	var b strings.Builder
	for i := range p {
		fmt.Fprintf(&b, "%+.4g%s", p[i].coef, p[i].key())
	}
	return b.String()
}

// equal reports whether p and q are the same but for the rounding of their constants.
func (p poly) equal(q poly) bool {
	return slices.EqualFunc(p, q, func(a, b term) bool {
		return near(a.coef, b.coef) && slices.EqualFunc(a.factors, b.factors, func(a, b factor) bool {
			return a.exp == b.exp && a.atom.equal(b.atom)
		})
	})
}

func (a *atom) equal(b *atom) bool {
	return a == b || a.key == b.key || a.fn == b.fn && a.value == b.value && slices.Equal(a.axes, b.axes) && a.arg.equal(b.arg)
}

func (p poly) times(c float64) poly {
	if c == 0 {
		return nil
	}
	out := slices.Clone(p)
	for i := range out {
		out[i].coef *= c
	}
	return out
}

func (p poly) plus(q poly) poly { return collect(append(slices.Clone(p), q...)) }

func (p poly) mul(q poly) poly {
	if len(p)*len(q) > maxTerms {
		return mulTerms(p.closed(), q.closed())
	}
	return mulTerms(p, q)
}

// closed returns p as one term: as the base of a power if it has several.
func (p poly) closed() poly {
	if len(p) <= 1 {
		return p
	}
	return newAtom("base", p).poly()
}

func mulTerms(p, q poly) poly {
	var out poly
	for _, a := range p {
		for _, b := range q {
			t := term{coef: a.coef * b.coef}
			for _, f := range append(slices.Clone(a.factors), b.factors...) {
				t.multiply(f)
			}
			out = append(out, t)
		}
	}
	return collect(out)
}

// multiply multiplies t by a power.
func (t *term) multiply(f factor) {
	i, found := slices.BinarySearchFunc(t.factors, f.key, func(g factor, key string) int { return strings.Compare(g.key, key) })
	if !found {
		t.factors = slices.Insert(slices.Clone(t.factors), i, f)
		return
	}
	t.factors = slices.Clone(t.factors)
	if t.factors[i].exp += f.exp; t.factors[i].exp == 0 {
		t.factors = slices.Delete(t.factors, i, i+1)
	}
}

// collect sorts terms and adds those up that differ in their numbers only.
func collect(terms poly) poly {
	slices.SortStableFunc(terms, func(a, b term) int { return strings.Compare(a.key(), b.key()) })
	var out poly
	for _, t := range terms {
		if n := len(out); n > 0 && out[n-1].key() == t.key() {
			if sum := out[n-1].coef + t.coef; math.Abs(sum) > 1e-6*math.Abs(t.coef) {
				out[n-1].coef = sum
			} else { // they cancel
				out = out[:n-1]
			}
			continue
		}
		out = append(out, t)
	}
	return out
}

// pow returns p to the power of e.
func (p poly) pow(e float64) poly {
	whole := e == math.Trunc(e)
	if len(p) > 1 && whole && e > 0 && e <= maxDegree {
		out := p
		for range int(e) - 1 {
			out = out.mul(p)
		}
		return out
	}
	if len(p) == 1 && (whole || p[0].hasRoot()) {
		t := term{coef: math.Pow(p[0].coef, e)}
		for _, f := range p[0].factors {
			t.factors = append(t.factors, factor{f.atom, f.exp * e})
		}
		return poly{t}
	}
	if e == -1 {
		if s := sigmoidOf(p); s != nil {
			return s
		}
	}
	return poly{{1, []factor{{newAtom("base", p), e}}}}
}

// hasRoot reports whether the root of t is the product of its factors' roots:
// not where an even power has made a negative number positive.
func (t *term) hasRoot() bool {
	return t.coef > 0 && !slices.ContainsFunc(t.factors, func(f factor) bool { return math.Mod(f.exp, 2) == 0 })
}

// sigmoidOf returns the sigmoid that 1/p is if p is 1+exp(-u).
func sigmoidOf(p poly) poly {
	if u := onePlusExp(p); u != nil {
		return newAtom("sigmoid", u.times(-1)).poly()
	}
	return nil
}

// onePlusExp returns the u of 1+exp(u), nil if p is something else.
func onePlusExp(p poly) poly {
	if len(p) != 2 || len(p[0].factors) != 0 || len(p[1].factors) != 1 || !near(p[0].coef, 1) || !near(p[1].coef, 1) {
		return nil
	}
	if f := p[1].factors[0]; f.fn == "exp" && f.exp == 1 {
		return f.arg
	}
	return nil
}

// log returns the logarithm of p; that of 1+exp(u), a softplus, is one as well.
func (p poly) log() poly { return newAtom("log", p).poly() }

// tanh is 2*sigmoid(2p)-1, so that forms by either are one.
func (p poly) tanh() poly {
	return newAtom("sigmoid", p.times(2)).poly().times(2).plus(constantPoly(-1))
}

func (p poly) softplus() poly {
	return constantPoly(1).plus(newAtom("exp", p).poly()).log()
}

// clip returns p within bounds, by a clip to [0,1] or a relu.
func (p poly) clip(lo, hi float64) poly {
	if c, k, u := p.overRelu(); u != nil { // bounded on one side already
		switch {
		case k > 0 && math.IsInf(lo, -1) && c < hi:
			return u.times(k).clip(0, hi-c).plus(constantPoly(c))
		case k < 0 && math.IsInf(hi, 1) && c > lo:
			return u.times(-k).clip(0, c-lo).times(-1).plus(constantPoly(c))
		}
	}
	switch {
	case math.IsInf(lo, -1):
		if math.IsInf(hi, 1) {
			return p
		}
		return constantPoly(hi).plus(constantPoly(hi).plus(p.times(-1)).clip(0, math.Inf(1)).times(-1))
	case math.IsInf(hi, 1):
		inner := p.plus(constantPoly(-lo))
		if inner.isVariance() {
			return p
		}
		return newAtom("relu", inner).poly().plus(constantPoly(lo))
	}
	width := hi - lo
	return newAtom("clip", p.plus(constantPoly(-lo)).times(1/width)).poly().times(width).plus(constantPoly(lo))
}

// overRelu takes c + k*relu(u) apart; u is nil if p is something else.
func (p poly) overRelu() (c, k float64, u poly) {
	terms := p
	if len(p) == 2 && len(p[0].factors) == 0 {
		c, terms = p[0].coef, p[1:]
	}
	if len(terms) != 1 || len(terms[0].factors) != 1 || terms[0].factors[0].fn != "relu" || terms[0].factors[0].exp != 1 {
		return 0, 0, nil
	}
	return c, terms[0].coef, terms[0].factors[0].arg
}

// isVariance reports whether p is the mean of squares less the square of the mean,
// which is never negative but for rounding.
func (p poly) isVariance() bool {
	for _, square := range p {
		if len(square.factors) != 1 || square.factors[0].fn != "mean" || square.factors[0].exp != 1 {
			continue
		}
		of := square.factors[0]
		if len(of.arg) != 1 || len(of.arg[0].factors) != 1 || of.arg[0].factors[0].exp != 2 {
			continue
		}
		x := of.arg[0].factors[0].atom.poly()
		variance := x.mul(x).mean(of.axes).plus(x.mean(of.axes).pow(2).times(-1)).times(square.coef)
		return p.equal(variance)
	}
	return false
}

// mean returns the mean over axes that are kept: it is linear, and what does not
// differ along the axes comes out of it.
func (p poly) mean(axes []int) poly {
	var out poly
	for _, t := range p {
		inside, outside := term{coef: 1}, term{coef: t.coef}
		for _, f := range t.factors {
			if f.constantAlong(axes) {
				outside.factors = append(outside.factors, f)
			} else {
				inside.factors = append(inside.factors, f)
			}
		}
		if len(inside.factors) > 0 {
			outside.multiply(factor{newAtom("mean", poly{inside}, axes...), 1})
		}
		out = append(out, outside)
	}
	return collect(out)
}

// constantAlong reports whether a has one value along the axes.
func (a *atom) constantAlong(axes []int) bool {
	if a.fn == "mean" || a.fn == "max" {
		return slices.Equal(a.axes, axes)
	}
	if a.value != nil {
		return false
	}
	for _, t := range a.arg {
		for _, f := range t.factors {
			if !f.constantAlong(axes) {
				return false
			}
		}
	}
	return true
}
