package asm

import "fmt"

// ConvF32 is a float32 convolution with packed weights. It is safe for
// concurrent use.
type ConvF32 struct {
	spec      ConvSpec
	m, c      int
	panels    []panelF32
	depthwise bool         // one panel of all channels, for depthwise kernels
	winograd  *winogradF32 // in place of panels, where that is faster
}

// PackConvF32 packs the weights w, in ONNX's order [m][c/Groups][KH][KW], and
// the bias (m long, or nil) of a convolution of c channels to m. It copies
// both. It panics when a length disagrees with the shape.
func PackConvF32(w, bias []float32, m, c int, spec ConvSpec) *ConvF32 {
	return packConvF32(active, w, bias, m, c, spec)
}

// packConvF32 packs for the kernels that the features allow.
func packConvF32(have Features, w, bias []float32, m, c int, spec ConvSpec) *ConvF32 {
	if !spec.valid(m, c) || len(w) != m*c/spec.Groups*spec.KH*spec.KW || bias != nil && len(bias) != m {
		panic(fmt.Sprintf("asm: convolution %+v of %d to %d channels with %d weights, %d biases", spec, c, m, len(w), len(bias)))
	}
	tiles := pick[tileSet]("tileF32", have)
	if winogradPays(have, spec, m, c) {
		return &ConvF32{spec: spec, m: m, c: c, winograd: packWinogradF32(w, bias, m, c, tiles, pick[winogradKernels]("winogradF32", have))}
	}
	return packDirectF32(w, bias, m, c, spec, tiles, pick[tileSet]("depthwiseF32", have))
}

// packDirectF32 packs for the convolution as it is defined.
func packDirectF32(w, bias []float32, m, c int, spec ConvSpec, tiles, depthwise tileSet) *ConvF32 {
	f := &ConvF32{spec: spec, m: m, c: c, depthwise: spec.Groups == c && m == c && c > 1}
	cg, area := c/spec.Groups, spec.KH*spec.KW
	if f.depthwise {
		f.panels = []panelF32{packDepthwiseF32(w, bias, c, area, depthwise.widthFor(c).kernels)}
		return f
	}
	for g := range spec.Groups {
		mg := m / spec.Groups
		f.panels = append(f.panels, tiles.panels(g*mg, mg, g*cg, area*cg, bias, func(o, d int) float32 {
			return w[(o*cg+d%cg)*area+d/cg]
		})...)
	}
	return f
}

// packDepthwiseF32 packs w [c][area] as [area][c].
func packDepthwiseF32(w, bias []float32, c, area int, kernels []func(*tileArgs)) panelF32 {
	p := panelF32{cols: c, w: aligned[float32](area * c), bias: aligned[float32](c), kernels: kernels}
	copy(p.bias, bias)
	for t := range area {
		for j := range c {
			p.w[t*c+j] = w[j*area+t]
		}
	}
	return p
}

// Panels returns how many parts the output channels fall into, for
// [ConvF32.RunPanels].
func (f *ConvF32) Panels() int {
	if f.winograd != nil {
		return len(f.winograd.planes[0])
	}
	return len(f.panels)
}

// RowsTogether returns how many rows are computed as one: threads should share out
// multiples of it.
func (f *ConvF32) RowsTogether() int {
	if f.winograd != nil {
		return 2
	}
	return 1
}

// Run computes rows [y0, y1) of dst = clamp(conv(src) + bias + add, lo, hi).
//
// src holds its padding (see [Image]) and must cover the kernel at every
// output pixel; rows and columns beyond that are not read. add, the residual,
// is nil or of the shape of dst; it may be dst itself. dst must not overlap
// src. Pass -Inf and +Inf for no clamp; NaN passes through it.
//
// Each output is one chain of fused multiply-adds that starts from the bias and goes over
// kernel rows, kernel columns and input channels in this order, whatever the rows asked for:
// threads may share the rows out, or the panels, and get the same bits. All
// tiers but the generic one, which rounds products, give the same bits too.
// On those, 3x3 convolutions of stride 1 on multiples of 16 channels take the
// minimal algorithm F(2x2, 3x3) instead, in an order as fixed: half the time, a rounding error of
// the same size for the largest outputs of a tile, and NaN or an infinity reaches
// every output of the tiles that hold it.
//
// It panics when the shapes disagree.
func (f *ConvF32) Run(dst, src Image[float32], add *Image[float32], lo, hi float32, y0, y1 int) {
	f.RunPanels(dst, src, add, lo, hi, y0, y1, 0, f.Panels())
}

// RunPanels is [ConvF32.Run] for the output channels of panels [p0, p1) only, so
// that threads can share out the channels of a small image.
func (f *ConvF32) RunPanels(dst, src Image[float32], add *Image[float32], lo, hi float32, y0, y1, p0, p1 int) {
	f.check(dst, src, add, y0, y1)
	readImage(src)
	if add != nil {
		readImage(*add)
	}
	if y0 == y1 || p0 == p1 || dst.W == 0 {
		return
	}
	if f.winograd != nil {
		f.winograd.run(dst, src, add, lo, hi, y0, y1, p0, p1)
		return
	}
	panels := f.panels[p0:p1]
	writeRows(dst, y0, y1, panels[0].first, panels[len(panels)-1].first+panels[len(panels)-1].cols)
	s := scratchesF32.Get().(*scratchF32)
	defer s.release()
	spec := f.spec
	if len(panels) >= compactPanels && f.scattered(src) {
		src = f.compact(s, src, y0, y1, dst.W)
		dst.Data = dst.Data[y0*dst.RowStride:]
		if add != nil {
			s.add = *add
			s.add.Data = add.Data[y0*add.RowStride:]
			add = &s.add
		}
		y0, y1 = 0, y1-y0
		spec.StrideH, spec.StrideW = 1, 1
	}
	a := &s.args
	a.lo, a.hi = lo, hi
	a.src, a.dst = src.Data, dst.Data
	a.srcStep, a.dstStep = spec.StrideW*src.PixStride, dst.PixStride
	if add != nil {
		a.add, a.addStep = add.Data, add.PixStride
	}
	f.setTaps(s, src)
	f.rows(spec, a, dst, src, add, y0, y1, panels)
}

