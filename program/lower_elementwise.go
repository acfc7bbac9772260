package program

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// inOwnLayout returns v, a Float32 value, in the layout in which it is already.
func (b *builder) inOwnLayout(v *graph.Value) *Tensor {
	val := b.value(v)
	b.ensure(v, val)
	return b.ownForm(v, &val.forms)
}

// like makes a tensor for v with images of the size of src, and makes it v's form.
func (b *builder) like(v *graph.Value, src *Tensor) *Tensor {
	dst := b.own(src.like(src.DType))
	dst.Name = v.Name
	b.value(v).in[src.Layout] = dst
	return dst
}

// elements returns how many a sample has.
func (t *Tensor) elements() int { return t.H * t.W * t.C }

// lowerUnary computes an operator of one operand, element by element.
func lowerUnary(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.typeOf(x).DType != tensor.Float32 || !slices.Equal(b.shape(x), b.shape(y)) {
		return false
	}
	if b.quantizedUnary(n) {
		return true
	}
	m := b.mapOf(n)
	if m == nil {
		return false
	}
	m.In = b.inOwnLayout(x)
	m.Out = b.like(y, m.In)
	b.step(n.Op, Float, m).of(n).Ops = 4 * m.Out.elements()
	return true
}

// mapOf returns the function of a node of one operand, nil if there is none.
func (b *builder) mapOf(n *graph.Node) *Map {
	switch f := Func(n.Op); f {
	case Sigmoid, Tanh, Erf, Exp, HardSwish, Neg:
		return &Map{Func: f}
	case LeakyRelu:
		return &Map{Func: f, A: n.Attrs.Float("alpha", 0.01)}
	case HardSigmoid:
		return &Map{Func: f, A: n.Attrs.Float("alpha", 0.2), B: n.Attrs.Float("beta", 0.5)}
	case Gelu:
		if n.Attrs.String("approximate", "none") == "none" {
			return &Map{Func: f}
		}
	case Swish:
		if n.Attrs.Float("alpha", 1) == 1 {
			return &Map{Func: f}
		}
	}
	if lo, hi, ok := b.clamp(n); ok {
		return &Map{Func: Clamp, A: lo, B: hi}
	}
	return nil
}

// lowerBinary computes Add, Sub, Mul, Div, Max and Min of two tensors of one
// shape, or with numbers by channel.
func lowerBinary(b *builder, n *graph.Node) bool {
	y := n.Outputs[0]
	if len(n.Inputs) != 2 || !b.fits(y) || b.typeOf(y).DType != tensor.Float32 {
		return false
	}
	if b.quantizedBinary(n) {
		return true
	}
	a, c := n.In(0), n.In(1)
	switch {
	case b.isConst(c) && b.affineBy(n, a, c), b.isConst(a) && b.affineBy(n, c, a):
		return true
	case b.isConst(a) || b.isConst(c):
		return false
	case slices.Equal(b.shape(a), b.shape(y)) && slices.Equal(b.shape(c), b.shape(y)):
		b.binaryStep(n, a, c)
		return true
	case b.gate(n, a, c), b.gate(n, c, a), b.rowGate(n, a, c), b.rowGate(n, c, a):
		return true
	}
	return false
}

// binaryStep computes a node of two tensors of one shape, and a clamp behind it.
func (b *builder) binaryStep(n *graph.Node, x, z *graph.Value) {
	left, right := b.sameLayout(x, z)
	t := b.follow(n.Outputs[0], 0, 0, false, false)
	b.claim(t)
	a := &Binary{A: left, B: right, Out: b.like(t.out, left), Op: n.Op, Lo: t.lo, Hi: t.hi}
	b.step(n.Op, Float, a).of(n).of(t.nodes...).labelled().Ops = 4 * a.Out.elements()
}

// sameLayout returns two values of one shape in the same layout, the
// one that costs less.
func (b *builder) sameLayout(x, z *graph.Value) (*Tensor, *Tensor) {
	left := b.inOwnLayout(x)
	if other := b.value(z); left.Layout == Plain && other.in[Last] != nil && other.in[Plain] == nil {
		return b.float(x, Last), other.in[Last]
	}
	return left, b.float(z, left.Layout)
}

// affineBy computes x op k for a constant k that has one number for each
// channel, in the layout x is in, or one for all.
func (b *builder) affineBy(n *graph.Node, x, k *graph.Value) bool {
	y := n.Outputs[0]
	if !b.fits(x) || !slices.Equal(b.shape(x), b.shape(y)) || b.value(x) == nil {
		return false
	}
	src, numbers := b.channelLayout(x, k)
	if src == nil {
		return false
	}
	if n.Op == "Div" && k == n.In(1) { // multiplying by the reciprocal would round twice
		a := &ChannelDivide{In: src, Out: b.like(y, src), By: numbers}
		b.step(n.Op, Float, a).of(n).Ops = 4 * a.Out.elements()
		return true
	}
	scale, shift := make([]float32, src.C), make([]float32, src.C)
	for i := range scale {
		scale[i] = 1
		switch v := numbers[i]; n.Op {
		case "Add":
			shift[i] = v
		case "Mul":
			scale[i] = v
		case "Sub":
			if shift[i] = -v; k == n.In(0) {
				scale[i], shift[i] = -1, v
			}
		default:
			return false
		}
	}
	b.affineStep(n, src, scale, shift)
	return true
}

