package program

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// A transposed convolution of stride s is s*s convolutions of stride 1 side by
// side: those output pixels whose coordinates leave the same remainders by s are one of
// them, by the kernel's elements that can reach them.

// phase is one of these convolutions in one direction: outputs remainder, remainder + s, ...
type phase struct {
	remainder, count int // outputs
	first            int // source pixel that the first tap of the first output reads; may be outside
	taps, tap        int // number of taps; the kernel's element that is the last tap, the others being s apart
}

// phasesOf splits one direction; false if some outputs are reached by no element.
func phasesOf(kernel, stride, pad, out int) ([]phase, bool) {
	var list []phase
	for r := range min(stride, out) {
		k := (r + pad) % stride
		if k >= kernel {
			return nil, false
		}
		taps := (kernel - k + stride - 1) / stride
		list = append(list, phase{remainder: r, count: (out - r + stride - 1) / stride, first: (r+pad)/stride - (taps - 1), taps: taps, tap: k})
	}
	return list, true
}

// behind returns how far the phase reads beyond a source of some size; less than 0 if it stays inside.
func (p phase) behind(size int) int { return p.first + p.count + p.taps - 1 - size }

// deconv is a ConvTranspose that can be split.
type deconv struct {
	win        Geometry
	rows, cols []phase
	m, c       int // output and input channels
}

// deconvOf reads a 1-D or 2-D ConvTranspose with weights of that shape.
func (b *builder) deconvOf(n *graph.Node, weights []int) (deconv, bool) {
	x, y := b.shape(n.In(0)), b.shape(n.Outputs[0])
	if n.Attrs.String("auto_pad", "NOTSET") != "NOTSET" || n.Attrs.Has("output_shape") {
		return deconv{}, false
	}
	// The shapes swapped: it is the way back of a convolution.
	win, ok := windowOf(n, y, x, weights[2:])
	if !ok || win.Dilation != [2]int{1, 1} {
		return deconv{}, false
	}
	d := deconv{win: win, c: x[1], m: y[1]}
	h, w := outOf(y)
	var ok2 bool
	d.rows, ok = phasesOf(win.Kernel[0], win.Stride[0], win.Pad.Top, h)
	d.cols, ok2 = phasesOf(win.Kernel[1], win.Stride[1], win.Pad.Left, w)
	return d, ok && ok2 && weights[0] == d.c && weights[1]*win.Groups == d.m
}

// weights returns the weights of a phase's convolution, w being those of the ConvTranspose, [C][M/g][KH][KW].
func (d deconv) weights(w Weights, py, px phase) Weights {
	cg, mg := d.c/d.win.Groups, d.m/d.win.Groups
	kh, kw := d.win.Kernel[0], d.win.Kernel[1]
	area := kh * kw
	w.Groups, w.PerGroup, w.Kernel, w.In = d.win.Groups, mg, [2]int{py.taps, px.taps}, cg
	w.First = (py.tap+d.win.Stride[0]*(py.taps-1))*kw + px.tap + d.win.Stride[1]*(px.taps-1)
	w.Steps = [5]int{cg * mg * area, area, -d.win.Stride[0] * kw, -d.win.Stride[1], mg * area}
	return w
}

// eachPhase calls f with the part of dst that a phase makes, its window on src, and src with the border that it needs.
func (d deconv) eachPhase(b *builder, dst, src *Tensor, fill uint32, f func(dst, src *Tensor, g Geometry, py, px phase)) {
	var pad Sides
	window := func(py, px phase) Geometry {
		return Geometry{Kernel: [2]int{py.taps, px.taps}, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: d.win.Groups,
			Pad: Sides{Top: -py.first, Left: -px.first, Bottom: py.behind(src.H), Right: px.behind(src.W)}}
	}
	for _, py := range d.rows {
		for _, px := range d.cols {
			p := window(py, px).Pad
			pad = Sides{max(pad.Top, p.Top), max(pad.Left, p.Left), max(pad.Bottom, p.Bottom), max(pad.Right, p.Right)}
		}
	}
	src = b.room(src, pad, fill)
	for _, py := range d.rows {
		for _, px := range d.cols {
			to := dst.window(Position{Y: py.remainder, X: px.remainder}, py.count, px.count, dst.C, d.win.Stride)
			f(b.own(to), src, window(py, px), py, px)
		}
	}
}

// lowerConvTranspose computes ConvTranspose, with bias and clamp.
func lowerConvTranspose(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || !b.isConst(n.In(1)) || n.In(2) != nil && !b.isConst(n.In(2)) {
		return false
	}
	d, ok := b.deconvOf(n, b.shape(n.In(1)))
	if !ok {
		return false
	}
	if b.quantizedConvTranspose(n, d) {
		return true
	}
	if b.typeOf(x).DType != tensor.Float32 {
		return false
	}
	t := b.follow(y, d.m, 1, n.In(2) == nil, false)
	if n.In(2) != nil {
		t.bias = b.floats(n.In(2))
	}
	b.claim(t)
	src := b.float(x, Last)
	dst := b.floatResult(t.out, Last)
	weights := Weights{F32: b.floats(n.In(1))}
	d.eachPhase(b, dst, src, 0, func(dst, src *Tensor, g Geometry, py, px phase) {
		a := &ConvFloat{In: src, Out: dst, Geometry: g, Weights: d.weights(weights, py, px), Bias: t.bias, Lo: t.lo, Hi: t.hi}
		s := b.step("ConvTranspose", Float, a).of(n).of(t.nodes...).labelled()
		s.Ops = 2 * dst.H * dst.W * a.Weights.Len()
	})
	return true
}

// quantizedConvTranspose lowers a ConvTranspose whose input and weights are quantized.
func (b *builder) quantizedConvTranspose(n *graph.Node, d deconv) bool {
	x, w, ok := b.quantizedOperands(n.In(0), n.In(1))
	if !ok {
		return false
	}
	a := affineNode{node: n, x: x, weights: w, m: d.m}
	if d.win.Groups != 1 || !a.weights.along(1, a.m) || !b.setBias(&a, n.In(2)) {
		b.why = "its channels have scales of their own in groups"
		return false
	}
	if d.c*d.win.Kernel[0]*d.win.Kernel[1] > maxSumLength {
		b.why = "its sums do not fit 32 bits"
		return false
	}
	src := b.form(n.In(0), x.forms, Last)
	e := b.epilogueOf(&a, n.Outputs[0], nil, false)
	dst := b.resultOf(e, Last)
	d.eachPhase(b, dst, src, uint32(bits(x.Zero)), func(dst, src *Tensor, g Geometry, py, px phase) {
		c := &Conv{In: src, Out: dst, Geometry: g, Affine: a.affine(e)}
		c.Weights = d.weights(c.Weights, py, px)
		s := b.step("ConvTranspose", Integer, c).of(n).of(e.nodes...).labelled()
		s.Ops = 2 * dst.H * dst.W * c.Weights.Len()
	})
	return true
}
