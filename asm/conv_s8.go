package asm

import (
	"fmt"
	"sync"
)

// ConvS8 is a convolution of bytes by signed 8-bit weights with int32 sums.
// Activations are unsigned: a signed tensor is stored with its top bit
// flipped and 128 added to its zero point, which changes no value. A
// ConvS8 is safe for concurrent use.
//
// Sums are exact as long as they fit int32, which [MaxSumLength] ensures for
// the products; a bias near the ends of int32 wraps around. The results
// are the same bits on every tier and however rows and panels are shared out.
type ConvS8 struct {
	spec      ConvSpec
	m, c      int
	passes    int  // times that the taps are visited: above 1 for weights that take more than a byte
	rowTaps   bool // a kernel row is one tap of KW*c contiguous bytes
	panels    []panelS8
	depthwise *depthwiseKernelS8 // instead of the panels' tile kernels
	winograd  *winogradKernelsS8 // around the panels' tile kernels, or nil
	order     []int              // of a depthwise kernel's elements (see tapOrder)
	apart     *ConvS8            // the same convolution without rowTaps, for a source with gaps between pixels
}

// MaxSumLength is the largest number of products c/Groups*KH*KW in one sum:
// that many times 255*128 stay below 1<<31.
const MaxSumLength = (1<<31 - 1) / (255 * 128)

// ReadSlack is how many bytes behind the last element of a source image a
// convolution, and only a convolution, may read (and ignore): Data must be that much longer.
const ReadSlack = 32

// tileKernelS8 is a set of micro-kernels for some processors. A micro-kernel computes the
// sums of some neighbouring pixels of one output row for one panel of output channels.
type tileKernelS8 struct {
	wide     bool                  // weights are packed as int16 rather than int8
	bytes    bool                  // kernels can make bytes
	whole    bool                  // ... but only for panels without padding
	winograd *winogradKernelsS8    // instead of these, where it can be; or nil
	safe     *tileKernelS8         // of the same widths, faster and only for weights that do not saturate; or nil
	offset   int32                 // what the kernels subtract from every byte of the source; the packed bias makes up for it
	widths   []int                 // panel widths (output channels), the widest first
	kernels  [][]func(*tileArgsS8) // for each width, by the number of pixels (entry 0 is unused)
}

// tileArgsS8 describes tiles of neighbouring pixels of one output row. Pixel p's sums are
//
//	acc[p*width+n] = bias[n] + sum over taps t and bytes k < 4*quads of src[p*srcStep+taps[t]+k] * weight(t, k, n)
//
// with weight(t, k, n) at weights[((t*quads+k/4)*width+n)*4+k%4], or, as int16, at
// weights16[((t*2*quads+k/2)*width+n)*2+k%2]. Assembly loads the fields by their
// offset (see _gen/amd64/tile_s8.go and TestArgsLayoutS8).
type tileArgsS8 struct {
	src           []uint8
	weights       []int8
	weights16     []int16
	bias          []int32
	acc           []int32
	taps          []int
	srcStep       int
	quads         int
	tiles         int
	width, pixels int // the kernel's, for the generic one

	// What follows is for kernels that make requantized bytes at once, dst[p*dstStep+n],
	// where bytes is ByFloat+1, ByShift+1 or plainBytes.
	bytes        int
	dst          []uint8
	dstStep      int
	scale        [32]float32
	before, half [32]int32 // of a shift n: n-1, and 1 or, where n is 0, 0
	shift        [32]int32
	zero         [32]int16
	lo, hi       [64]uint8
	mask         uint32 // of the channels in use
}

var tilesS8 = pick[*tileKernelS8]("convS8", active)

// s8Scratch is what one call needs besides its arguments.
type s8Scratch struct {
	tile    tileArgsS8
	depth   depthwiseArgsS8
	requant requantArgs
	scale   scaleSumsArgs
	taps    []int
	acc     [len(nothingLess)]int32
	wino    winogradScratch
}

var s8Scratches = sync.Pool{New: func() any { return new(s8Scratch) }}

// release drops what the scratch refers to and gives it back.
func (s *s8Scratch) release() {
	s.tile, s.requant, s.scale, s.depth, s.wino.args = tileArgsS8{}, requantArgs{}, scaleSumsArgs{}, depthwiseArgsS8{}, winogradArgsS8{}
	s8Scratches.Put(s)
}