// channelLayout returns x in a layout in which constant k has one number for each channel, and the numbers;
// nil if there is none.
func (b *builder) channelLayout(x, k *graph.Value) (*Tensor, []float32) {
	rank, shape := b.rank(x), b.shape(x)
	own := b.inOwnLayout(x)
	for _, l := range []Layout{own.Layout, 1 - own.Layout} {
		if l == Last && (rank < 2 || rank > 4) {
			continue
		}
		axis := rank - 1
		if l == Last {
			axis = 1
		}
		if rank > 1 {
			if numbers := b.perChannel(k, rank, shape[axis], axis); numbers != nil {
				return b.float(x, l), numbers
			}
		}
	}
	return nil, nil
}

// affineStep computes x*scale + shift by channel, and a clamp behind it.
func (b *builder) affineStep(n *graph.Node, src *Tensor, scale, shift []float32) {
	t := b.follow(n.Outputs[0], 0, 0, false, false)
	b.claim(t)
	a := &ChannelAffine{In: src, Out: b.like(t.out, src), Scale: scale, Shift: shift, Lo: t.lo, Hi: t.hi}
	b.step(n.Op, Float, a).of(n).of(t.nodes...).labelled().Ops = 4 * a.Out.elements()
}

// gate computes x op g where g has one number for each sample and channel of
// x: the squeeze-and-excitation product.
func (b *builder) gate(n *graph.Node, x, g *graph.Value) bool {
	xs, gs := b.shape(x), b.shape(g)
	if len(xs) != len(gs) || len(xs) < 3 || len(xs) > 4 || !slices.Equal(xs[:2], gs[:2]) || tensor.Volume(gs[2:]) != 1 || !slices.Equal(xs, b.shape(n.Outputs[0])) {
		return false
	}
	b.pixelGate(n, b.float(x, Last), b.float(g, Last), x == n.In(1))
	return true
}

// rowGate computes x op g where g has one number for each sample and index of the last dimension:
// a mask of keys, which is added to the scores of all queries.
func (b *builder) rowGate(n *graph.Node, x, g *graph.Value) bool {
	xs, gs := b.shape(x), b.shape(g)
	rank := len(xs)
	if rank < 3 || len(gs) != rank || gs[0] != xs[0] || gs[rank-1] != xs[rank-1] || tensor.Volume(gs[1:rank-1]) != 1 || !slices.Equal(xs, b.shape(n.Outputs[0])) {
		return false
	}
	b.pixelGate(n, b.float(x, Plain), b.float(g, Plain), x == n.In(1))
	return true
}

// pixelGate computes every pixel of src with the only one of by, which is the first operand with swap.
func (b *builder) pixelGate(n *graph.Node, src, by *Tensor, swap bool) {
	a := &Binary{A: src, B: by, Out: b.like(n.Outputs[0], src), Op: n.Op, PerChannel: true, Lo: -inf, Hi: inf}
	if swap && n.Op != "Add" && n.Op != "Mul" {
		a.A, a.B, a.Swap = by, src, true
	}
	b.step(n.Op, Float, a).of(n).Ops = 4 * a.Out.elements()
}

// lowerBatchNorm computes an inference BatchNormalization as x*scale + shift.
func lowerBatchNorm(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.rank(x) < 2 || b.rank(x) > 4 || b.typeOf(x).DType != tensor.Float32 || n.Attrs.Int("training_mode", 0) != 0 {
		return false
	}
	gamma, beta, mean, variance := b.floats(n.In(1)), b.floats(n.In(2)), b.floats(n.In(3)), b.floats(n.In(4))
	c := b.shape(x)[1]
	if len(gamma) != c || len(beta) != c || len(mean) != c || len(variance) != c {
		return false
	}
	scale, shift := make([]float32, c), make([]float32, c)
	for i := range scale {
		k := float64(gamma[i]) / math.Sqrt(float64(variance[i])+float64(n.Attrs.Float("epsilon", 1e-5)))
		scale[i] = float32(k)
		shift[i] = float32(float64(beta[i]) - float64(k*float64(mean[i])))
	}
	b.affineStep(n, b.float(x, Last), scale, shift)
	return true
}

// quantizedUnary lowers functions of one byte, and chains of them, to a table.
func (b *builder) quantizedUnary(n *graph.Node) bool {
	x := b.quantOf(n.In(0))
	if x == nil {
		b.why = "its input is not quantized"
		return false
	}
	nodes := []*graph.Node{n}
	y := n.Outputs[0]
	for {
		next := b.single(y)
		if next == nil || b.done[next] || !next.Traits().Function || next.In(0) != y {
			break
		}
		nodes, y = append(nodes, next), next.Outputs[0]
	}
	next := b.single(y)
	if next == nil || next.Op != "QuantizeLinear" {
		return b.clampBytes(n, x)
	}
	c, ok := b.outputCoding(next)
	if !ok {
		b.why = "its result is not quantized to 8 bits with one scale"
		return false
	}
	table, ok := b.tableOf(nodes, x.Coding, c)
	if !ok {
		return false
	}
	nodes = append(nodes, next)
	for _, m := range nodes {
		b.done[m] = true
	}
	b.tableStep(x, n.In(0), next.Outputs[0], c, table, nodes...)
	return true
}

