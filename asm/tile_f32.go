package asm

import (
	"math"
	"sync"
)

// tileArgs is what a tile kernel reads: a product of M pixels by N channels,
// done tiles times along a row. Kernels in assembly load the fields by their
// offset (see _gen/amd64/tile_f32.go and TestTileArgsLayout).
//
// For tile i < tiles, pixel p < M and column j < cols:
//
//	dst[dstPos+(i*M+p)*dstStep+j] = clamp(bias[j]
//		+ sum over t, k of src[srcPos+(i*M+p)*srcStep+taps[t]+k] * w[(t*run+k)*N+j]
//		+ add[addPos+(i*M+p)*addStep+j])
//
// in this order, one fused multiply-add for each t, k (a product rounded to
// float32 and an addition in the generic kernel). clamp is
// min(max(v, lo), hi) and keeps NaN. add takes no part when it is empty.
//
// A depthwise kernel reads the same fields: run is the number of channels and
// channel j of pixel p sums src[...+taps[t]+j] * w[t*run+j] over t alone.
type tileArgs struct {
	src, dst, add, w, bias    []float32
	taps                      []int // offset in src of each run, from the pixel's first element
	run                       int   // elements in each tap's run
	tiles                     int
	srcStep, dstStep, addStep int // elements from one pixel to the next
	srcPos, dstPos, addPos    int // the first pixel; kernels advance them past what they have done
	lo, hi                    float32
	cols                      int // channels to store, at most N
	pixels                    int // M, for the generic kernel
}

// tileWidth is the kernels for tiles of cols channels (a depthwise kernel goes
// over all channels, cols at a time): kernels[m] makes tiles of
// m pixels (entry 0 is unused).
type tileWidth struct {
	cols    int
	kernels []func(*tileArgs)
}

// tileSet is the family of tile kernels of one tier, the widest first. Each
// width divides the one before.
type tileSet []tileWidth

// widthFor returns the width for the first of count channels: the widest that
// leaves no more lanes unused than the narrowest would.
func (s tileSet) widthFor(count int) tileWidth {
	narrowest := s[len(s)-1].cols
	count = (count + narrowest - 1) / narrowest * narrowest
	for _, w := range s {
		if w.cols <= count {
			return w
		}
	}
	return s[len(s)-1]
}

// panelF32 holds the packed weights of up to N output channels.
type panelF32 struct {
	first, cols int       // output channels [first, first+cols)
	input       int       // first input channel
	w           []float32 // [tap][k][N], zero beyond cols
	bias        []float32 // [N]
	kernels     []func(*tileArgs)
}

// panels splits the output channels [first, first+count) into panels. weight
// gives the weight of output channel o at depth d, tap by tap; if nil they stay zero.
func (s tileSet) panels(first, count, input, depth int, bias []float32, weight func(o, d int) float32) []panelF32 {
	var out []panelF32
	for end := first + count; first < end; {
		width := s.widthFor(end - first)
		n := width.cols
		p := panelF32{
			first: first, cols: min(n, end-first), input: input,
			w: aligned[float32](depth * n), bias: aligned[float32](n), kernels: width.kernels,
		}
		for j := range p.cols {
			if bias != nil {
				p.bias[j] = bias[first+j]
			}
			for d := 0; d < depth && weight != nil; d++ {
				p.w[d*n+j] = weight(first+j, d)
			}
		}
		out = append(out, p)
		first += p.cols
	}
	return out
}

// row runs the panel over width pixels: as few tiles as can be, all of one
// size or of two that differ by one pixel.
func (p *panelF32) row(a *tileArgs, width int) {
	a.w, a.bias, a.cols = p.w, p.bias, p.cols
	runTiles(p.kernels, a, width)
}

func runTiles(kernels []func(*tileArgs), a *tileArgs, width int) {
	most := len(kernels) - 1
	tiles := (width + most - 1) / most
	if tiles == 0 {
		return
	}
	size, larger := width/tiles, width%tiles
	if larger > 0 {
		a.tiles, a.pixels = larger, size+1
		kernels[size+1](a)
	}
	a.tiles, a.pixels = tiles-larger, size
	kernels[size](a)
}

// scratchF32 is the working memory of one call.
type scratchF32 struct {
	args tileArgs
	add  Image[float32]
	taps []int
	buf  []float32
	zero []float32
}

// scratchesF32 keeps calls free of allocation: the arguments of a kernel
// called through a table would otherwise escape each time.
var scratchesF32 = sync.Pool{New: func() any { return new(scratchF32) }}

// release forgets the caller's slices and returns s to the pool.
func (s *scratchF32) release() {
	s.args, s.add = tileArgs{}, Image[float32]{}
	scratchesF32.Put(s)
}

// floats returns n floats of unspecified content.
func (s *scratchF32) floats(n int) []float32 {
	if cap(s.buf) < n {
		s.buf = aligned[float32](n)
	}
	return s.buf[:n]
}

// zeros returns n zeros, to be read only.
func (s *scratchF32) zeros(n int) []float32 {
	if cap(s.zero) < n {
		s.zero = aligned[float32](n)
	}
	return s.zero[:n]
}

var (
	negInfF32 = float32(math.Inf(-1))
	posInfF32 = float32(math.Inf(1))
)
