package engine

import (
	"github.com/narrow-ml/narrow/asm"
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
	gemm := packedFor(b.net, n, "f32", func() *asm.GemmF32 {
		return asm.PackGemmF32(b.floats(p.b), p.k, p.n, p.transB, t.bias)
	})
	src := b.rows(b.float(p.a, plain))
	b.claim(t)
	dst := b.pin(b.buffer(tensor.Float32, b.shape(t.out), plain))
	b.value(t.out).in[plain] = dst
	s := b.add(productStep(dst, gemm.Panels(), func(c *call, first, rows, p0, p1 int) {
		from, to := src.off+first*src.sampleStep, dst.off+first*dst.sampleStep
		gemm.RunPanels(c.f32[to:to+(rows-1)*p.n+p.n], c.f32[from:], rows, p.lda(src), p.n, t.lo, t.hi, p0, p1)
	}))
	s.of(n).of(t.nodes...).reading(src)
	s.name = b.label(s.nodes...)
	s.ops = 2 * dst.w * p.k * p.n
	return true
}

// lda returns the distance of the rows of a: of samples of one row each, or
// of rows without gaps.
func (p product) lda(src *buffer) int {
	if src.w == 1 {
		return src.sampleStep
	}
	return p.k
}

// rows returns a buffer in plain order all of whose rows are equally far apart.
func (b *builder) rows(src *buffer) *buffer {
	if src.w == 1 || src.base == nil && src.border == (sides{}) {
		src.pinned = true
		return src
	}
	return b.pin(b.copied(src, sides{}, 0))
}

// pin makes sure that src stays without border and gaps.
func (b *builder) pin(src *buffer) *buffer {
	src.pinned = true
	return src
}

// productStep makes a step that multiplies rows of a by panels of a matrix: it
// is cut by panels where there are few rows, else by samples.
func productStep(dst *buffer, panels int, f func(c *call, first, rows, p0, p1 int)) *step {
	perSample := dst.w
	if perSample < 8 {
		return &step{
			kind: Float, writes: []*buffer{dst},
			units: func(int) int { return panels },
			run: func(c *call, w *worker, lo, hi int) error {
				f(c, 0, dst.count(c.n)*perSample, lo, hi)
				return nil
			},
		}
	}
	return &step{
		kind: Float, writes: []*buffer{dst},
		units: dst.count,
		run: func(c *call, w *worker, lo, hi int) error {
			f(c, lo, (hi-lo)*perSample, 0, panels)
			return nil
		},
	}
}
