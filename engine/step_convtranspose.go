package engine

import (
	"github.com/narrow-ml/narrow/asm"
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

// element returns the kernel's element of tap t.
func (p phase) element(t, stride int) int { return p.tap + stride*(p.taps-1-t) }

// deconv is a ConvTranspose that can be split.
type deconv struct {
	win        window
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
	if !ok || win.dilation != [2]int{1, 1} {
		return deconv{}, false
	}
	d := deconv{win: win, c: x[1], m: y[1]}
	h, w := outOf(y)
	var ok2 bool
	d.rows, ok = phasesOf(win.kernel[0], win.stride[0], win.pad.top, h)
	d.cols, ok2 = phasesOf(win.kernel[1], win.stride[1], win.pad.left, w)
	return d, ok && ok2 && weights[0] == d.c && weights[1]*win.groups == d.m
}

// spec returns the convolution of two phases.
func (d deconv) spec(py, px phase) asm.ConvSpec {
	return asm.ConvSpec{KH: py.taps, KW: px.taps, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: d.win.groups}
}

// arrange returns where element i of the weights of a phase's convolution, [M][C/g][KH][KW], is in those
// of the ConvTranspose, [C][M/g][KH][KW].
func (d deconv) arrange(py, px phase) func(i int) int {
	cg, mg := d.c/d.win.groups, d.m/d.win.groups
	kh, kw := d.win.kernel[0], d.win.kernel[1]
	return func(i int) int {
		tx, ty := i%px.taps, i/px.taps%py.taps
		i /= px.taps * py.taps
		c, m := i%cg, i/cg
		from := (m/mg*cg+c)*mg + m%mg
		return (from*kh+py.element(ty, d.win.stride[0]))*kw + px.element(tx, d.win.stride[1])
	}
}

// reach returns the border that the source needs.
func reach(phases []phase, size int) (before, after int) {
	for _, p := range phases {
		before = max(before, -p.first)
		after = max(after, p.first+p.count+p.taps-1-size)
	}
	return before, after
}

// eachPhase calls f with the part of dst that a phase makes, and the part of src that it reads.
func (d deconv) eachPhase(b *builder, dst, src *buffer, fill uint32, f func(dst, src *buffer, py, px phase)) {
	var pad sides
	pad.top, pad.bottom = reach(d.rows, src.h)
	pad.left, pad.right = reach(d.cols, src.w)
	if !src.ask(pad, fill) {
		src = b.copied(src, pad, fill)
	}
	for _, py := range d.rows {
		for _, px := range d.cols {
			to := dst.window(place{y: py.remainder, x: px.remainder}, py.count, px.count, dst.c, d.win.stride)
			from := src.window(place{y: py.first, x: px.first}, py.count+py.taps-1, px.count+px.taps-1, src.c, [2]int{1, 1})
			f(b.own(to), b.own(from), py, px)
		}
	}
}

// phaseName names packed weights.
func phaseName(kind string, py, px phase) string {
	return kind + string(rune('0'+py.remainder)) + "," + string(rune('0'+px.remainder))
}

// lowerConvTranspose computes ConvTranspose, with bias and clamp.
func lowerConvTranspose(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || !b.isConst(n.In(1)) || n.In(2) != nil && !b.isConst(n.In(2)) {
		return false
	}
	weights := b.shape(n.In(1))
	d, ok := b.deconvOf(n, weights)
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
	src := b.float(x, last)
	dst := b.buffer(tensor.Float32, b.shape(t.out), last)
	b.value(t.out).in[last] = dst
	d.eachPhase(b, dst, src, 0, func(dst, src *buffer, py, px phase) {
		conv := packedFor(b.net, n, phaseName("f32", py, px), func() *asm.ConvF32 {
			w := make([]float32, d.m*d.c/d.win.groups*py.taps*px.taps)
			from, at := b.floats(n.In(1)), d.arrange(py, px)
			for i := range w {
				w[i] = from[at(i)]
			}
			return asm.PackConvF32(w, t.bias, d.m, d.c, d.spec(py, px))
		})
		s := b.add(convStep(dst, src, nil, conv, t.lo, t.hi)).of(n).of(t.nodes...).reading(src)
		s.name = b.label(s.nodes...)
		s.ops = 2 * dst.h * dst.w * d.m * d.c / d.win.groups * py.taps * px.taps
	})
	return true
}

// quantizedConvTranspose lowers a ConvTranspose whose input and weights are quantized.
func (b *builder) quantizedConvTranspose(n *graph.Node, d deconv) bool {
	x, w, ok := b.quantizedOperands(n.In(0), n.In(1))
	if !ok {
		return false
	}
	a := affineNode{node: n, x: x, weights: w, m: d.m, c: d.c}
	if d.win.groups != 1 || !a.weights.along(1, a.m) || !b.setBias(&a, n.In(2)) {
		b.why = "its channels have scales of their own in groups"
		return false
	}
	if d.c*d.win.kernel[0]*d.win.kernel[1] > asm.MaxSumLength {
		b.why = "its sums do not fit 32 bits"
		return false
	}
	src := b.form(n.In(0), x.forms, last)
	e := b.epilogueOf(&a, n.Outputs[0], nil, false)
	if b.err != nil {
		return true
	}
	dst := b.resultOf(e, last)
	d.eachPhase(b, dst, src, uint32(x.zero), func(dst, src *buffer, py, px phase) {
		conv := a.pack(b, phaseName("s8", py, px), d.spec(py, px), d.m*d.c*py.taps*px.taps, d.arrange(py, px))
		s := b.add(convS8Step(dst, src, conv, e)).of(n).of(e.nodes...).reading(src)
		s.name = b.label(s.nodes...)
		s.ops = 2 * dst.h * dst.w * d.m * d.c * py.taps * px.taps
	})
	return true
}