// tableOf computes a chain of functions for all bytes by their reference kernels.
func (b *builder) tableOf(nodes []*graph.Node, from, to Coding) (*[256]uint8, bool) {
	numbers := make([]float32, 256)
	for q := range numbers {
		numbers[q] = from.Number(from.ofBits(uint8(q)))
	}
	t := tensor.From(numbers, len(numbers))
	for _, n := range nodes {
		o, err := op.Lookup(n.Domain, n.Op)
		if err != nil {
			return nil, false
		}
		c := b.call(n, func(v *graph.Value) *tensor.Tensor {
			if v == n.In(0) {
				return t
			}
			return b.constant(v)
		})
		if err := o.Run(c); err != nil || c.Out[0].Len() != 256 || c.Out[0].DType() != tensor.Float32 {
			return nil, false
		}
		t = c.Out[0]
	}
	var table [256]uint8
	for q, x := range t.F32() {
		table[q] = bits(to.Code(x))
	}
	return &table, true
}

// clampBytes lowers a Relu or Clip whose result is not quantized anew: it keeps the coding.
func (b *builder) clampBytes(n *graph.Node, x *quant) bool {
	lo, hi, ok := b.clamp(n)
	_, top := x.bounds()
	if !ok || lo > -inf && x.Number(x.Code(lo)) != lo || hi < inf && x.Number(x.Code(hi)) < hi && x.Code(hi) != top {
		b.why = "its result is not quantized"
		return false
	}
	if hi < inf && x.Number(top) > hi && x.Number(x.Code(hi)) != hi {
		b.why = "its result is not quantized"
		return false
	}
	qlo, qhi := x.clampTo(lo, hi)
	var table [256]uint8
	for q := range table {
		table[q] = bits(min(max(x.ofBits(uint8(q)), qlo), qhi))
	}
	src := b.ownForm(n.In(0), x.forms)
	dst := b.coded(b.own(src.like(x.Type)), n.Outputs[0], x.Coding)
	f := &forms{}
	f.in[src.Layout] = dst
	b.value(n.Outputs[0]).quant = &quant{f, x.Coding}
	b.lookUp(dst, src, &table).of(n)
	return true
}

// quantizedBinary lowers Add, Sub and Mul of two quantized tensors.
func (b *builder) quantizedBinary(n *graph.Node) bool {
	x, z := b.quantOf(n.In(0)), b.quantOf(n.In(1))
	if x == nil || z == nil {
		b.why = "not all its inputs are quantized"
		return false
	}
	if n.Op != "Add" && n.Op != "Sub" && n.Op != "Mul" {
		b.why = "there is no integer " + n.Op
		return false
	}
	same := slices.Equal(b.shape(n.In(0)), b.shape(n.In(1)))
	if !same && n.Op != "Mul" {
		b.why = "its inputs have different shapes"
		return false
	}
	t, ok := b.targetOf(n.Outputs[0])
	if !ok {
		return false
	}
	if !b.integerBinary(n, n.In(0), n.In(1), x, z, t) {
		return false
	}
	b.claimTarget(t)
	return true
}

// integerBinary adds the step of an addition, subtraction or multiplication of bytes.
func (b *builder) integerBinary(n *graph.Node, xv, zv *graph.Value, x, z *quant, t target) bool {
	xs, zs := b.shape(xv), b.shape(zv)
	product, perChannel := n.Op == "Mul" || n.Op == "QLinearMul", false
	if !slices.Equal(xs, zs) {
		if len(xs) == len(zs) && tensor.Volume(xs) < tensor.Volume(zs) {
			xv, zv, x, z, xs, zs = zv, xv, z, x, zs, xs
		}
		if len(xs) != 4 || len(zs) != 4 || !slices.Equal(xs[:2], zs[:2]) || zs[2]*zs[3] != 1 || !product {
			b.why = "its inputs have different shapes"
			return false
		}
		perChannel = true
	}
	left := b.ownForm(xv, x.forms)
	if perChannel {
		left = b.form(xv, x.forms, Last)
	}
	right := b.form(zv, z.forms, left.Layout)
	dst := b.coded(b.own(left.like(t.Type)), t.out, t.Coding)
	b.value(t.out).in[left.Layout] = dst
	var a Action
	if product {
		a = &Mul{A: left, B: right, Out: dst, ZeroA: x.Zero, ZeroB: z.Zero, PerChannel: perChannel,
			Requant: b.rescale(n, []float32{ratio(x.Scale, z.Scale, t.Scale)}, t)}
	} else {
		a = &Add{A: left, B: right, Out: dst, Sum: b.addition(n, x.Coding, z.Coding, n.Op == "Sub", t)}
	}
	b.step(n.Op, Integer, a).of(n).of(t.nodes...).Ops = 4 * dst.elements()
	return true
}
