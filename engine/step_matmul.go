package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// lowerMatMul computes products of two activations: a matrix product for each
// index of the dimensions before the last two, in which the operands agree.
func lowerMatMul(b *builder, n *graph.Node) bool {
	x, z, y := n.In(0), n.In(1), n.Outputs[0]
	rank := b.rank(x)
	if n.Op != "MatMul" || rank < 3 || rank != b.rank(z) || !b.fits(x) || !b.fits(z) || !b.fits(y) ||
		b.isConst(x) || b.isConst(z) || b.typeOf(x).DType != tensor.Float32 || b.typeOf(z).DType != tensor.Float32 {
		return false
	}
	if b.quantOf(x) != nil || b.quantOf(z) != nil {
		b.why = "products of two activations are computed in float"
	}
	xs, zs := b.shape(x), b.shape(z)
	if !slices.Equal(xs[:rank-2], zs[:rank-2]) {
		return false
	}
	rows, inner, cols := xs[rank-2], xs[rank-1], zs[rank-1]
	left, right := b.matrices(x), b.matrices(z)
	dst := b.pin(b.buffer(tensor.Float32, b.shape(y), plain))
	b.value(y).in[plain] = dst
	count := tensor.Volume(xs[1 : rank-2]) // matrices of a sample
	b.add(&step{
		name: n.Op, kind: Float, writes: []*buffer{dst}, reads: []*buffer{left, right}, nodes: []*graph.Node{n},
		ops:   2 * count * rows * inner * cols,
		units: func(samples int) int { return dst.count(samples) * count },
		run: func(c *call, w *worker, lo, hi int) error {
			for i := lo; i < hi; i++ {
				s, m := i/count, i%count
				p, q, out := left.f32(c, s).Data[m*rows*inner:], right.f32(c, s).Data[m*inner*cols:], dst.f32(c, s).Data[m*rows*cols:]
				asm.SgemmF32(false, false, rows, cols, inner, 1, p[:rows*inner], inner, q[:inner*cols], cols, 0, out[:rows*cols], cols)
			}
			return nil
		},
	})
	return true
}

// matrices returns v in plain order without gaps.
func (b *builder) matrices(v *graph.Value) *buffer {
	src := b.float(v, plain)
	if !src.gapless() {
		src = b.copied(src, sides{}, 0)
	}
	return b.pin(src)
}