// compactPanels is for how many panels it pays to compact the source.
const compactPanels = 4

// scattered reports whether the convolution reads single pixels that are best
// compacted first.
func (f *ConvF32) scattered(src Image[float32]) bool {
	s := f.spec
	return s.KH == 1 && s.KW == 1 && !f.depthwise &&
		(s.StrideH > 1 || s.StrideW > 1 || collide(src.PixStride))
}

// collide reports whether vectors of floats so far apart fall on so few sets of
// the inner cache that they push one another out.
func collide(stride int) bool { return stride%512 == 0 }

// compact copies the pixels that output rows [y0, y1) of a pointwise
// convolution read side by side, at a distance that does not collide.
func (f *ConvF32) compact(s *scratchF32, src Image[float32], y0, y1, width int) Image[float32] {
	pix := f.c + cacheLine/4
	out := Image[float32]{s.floats((y1 - y0) * width * pix), y1 - y0, width, f.c, width * pix, pix}
	for y := range out.H {
		from := src.Data[(y0+y)*f.spec.StrideH*src.RowStride:]
		for x := range width {
			copy(out.Data[y*out.RowStride+x*pix:][:f.c], from[x*f.spec.StrideW*src.PixStride:])
		}
	}
	return out
}

// setTaps fills in the offsets of the kernel's elements. Where the elements of
// a kernel row are contiguous they make one run.
func (f *ConvF32) setTaps(s *scratchF32, src Image[float32]) {
	s.taps = s.taps[:0]
	kw := f.spec.KW
	s.args.run = f.c / f.spec.Groups
	switch {
	case f.depthwise:
		s.args.run = f.c
	case f.spec.Groups == 1 && f.spec.DilationW == 1 && src.PixStride == f.c:
		s.args.run, kw = f.c*kw, 1
	}
	for y := range f.spec.KH {
		for x := range kw {
			s.taps = append(s.taps, y*f.spec.DilationH*src.RowStride+x*f.spec.DilationW*src.PixStride)
		}
	}
	s.args.taps = s.taps
}

// sourceBlockF32 is how many elements of the source rows are kept in the cache
// while all panels go over them.
const sourceBlockF32 = 64 << 10

// rows goes over blocks of rows and, in each, over the panels. spec is that of
// the convolution, or without the stride if the source has been compacted.
func (f *ConvF32) rows(spec ConvSpec, a *tileArgs, dst, src Image[float32], add *Image[float32], y0, y1 int, panels []panelF32) {
	step := spec.StrideH * src.RowStride
	height := max(1, sourceBlockF32/readPerRow(spec, src.C, dst.W))
	flat := flat(spec, dst, src, add)
	for ; y0 < y1; y0 += height {
		end := min(y0+height, y1)
		together := 1 // how many rows make one
		if flat {
			together = end - y0
		}
		for i := range panels {
			p := &panels[i]
			for y := y0; y < end; y += together {
				a.srcPos = y*step + p.input
				a.dstPos = y*dst.RowStride + p.first
				if add != nil {
					a.addPos = y*add.RowStride + p.first
				}
				p.row(a, together*dst.W)
			}
		}
	}
}

// readPerRow is how many more elements of c channels of the source a further row of
// width outputs reads.
func readPerRow(s ConvSpec, c, width int) int {
	return min(s.KH, s.StrideH) * min(s.KW, s.StrideW) * width * c
}

// flat reports whether the pixels of all rows can be taken as one row.
func flat(s ConvSpec, dst, src Image[float32], add *Image[float32]) bool {
	return s.KH == 1 && s.KW == 1 && s.StrideH == 1 && s.StrideW == 1 && src.W == dst.W &&
		dst.gapless() && src.gapless() && (add == nil || add.gapless())
}

func (f *ConvF32) check(dst, src Image[float32], add *Image[float32], y0, y1 int) {
	switch {
	case dst.C != f.m || src.C != f.c:
		panic(fmt.Sprintf("asm: convolution of %d to %d channels, called with %d and %d", f.c, f.m, src.C, dst.C))
	case y0 < 0 || y1 < y0 || y1 > dst.H:
		panic(fmt.Sprintf("asm: rows [%d, %d) of %d", y0, y1, dst.H))
	case !f.spec.covers(src.H, src.W, dst.H, dst.W):
		panic(fmt.Sprintf("asm: convolution %+v: source %dx%d is too small for %dx%d", f.spec, src.H, src.W, dst.H, dst.W))
	case add != nil && (add.H != dst.H || add.W != dst.W || add.C != dst.C):
		panic(fmt.Sprintf("asm: residual %dx%dx%d of an output %dx%dx%d", add.H, add.W, add.C, dst.H, dst.W, dst.C))
	case !dst.inBounds() || !src.inBounds() || add != nil && !add.inBounds():
		panic("asm: image reaches beyond its data")
	}
}
