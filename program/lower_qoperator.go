package program

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// The operators of this file say themselves how their inputs and outputs are
// quantized: the QOperator format. They become the same steps as the float
// operators between DequantizeLinear and QuantizeLinear.

// bytesAt reads the quantized tensor whose value, scale and zero point are
// inputs i, i+1 and i+2.
func (b *builder) bytesAt(n *graph.Node, i int) (*graph.Value, *quant, bool) {
	v := n.In(i)
	if b.Float || v == nil || b.isConst(v) || !b.fits(v) {
		return nil, nil, false
	}
	c, ok := b.codingOf(n.In(i+1), n.In(i+2), b.typeOf(v).DType)
	return v, &quant{&b.value(v).forms, c}, ok
}

// ownTarget reads scale and zero point of the output from inputs i and i+1.
func (b *builder) ownTarget(n *graph.Node, i int) (target, bool) {
	y := n.Outputs[0]
	if n.In(i) == nil || !b.fits(y) {
		return target{}, false
	}
	c, ok := b.codingOf(n.In(i), n.In(i+1), b.typeOf(y).DType)
	lo, hi := c.bounds()
	return target{out: y, Coding: c, lo: lo, hi: hi}, ok
}

// lowerQLinearConv: x, w and their codings, that of y, the bias.
func lowerQLinearConv(b *builder, n *graph.Node) bool {
	v, x, ok := b.bytesAt(n, 0)
	t, ok2 := b.ownTarget(n, 6)
	if !ok || !ok2 || !b.isConst(n.In(3)) {
		return false
	}
	w, ok := b.matrixOf(n.In(3), n.In(4), n.In(5), 0)
	return ok && b.integerConv(n, v, x, w, n.In(8), &t)
}

// lowerQLinearMatMul: a, b and their codings, that of y.
func lowerQLinearMatMul(b *builder, n *graph.Node) bool {
	return b.quantizedMatrix(n, nil, 6, false)
}

// lowerQGemm: a, b and their codings, the bias, the coding of y, without which y is float.
func lowerQGemm(b *builder, n *graph.Node) bool {
	if n.Attrs.Int("transA", 0) != 0 || n.Attrs.Float("alpha", 1) != 1 {
		return false
	}
	return b.quantizedMatrix(n, n.In(6), 7, n.Attrs.Int("transB", 0) != 0)
}

func (b *builder) quantizedMatrix(n *graph.Node, bias *graph.Value, output int, transB bool) bool {
	v, x, ok := b.bytesAt(n, 0)
	t, ok2 := b.ownTarget(n, output)
	if n.In(output) == nil {
		t, ok2 = target{out: n.Outputs[0]}, b.fits(n.Outputs[0])
	}
	if !ok || !ok2 || !b.isConst(n.In(3)) || b.rank(n.In(3)) != 2 || b.rank(v) < 2 {
		return false
	}
	shape := b.shape(n.In(3))
	p := product{a: v, b: n.In(3), c: bias, k: shape[0], n: shape[1], transB: transB}
	axis := 1
	if transB {
		p.k, p.n, axis = p.n, p.k, 0
	}
	w, ok := b.matrixOf(p.b, n.In(4), n.In(5), axis)
	return ok && b.integerProduct(n, p, x, w, &t)
}

// lowerQLinearBinary: a, b and their codings, that of y.
func lowerQLinearBinary(b *builder, n *graph.Node) bool {
	xv, x, ok := b.bytesAt(n, 0)
	zv, z, ok2 := b.bytesAt(n, 3)
	t, ok3 := b.ownTarget(n, 6)
	return ok && ok2 && ok3 && b.integerBinary(n, xv, zv, x, z, t)
}

// lowerQLinearPool: x and its coding, that of y.
func lowerQLinearPool(b *builder, n *graph.Node) bool {
	v, x, ok := b.bytesAt(n, 0)
	t, ok2 := b.ownTarget(n, 3)
	if !ok || !ok2 || n.Attrs.Int("channels_last", 0) != 0 {
		return false
	}
	win, countPad, ok := b.poolOf(n)
	if !ok || !b.meanOfBytes(n, win, countPad) {
		return false
	}
	b.averageStep(n, v, x, win, t)
	return true
}

// lowerQLinearTable: x and its coding, that of y; the function is computed for all bytes.
func lowerQLinearTable(b *builder, n *graph.Node) bool {
	v, x, ok := b.bytesAt(n, 0)
	t, ok2 := b.ownTarget(n, 3)
	if !ok || !ok2 {
		return false
	}
	table, ok := b.tableOfBytes(n, b.typeOf(v).DType)
	if !ok {
		return false
	}
	b.tableStep(x, v, t.out, t.Coding, table, n)
	return true
}

// tableOfBytes runs a node on all bytes of type d.
func (b *builder) tableOfBytes(n *graph.Node, d tensor.DType) (*[256]uint8, bool) {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil {
		return nil, false
	}
	all := tensor.New(d, 256)
	for q, bytes := 0, all.Bytes(); q < 256; q++ {
		bytes[q] = uint8(q)
	}
	c := b.call(n, b.constant)
	c.In[0] = all
	if err := o.Run(c); err != nil || c.Out[0].Len() != 256 || !bytewide(c.Out[0].DType()) {
		return nil, false
	}
	return (*[256]uint8)(c.Out[0].Clone().Bytes()), true
}

// lowerQLinearConcat: the coding of y, then each input and its coding.
func lowerQLinearConcat(b *builder, n *graph.Node) bool {
	if len(n.Inputs) < 5 || (len(n.Inputs)-2)%3 != 0 {
		return false
	}
	t, ok := b.ownTarget(n, 0)
	if !ok {
		return false
	}
	rank := b.rank(t.out)
	axis := n.Attrs.Int("axis", 0)
	if axis < 0 {
		axis += rank
	}
	l, side, ok := along(axis, rank)
	if !ok {
		return false
	}
	var vs []*graph.Value
	var qs []*quant
	for i := 2; i < len(n.Inputs); i += 3 {
		v, q, ok := b.bytesAt(n, i)
		if !ok {
			return false
		}
		vs, qs = append(vs, v), append(qs, q)
	}
	whole := b.join(n, b.inCoding(n, vs, qs, t.Coding, l), t.out, l, side)
	whole.Coding = t.Coding
	b.value(t.out).in[l] = whole
	return true
}
