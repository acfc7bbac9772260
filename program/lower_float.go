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
	xs, zs := b.shape(x), b.shape(z)
	if !slices.Equal(xs[:rank-2], zs[:rank-2]) {
		return false
	}
	a := &Product{Count: tensor.Volume(xs[1 : rank-2]), Rows: xs[rank-2], Inner: xs[rank-1], Cols: zs[rank-1]}
	if b.quantizedMatMul(n, a) {
		return true
	}
	a.A, a.B = b.matrices(b.float(x, Plain)), b.matrices(b.float(z, Plain))
	a.Out = b.pin(b.floatResult(y, Plain))
	b.step(n.Op, Float, a).of(n).Ops = a.operations()
	return true
}

// operations returns how many a sample takes.
func (a *Product) operations() int { return 2 * a.Count * a.Rows * a.Inner * a.Cols }

// quantizedMatMul lowers a product of two quantized tensors. Its result is quantized, maybe after a
// multiplication or division by a number, or floats.
func (b *builder) quantizedMatMul(n *graph.Node, a *Product) bool {
	x, z := b.quantOf(n.In(0)), b.quantOf(n.In(1))
	if x == nil || z == nil {
		b.why = "not all its inputs are quantized"
		return false
	}
	if a.Inner > maxSumLength/2 { // bytes less their zero points have nine bits, in both
		b.why = "its sums do not fit 32 bits"
		return false
	}
	v, factor, scaled := b.scaledBy(n.Outputs[0])
	t, ok := b.targetOf(v)
	a.A, a.B, a.ZeroA = b.matrices(b.form(n.In(0), x.forms, Plain)), b.matrices(b.form(n.In(1), z.forms, Plain)), x.Zero
	a.ZeroB = z.Zero
	s := b.step(n.Op, Integer, a).of(n)
	s.Ops = a.operations()
	if !ok {
		b.why = ""
		a.Scale, a.Out = x.Scale*z.Scale, b.pin(b.floatResult(n.Outputs[0], Plain))
		return true
	}
	scale := ratio(x.Scale, z.Scale, t.Scale)
	if scaled != nil {
		scale = float32(float64(x.Scale) * float64(z.Scale) * factor / float64(t.Scale))
	}
	if _, bad := shiftsOf([]float32{scale}); bad >= 0 && b.requant == ModeShift || !(scale > 0) { // floats, that are rescaled behind it
		a.Scale, a.Out = x.Scale*z.Scale, b.pin(b.floatResult(n.Outputs[0], Plain))
		return true
	}
	a.Requant = b.rescale(n, []float32{scale}, t)
	a.Out = b.pin(b.coded(b.tensor(t.Type, b.shape(t.out), Plain), t.out, t.Coding))
	b.value(t.out).in[Plain] = a.Out
	if scaled != nil {
		b.done[scaled] = true
		s.of(scaled)
	}
	b.claimTarget(t)
	s.of(t.nodes...).labelled()
	return true
}

// scaledBy returns what the only reader of v, if it multiplies by a positive number or divides by one, makes of it, and by what.
func (b *builder) scaledBy(v *graph.Value) (out *graph.Value, factor float64, by *graph.Node) {
	n := b.single(v)
	if n == nil || b.done[n] || n.Op != "Mul" && (n.Op != "Div" || n.In(0) != v) || len(n.Inputs) != 2 {
		return v, 1, nil
	}
	k := b.constant(other(n, v))
	if k == nil || k.Len() != 1 || k.DType() != tensor.Float32 || !slices.Equal(b.shape(n.Outputs[0]), b.shape(v)) || !(k.F32()[0] > 0) {
		return v, 1, nil
	}
	if factor = float64(k.F32()[0]); n.Op == "Div" {
		factor = 1 / factor
	}
	return n.Outputs[0], factor, n
}

// matrices returns src, in plain layout, without gaps.
func (b *builder) matrices(src *Tensor) *Tensor {
	if !src.Gapless() {
		src = b.copied(src, Sides{}, 0)
	}
	return b.pin(src)
}
