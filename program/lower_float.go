package program

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// lowerSoftmax computes Softmax along the last dimension.
func lowerSoftmax(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.typeOf(x).DType != tensor.Float32 {
		return false
	}
	rank, def := b.rank(x), 1
	if b.graph.Opset[""] >= 13 {
		def = -1
	}
	if axis := n.Attrs.Int("axis", def); rank < 2 || axis != -1 && axis != rank-1 {
		return false
	}
	src := b.float(x, Plain)
	a := &Softmax{In: src, Out: b.like(y, src)}
	b.step(n.Op, Float, a).of(n).Ops = 16 * a.Out.elements()
	return true
}

// lowerLayerNorm computes LayerNormalization and RMSNormalization along the last dimension.
func lowerLayerNorm(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	rank := b.rank(x)
	if len(n.Outputs) > 1 || !b.fits(x) || !b.fits(y) || b.typeOf(x).DType != tensor.Float32 || rank < 2 {
		return false
	}
	if axis := n.Attrs.Int("axis", -1); axis != -1 && axis != rank-1 {
		return false
	}
	c := b.shape(x)[rank-1]
	scale, shift := b.floats(n.In(1)), make([]float32, c)
	if n.In(2) != nil {
		shift = b.floats(n.In(2))
	}
	if len(scale) != c || len(shift) != c {
		return false
	}
	src := b.float(x, Plain)
	a := &LayerNorm{In: src, Out: b.like(y, src), Centered: n.Op == "LayerNormalization", Scale: scale, Shift: shift, Epsilon: n.Attrs.Float("epsilon", 1e-5)}
	b.step(n.Op, Float, a).of(n).Ops = 8 * a.Out.W * c
	return true
}

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
	a := &Product{A: b.matrices(x), B: b.matrices(z), Count: tensor.Volume(xs[1 : rank-2]), Rows: xs[rank-2], Inner: xs[rank-1], Cols: zs[rank-1]}
	a.Out = b.pin(b.floatResult(y, Plain))
	b.step(n.Op, Float, a).of(n).Ops = 2 * a.Count * a.Rows * a.Inner * a.Cols
	return true
}

// matrices returns v in plain layout without gaps.
func (b *builder) matrices(v *graph.Value) *Tensor {
	src := b.float(v, Plain)
	if !src.Gapless() {
		src = b.copied(src, Sides{}, 0)
	}
	return b.pin(src)
}
