package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// quantizedPool lowers a pool of a quantized tensor: of bytes to bytes of the same coding
// for a maximum, to those of the QuantizeLinear behind it for a mean.
func (b *builder) quantizedPool(n *graph.Node, win window, countPad bool) bool {
	if n.Op == "MaxPool" {
		return b.bytesMaxPool(n, win)
	}
	x := b.quantOf(n.In(0))
	if x == nil {
		b.why = "its input is not quantized"
		return false
	}
	if !b.meanOfBytes(n, win, countPad) {
		return false
	}
	t, ok := b.targetOf(n.Outputs[0])
	if !ok {
		return false
	}
	b.claimTarget(t)
	b.averageStep(n, n.In(0), x, win, t)
	return true
}

// meanOfBytes reports whether all windows have the same number of elements.
func (b *builder) meanOfBytes(n *graph.Node, win window, countPad bool) bool {
	if win.pad != (sides{}) && !countPad {
		b.why = "its windows reach into a padding that does not count"
		return false
	}
	shape := b.shape(n.In(0))
	h, w := 1, shape[len(shape)-1]
	if len(shape) == 4 {
		h = shape[2]
	}
	oh, ow := outOf(b.shape(n.Outputs[0]))
	if fits := (oh-1)*win.stride[0]+(win.kernel[0]-1)*win.dilation[0] < h+win.pad.top+win.pad.bottom &&
		(ow-1)*win.stride[1]+(win.kernel[1]-1)*win.dilation[1] < w+win.pad.left+win.pad.right; !fits {
		b.why = "its last windows are cut off"
		return false
	}
	return true
}

// averageStep computes means of windows of bytes.
func (b *builder) averageStep(n *graph.Node, in *graph.Value, x *quant, win window, t target) {
	src := b.padded(b.form(in, x.forms, last), win.pad, uint32(x.zero))
	c, area := src.c, win.kernel[0]*win.kernel[1]
	req := b.average(n, x.scale/t.scale, area, c, t)
	if b.err != nil {
		return
	}
	h, w := outOf(b.shape(n.Outputs[0]))
	dst := b.own(&buffer{dtype: tensor.Uint8, order: last, samples: src.samples, h: h, w: w, c: c})
	b.value(t.out).in[last] = dst
	var s *step
	if h*w == 1 && win.kernel == [2]int{src.h, src.w} {
		s = sampleStep(n.Op, dst, func(cl *call, w *worker, s int) {
			asm.GlobalAvgPoolU8(dst.u8(cl, s).Data[:c], src.u8(cl, s), x.zero, req)
		})
	} else { // a depthwise convolution by ones
		conv := packedFor(b.net, n, "ones", func() *asm.ConvS8 {
			spec := win.convSpec()
			spec.Groups = c
			f, err := asm.PackConvS8(slices.Repeat([]int8{1}, c*area), nil, x.zero, c, c, spec)
			b.fail(n, err)
			return f
		})
		s = rowStep(n.Op, dst, func(cl *call, w *worker, s, y0, y1 int) {
			conv.Run(dst.u8(cl, s), src.u8(cl, s), req, nil, y0, y1)
		})
	}
	s.ops = h * w * c * area
	b.add(s.as(Integer).of(n).of(t.nodes...).reading(src))
}

// bytesMaxPool lowers MaxPool of bytes, or of what bytes stand for.
func (b *builder) bytesMaxPool(n *graph.Node, win window) bool {
	x, y := n.In(0), n.Outputs[0]
	if b.quantOf(x) == nil && storage(b.typeOf(x).DType) != tensor.Uint8 {
		b.why = "its input is not quantized"
		return false
	}
	h, w := outOf(b.shape(y))
	spec := win.convSpec()
	spec.Groups = 1
	from, to := b.moved(x, y)
	image := b.form(x, from, last)
	// With ceil_mode the last window may reach beyond the padding.
	pad := win.pad
	pad.bottom = max(pad.bottom, (h-1)*spec.StrideH+(spec.KH-1)*spec.DilationH+1-image.h-pad.top)
	pad.right = max(pad.right, (w-1)*spec.StrideW+(spec.KW-1)*spec.DilationW+1-image.w-pad.left)
	src := b.padded(image, pad, 0)
	dst := b.own(&buffer{dtype: tensor.Uint8, order: last, samples: src.samples, h: h, w: w, c: src.c})
	to.in[last] = dst
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		asm.MaxPoolU8(dst.u8(c, s), src.u8(c, s), spec, y0, y1)
	})
	s.ops = h * w * dst.c * spec.KH * spec.KW
	b.add(s.as(Integer).of(n).reading(src))
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
	table, ok := b.tableOf(nodes, x.coding, c)
	if !ok {
		return false
	}
	nodes = append(nodes, next)
	for _, m := range nodes {
		b.done[m] = true
	}
	b.tableStep(x, n.In(0), next.Outputs[0], table, nodes...)
	return true
}