// Panels returns how many parts the output channels fall into, for the
// Panels variants of the Run methods.
func (f *ConvS8) Panels() int { return len(f.panels) }

// Run computes rows [y0, y1) of dst: the sums, requantized by req and, when add is
// not nil, added to the residual.
//
// src holds its padding, filled with the zero point given at packing, and must cover
// the kernel at every output pixel. Its data must reach [ReadSlack] bytes
// beyond its last element. dst must not overlap src. Run panics when shapes disagree.
func (f *ConvS8) Run(dst, src Image[uint8], req *Requant, add *Residual, y0, y1 int) {
	f.RunPanels(dst, src, req, add, y0, y1, 0, len(f.panels))
}

// RunPanels is [ConvS8.Run] for the output channels of panels [p0, p1) only, so
// that threads can share out the channels of a small image.
func (f *ConvS8) RunPanels(dst, src Image[uint8], req *Requant, add *Residual, y0, y1, p0, p1 int) {
	checkImageS8(f, dst, src, y0, y1)
	if p0 >= p1 {
		return
	}
	checkRequant(f, req)
	if add != nil && (add.Image.H < y1 || add.Image.W != dst.W || add.Image.C != dst.C || !add.Image.inBounds()) {
		panic(fmt.Sprintf("asm: residual %dx%dx%d of an output %dx%dx%d", add.Image.H, add.Image.W, add.Image.C, dst.H, dst.W, dst.C))
	}
	if add != nil {
		readRange(add.Image.Data)
	}
	f = f.forSource(src)
	emit := func(sums sumsS8) { req.sums(&sums, dst) }
	addRows := func(y0, y1 int) {
		if add != nil {
			add.apply(dst, f.panels[p0:p1], y0, y1)
		}
	}
	if f.winograd != nil {
		f.winogradRows(src, outputS8{dst.W, dst, req}, y0, y1, p0, p1, emit, addRows)
		return
	}
	flat := f.pointwise() && src.gapless() && dst.gapless()
	f.blocks(src, y0, y1, p0, p1, func(s *s8Scratch, p *panelS8, y0, y1 int) {
		kernel := f.depthwiseBytes(p, req)
		if p.tileBytes(req) {
			f.runTiles(s, dst, src, p, req, flat, y0, y1)
			return
		}
		if kernel == nil {
			f.sums(s, src, p, dst.W, flat, y0, y1, emit)
			return
		}
		f.runDepthwise(s, kernel, dst, src, p, req, y0, y1)
	}, addRows)
}

// apply adds the residual to rows [y0, y1) of the channels of some panels of dst.
func (r *Residual) apply(dst Image[uint8], panels []panelS8, y0, y1 int) {
	first, last := panels[0].first, panels[len(panels)-1]
	channels, pixels := last.first+last.channels-first, dst.W
	if channels == dst.PixStride && channels == r.Image.PixStride {
		channels, pixels = channels*pixels, 1
	}
	for y := y0; y < y1; y++ {
		for x := range pixels {
			to := dst.Data[y*dst.RowStride+x*dst.PixStride+first:][:channels]
			addU8(to, to, r.Image.Data[y*r.Image.RowStride+x*r.Image.PixStride+first:][:channels], &r.Add)
		}
	}
}

// RunS32 is [ConvS8.Run] with the plain sums as output.
func (f *ConvS8) RunS32(dst Image[int32], src Image[uint8], y0, y1 int) {
	checkImageS8(f, dst, src, y0, y1)
	f.each(src, dst.W, dst.gapless(), y0, y1, func(sums sumsS8) {
		for i := range sums.pixels {
			at := sums.y*dst.RowStride + (sums.x+i)*dst.PixStride + sums.p.first
			copy(dst.Data[at:][:sums.p.channels], sums.acc[i*sums.p.width:])
		}
	})
}

