package program

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// product is a Gemm or MatMul by a constant matrix.
type product struct {
	a, b, c *graph.Value // c may be nil
	k, n    int
	transB  bool
}

// productOf recognizes y = a*b or a*b + c with constant b.
func (b *builder) productOf(n *graph.Node) (product, bool) {
	p := product{a: n.In(0), b: n.In(1)}
	if !b.isConst(p.b) || !b.fits(p.a) || !b.fits(n.Outputs[0]) || b.rank(p.b) != 2 || b.rank(p.a) < 2 {
		return p, false
	}
	if n.Op == "Gemm" {
		p.c = n.In(2)
		p.transB = n.Attrs.Int("transB", 0) != 0
		if n.Attrs.Float("alpha", 1) != 1 || p.c != nil && n.Attrs.Float("beta", 1) != 1 || n.Attrs.Int("transA", 0) != 0 {
			return p, false
		}
	}
	shape := b.shape(p.b)
	if p.k, p.n = shape[0], shape[1]; p.transB {
		p.k, p.n = p.n, p.k
	}
	return p, p.c == nil || b.isConst(p.c)
}

// lowerProduct computes Gemm and MatMul by a constant matrix, with the tail.
func lowerProduct(b *builder, n *graph.Node) bool {
	p, ok := b.productOf(n)
	if !ok {
		return lowerMatMul(b, n)
	}
	if b.quantizedProduct(n, p) {
		return true
	}
	if b.typeOf(p.a).DType != tensor.Float32 {
		return false
	}
	rank := b.rank(n.Outputs[0])
	var bias []float32
	if p.c != nil {
		if bias = b.perChannel(p.c, rank, p.n, rank-1); bias == nil {
			return false
		}
	}
	t := b.follow(n.Outputs[0], p.n, rank-1, p.c == nil, false)
	if p.c != nil {
		t.bias = bias
	}
	a := &MatMulFloat{K: p.k, N: p.n, Bias: t.bias, Lo: t.lo, Hi: t.hi}
	a.Weights = Weights{F32: b.floats(p.b)}.product(p.k, p.n, p.transB)
	a.In = b.rows(b.float(p.a, Plain))
	b.claim(t)
	a.Out = b.pin(b.floatResult(t.out, Plain))
	s := b.step("MatMul", Float, a).of(n).of(t.nodes...).labelled()
	s.Ops = 2 * a.Out.W * p.k * p.n
	return true
}

// rows returns a tensor in plain layout all of whose rows are equally far apart.
func (b *builder) rows(src *Tensor) *Tensor {
	if src.W == 1 || src.View == nil && src.Border == (Sides{}) {
		return b.pin(src)
	}
	return b.pin(b.copied(src, Sides{}, 0))
}