// tableOf computes a chain of functions for all bytes by their reference kernels.
func (b *builder) tableOf(nodes []*graph.Node, from, to coding) (*[256]uint8, bool) {
	numbers := make([]float32, 256)
	for q := range numbers {
		numbers[q] = from.number(uint8(q))
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
	to.grid().Quantize(table[:], t.F32())
	return &table, true
}

// clampBytes lowers a Relu or Clip whose result is not quantized anew: it keeps the coding.
func (b *builder) clampBytes(n *graph.Node, x *quant) bool {
	lo, hi, ok := b.clamp(n)
	if !ok || lo > -inf && x.number(x.code(lo)) != lo || hi < inf && x.number(x.code(hi)) < hi && x.code(hi) != 255 {
		b.why = "its result is not quantized"
		return false
	}
	if hi < inf && x.number(255) > hi && x.number(x.code(hi)) != hi {
		b.why = "its result is not quantized"
		return false
	}
	qlo, qhi := x.clampTo(lo, hi)
	var table [256]uint8
	for q := range table {
		table[q] = min(max(uint8(q), qlo), qhi)
	}
	src := b.ownForm(n.In(0), x.forms)
	dst := b.own(&buffer{dtype: tensor.Uint8, order: src.order, samples: src.samples, h: src.h, w: src.w, c: src.c})
	f := &forms{}
	f.in[src.order] = dst
	b.value(n.Outputs[0]).quant = &quant{f, x.coding}
	b.add(b.lookUp(dst, src, &table).of(n))
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
	kernel := b.byteKernel(n, x.coding, z.coding, t)
	xs, zs := b.shape(xv), b.shape(zv)
	if !slices.Equal(xs, zs) {
		if len(xs) == len(zs) && tensor.Volume(xs) < tensor.Volume(zs) {
			xv, zv, x, z, xs, zs = zv, xv, z, x, zs, xs
			kernel = b.byteKernel(n, x.coding, z.coding, t)
		}
		if len(xs) != 4 || len(zs) != 4 || !slices.Equal(xs[:2], zs[:2]) || zs[2]*zs[3] != 1 || n.Op != "Mul" && n.Op != "QLinearMul" {
			b.why = "its inputs have different shapes"
			return false
		}
		b.gateBytes(n, b.form(xv, x.forms, last), b.form(zv, z.forms, last), kernel, t)
		return true
	}
	left := b.ownForm(xv, x.forms)
	right := b.form(zv, z.forms, left.order)
	dst := b.own(&buffer{dtype: tensor.Uint8, order: left.order, samples: left.samples, h: left.h, w: left.w, c: left.c})
	b.value(t.out).in[left.order] = dst
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, r := dst.u8(c, s), left.u8(c, s), right.u8(c, s)
		for y := y0; y < y1; y++ {
			eachRun(m, l, r, y, kernel)
		}
	})
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.as(Integer).of(n).of(t.nodes...).reading(left, right))
	return true
}

// byteKernel returns what computes runs of bytes of a node of two operands.
func (b *builder) byteKernel(n *graph.Node, x, z coding, t target) func(dst, a, c []uint8) {
	if n.Op == "Mul" || n.Op == "QLinearMul" {
		req := b.rescale(n, []float32{ratio(x.scale, z.scale, t.scale)}, t)
		return func(dst, a, c []uint8) { asm.MulU8(dst, a, c, x.zero, z.zero, req) }
	}
	spec := b.addition(n, x, z, n.Op == "Sub", t)
	return func(dst, a, c []uint8) { asm.AddU8(dst, a, c, &spec) }
}

// gateBytes multiplies every pixel by one number for each channel.
func (b *builder) gateBytes(n *graph.Node, src, by *buffer, kernel func(dst, a, c []uint8), t target) {
	dst := b.own(&buffer{dtype: tensor.Uint8, order: last, samples: src.samples, h: src.h, w: src.w, c: src.c})
	b.value(t.out).in[last] = dst
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, numbers := dst.u8(c, s), src.u8(c, s), by.u8(c, s).Data[:dst.c]
		for y := y0; y < y1; y++ {
			for x := range m.W {
				kernel(m.Data[y*m.RowStride+x*m.PixStride:][:m.C], l.Data[y*l.RowStride+x*l.PixStride:][:m.C], numbers)
			}
		}
	})
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.as(Integer).of(n).of(t.nodes...).reading(src, by))
}

// quantizedConcat lowers a Concat of quantized tensors: those in the coding of the
// result are put side by side as they are, others through a table.
func (b *builder) quantizedConcat(n *graph.Node, o order, side, axis int) bool {
	qs := make([]*quant, len(n.Inputs))
	same := true
	for i, v := range n.Inputs {
		if qs[i] = b.quantOf(v); qs[i] == nil {
			b.why = "not all its inputs are quantized"
			return false
		}
		same = same && qs[i].coding == qs[0].coding
	}
	y := n.Outputs[0]
	t, ok := b.targetOf(y)
	if !ok && !same {
		return false
	}
	c := qs[0].coding
	if ok {
		if t.lo != 0 || t.hi != 255 { // a clamp in between: the same codes, clamped
			return false
		}
		c = t.coding
	}
	inputs := b.inCoding(n, n.Inputs, qs, c, o)
	whole := b.join(n, inputs, b.shape(y), o, side)
	if ok {
		b.value(t.out).in[o] = whole
		b.claimTarget(t)
	} else {
		f := &forms{}
		f.in[o] = whole
		b.value(y).quant = &quant{f, c}
	}
	return true
}

// inCoding returns the tensors in one coding: through tables where they have another.
func (b *builder) inCoding(n *graph.Node, vs []*graph.Value, qs []*quant, c coding, o order) []*buffer {
	inputs := make([]*buffer, len(qs))
	for i, q := range qs {
		inputs[i] = b.form(vs[i], q.forms, o)
		if q.coding != c {
			src := inputs[i]
			inputs[i] = b.own(&buffer{dtype: tensor.Uint8, order: o, samples: src.samples, h: src.h, w: src.w, c: src.c})
			b.add(b.lookUp(inputs[i], src, b.recode(q.coding, c, func(x float32) float32 { return x })).of(n))
		}
	}
	return inputs
}