// RunF32 is [ConvS8.Run] with float32(sum)*scale[channel] as output.
func (f *ConvS8) RunF32(dst Image[float32], src Image[uint8], scale []float32, y0, y1 int) {
	checkImageS8(f, dst, src, y0, y1)
	checkScales(f, scale)
	f.each(src, dst.W, dst.gapless(), y0, y1, func(sums sumsS8) { sums.scaled(dst, scale, nothingLess[:sums.pixels]) })
}

func checkRequant(f *ConvS8, req *Requant) {
	if req.channels != f.m {
		panic(fmt.Sprintf("asm: convolution to %d channels requantized with %d", f.m, req.channels))
	}
}

func checkScales(f *ConvS8, scale []float32) {
	if len(scale) != f.m {
		panic(fmt.Sprintf("asm: convolution to %d channels with %d scales", f.m, len(scale)))
	}
}

func checkImageS8[T any](f *ConvS8, dst Image[T], src Image[uint8], y0, y1 int) {
	switch {
	case dst.C != f.m || src.C != f.c:
		panic(fmt.Sprintf("asm: convolution of %d to %d channels, called with %d and %d", f.c, f.m, src.C, dst.C))
	case y0 < 0 || y1 < y0 || y1 > dst.H:
		panic(fmt.Sprintf("asm: rows [%d, %d) of %d", y0, y1, dst.H))
	case !f.spec.covers(src.H, src.W, dst.H, dst.W):
		panic(fmt.Sprintf("asm: convolution %+v: source %dx%d is too small for %dx%d", f.spec, src.H, src.W, dst.H, dst.W))
	case !dst.inBounds() || !src.inBounds():
		panic("asm: image reaches beyond its data")
	case len(src.Data) < (src.H-1)*src.RowStride+(src.W-1)*src.PixStride+src.C+ReadSlack:
		panic(fmt.Sprintf("asm: source lacks the %d bytes that may be read behind it", ReadSlack))
	}
	readRange(src.Data)
	if y0 < y1 && dst.W > 0 {
		writeRange(dst.Data[y0*dst.RowStride : (y1-1)*dst.RowStride+(dst.W-1)*dst.PixStride+dst.C])
	}
}

// sourceBlockS8 is how many bytes of the source are kept in the cache while
// all panels go over them.
const sourceBlockS8 = 128 << 10

// sumsS8 are sums of a convolution on their way to the output: those of pixels
// [x, x+pixels) of row y for one panel, p.width apart.
type sumsS8 struct {
	*s8Scratch
	acc          []int32
	p            *panelS8
	y, x, pixels int
}

// sums requantizes sums into dst.
func (r *Requant) sums(sums *sumsS8, dst Image[uint8]) {
	a, p := &sums.requant, sums.p
	*a = requantArgs{src: sums.acc, dstStep: dst.PixStride, srcStep: p.width, channels: p.channels, pixels: sums.pixels}
	a.dst = dst.Data[sums.y*dst.RowStride+sums.x*dst.PixStride+p.first:]
	r.rows(a, p.first)
}

// scaled sets dst to the sums, less a number for each pixel, times the scale of their channel.
func (s *sumsS8) scaled(dst Image[float32], scale []float32, less []int32) {
	s.scale = scaleSumsArgs{src: s.acc, dstStep: dst.PixStride, srcStep: s.p.width, pixels: s.pixels, channels: s.p.channels}
	s.scale.dst = dst.Data[s.y*dst.RowStride+s.x*dst.PixStride+s.p.first:]
	s.scale.scale, s.scale.less = scale[s.p.first:], less
	scaleSums(&s.scale)
}

// each computes the sums of rows [y0, y1), w wide, and hands them to emit.
func (f *ConvS8) each(src Image[uint8], w int, gapless bool, y0, y1 int, emit func(sumsS8)) {
	f = f.forSource(src)
	if f.winograd != nil {
		f.winogradRows(src, outputS8{w: w}, y0, y1, 0, len(f.panels), emit, func(int, int) {})
		return
	}
	flat := f.pointwise() && src.gapless() && gapless
	f.blocks(src, y0, y1, 0, len(f.panels), func(s *s8Scratch, p *panelS8, y0, y1 int) {
		f.sums(s, src, p, w, flat, y0, y1, emit)
	}, func(int, int) {})
}

// forSource returns the variant of f for the layout of src.
func (f *ConvS8) forSource(src Image[uint8]) *ConvS8 {
	if f.apart != nil && src.PixStride != f.c {
		return f.apart
	}
	return f
}

// pointwise reports whether output pixel i depends on source pixel i only.
func (f *ConvS8) pointwise() bool {
	return f.spec.KH == 1 && f.spec.KW == 1 && f.spec.StrideH == 1 && f.spec.StrideW == 1
}

// blocks cuts rows [y0, y1) into blocks whose source stays in the cache and goes, in each,
// over panels [p0, p1); done follows each block.
func (f *ConvS8) blocks(src Image[uint8], y0, y1, p0, p1 int, do func(s *s8Scratch, p *panelS8, y0, y1 int), done func(y0, y1 int)) {
	s := s8Scratches.Get().(*s8Scratch)
	defer s.release()
	f.setTaps(s, src)
	height := max(1, sourceBlockS8/max(1, f.spec.StrideH*src.RowStride))
	for ; y0 < y1; y0 += height {
		end := min(y0+height, y1)
		for i := range f.panels[p0:p1] {
			do(s, &f.panels[p0+i], y0, end)
		}
		done(y0, end)
	}
}

// sums computes the sums of rows [y0, y1) of one panel and hands them to emit. A flat
// output is walked as if its rows were one: x then runs beyond the width w.
func (f *ConvS8) sums(s *s8Scratch, src Image[uint8], p *panelS8, w int, flat bool, y0, y1 int, emit func(sumsS8)) {
	if flat {
		w, y1 = w*(y1-y0), y0+1
	}
	step := f.spec.StrideW * src.PixStride
	if f.depthwise != nil {
		f.setDepthwise(s, p, nil, step, 0)
	} else {
		s.setTile(p, step)
		s.tile.acc = s.acc[:]
	}
	for y := y0; y < y1; y++ {
		for x := 0; x < w; {
			from := src.Data[y*f.spec.StrideH*src.RowStride+x*step+p.input:]
			n := w - x
			if f.depthwise != nil {
				n = min(n, len(s.acc)/p.width)
				s.depth.src, s.depth.acc, s.depth.pixels = from, s.acc[:], n
				f.depthwise.sums(&s.depth)
			} else {
				n = tilesOf(p.kernel.kernels[p.kind], &s.tile, from, n)
			}
			emit(sumsS8{s, s.acc[:], p, y, x, n})
			x += n
		}
	}
}

// tilesOf computes up to n pixels from src on in tiles of equal size, sums as
// far as they fit in a.acc, and returns how many it did.
func tilesOf(kernels []func(*tileArgsS8), a *tileArgsS8, src []uint8, n int) int {
	most := len(kernels) - 1
	if a.bytes == 0 {
		n = min(n, len(a.acc)/a.width/most*most)
	}
	count := (n + most - 1) / most
	pixels := (n + count - 1) / count
	count = n / pixels
	a.src, a.tiles, a.pixels = src, count, pixels
	kernels[pixels](a)
	return count * pixels
}

// setTaps fills in the offsets of the kernel's elements, in the order in which
// they were packed.
func (f *ConvS8) setTaps(s *s8Scratch, src Image[uint8]) {
	s.taps = s.taps[:0]
	rowStep, step := f.spec.DilationH*src.RowStride, f.spec.DilationW*src.PixStride
	if f.depthwise != nil {
		for _, t := range f.order {
			t = max(0, t) % (f.spec.KH * f.spec.KW) // where there is none, any will do
			y, x := t/f.spec.KW, t%f.spec.KW
			s.taps = append(s.taps, y*rowStep+x*step)
		}
		return
	}
	kw := f.spec.KW
	if f.rowTaps {
		kw = 1
	}
	for range f.passes {
		for y := range f.spec.KH {
			for x := range kw {
				s.taps = append(s.taps, y*rowStep+x*step)
			}
		}
	}
}

// Rows returns a matrix of rows by cols elements, stride apart, as an image of one
// row: with it and a 1x1 kernel a convolution is a matrix product.
func Rows[T any](data []T, rows, cols, stride int) Image[T] {
	return Image[T]{Data: data, H: 1, W: rows, C: cols, RowStride: rows * stride, PixStride: stride}
}
