package asm

import "sync"

// winogradF32 is a 3x3 convolution of stride 1 by the minimal algorithm
// F(2x2, 3x3) (Winograd 1980; Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2016). The source is cut into tiles of 4x4 pixels that overlap by
// two; each tile d becomes transpose(B)*d*B, 16 values to a channel; for each of
// these 16, which lie in planes of their own, a matrix product over the channels takes the place of the
// convolution; what comes out of the planes, a tile t of 4x4, becomes 2x2
// outputs transpose(A)*t*A. A product of 4x4 matrices for 2x2 outputs
// makes 16 multiplications where the definition has 36.
//
//	             | 1  0 -1  0 |                  | 1  1  1  0 |
//	transpose(B) | 0  1  1  0 |     transpose(A) | 0  1 -1 -1 |
//	             | 0 -1  1  0 |
//	             | 0  1  0 -1 |
type winogradF32 struct {
	planes  [16][]panelF32
	bias    []float32
	c, m    int
	kernels winogradKernels
}

// winogradKernels are the two transforms, of a row of tiles.
type winogradKernels struct {
	input, output func(*winogradArgs)
}

// winogradArgs is what the transforms read. An image lies on one side, rows and
// pixels so many elements apart, 16 planes on the other, planes and tiles so many
// elements apart. Kernels in assembly load the fields by their offset (see
// _gen/amd64/winograd_f32.go and TestWinogradArgsLayout).
//
// input sets, for tile i and channel j, element dstPos+k*plane+i*tile+j of dst, k = 0 to 15,
// to element k, row by row, of the transform of the 4x4 pixels at srcPos+2*i*pix of
// src. output sets the 2x2 pixels at dstPos+2*i*pix of dst to clamp(transform + bias[j] + add), the transform
// being of the 16 elements srcPos+k*plane+i*tile+j of src; add takes no part when
// it is empty.
type winogradArgs struct {
	src, dst, bias, add    []float32
	srcPos, dstPos, addPos int
	row, pix               int // of the image
	addRow, addPix         int // of add
	plane, tile            int
	channels, tiles        int // channels are a multiple of winogradChannels; tiles may be 0 afterwards
	lo, hi                 float32
}

const (
	winogradChannels = 16      // what both numbers of channels are a multiple of
	winogradBlock    = 1 << 16 // elements, about, of the planes that are in work at a time
)

// winogradPays reports whether the transforms cost less than the multiplications they
// save: with kernels of their own they always do.
func winogradPays(have Features, spec ConvSpec, m, c int) bool {
	return pickKernel("winogradF32", have).needs != Generic && spec == ConvSpec{3, 3, 1, 1, 1, 1, 1} &&
		m%winogradChannels == 0 && c%winogradChannels == 0
}

// packWinogradF32 transforms the weights, in ONNX's order [m][c][3][3], each kernel g to G*g*transpose(G).
func packWinogradF32(w, bias []float32, m, c int, tiles tileSet, kernels winogradKernels) *winogradF32 {
	f := &winogradF32{bias: aligned[float32](m), c: c, m: m, kernels: kernels}
	copy(f.bias, bias)
	for k := range f.planes {
		f.planes[k] = tiles.panels(0, m, 0, c, nil, nil)
	}
	for i, p := range f.planes[0] {
		width := len(p.bias)
		for o := p.first; o < p.first+p.cols; o++ {
			for d := range c {
				for k, v := range winogradWeights(w[(o*c+d)*9:][:9]) {
					f.planes[k][i].w[d*width+o-p.first] = v
				}
			}
		}
	}
	return f
}

// winogradWeights returns G*g*transpose(G) for a 3x3 kernel g, in float64 but for the
// result: it is done once.
//
//	    | 1    0   0  |
//	G = | 1/2  1/2 1/2 |
//	    | 1/2 -1/2 1/2 |
//	    | 0    0   1  |
func winogradWeights(g []float32) (out [16]float32) {
	times := func(a, b, c float64) [4]float64 { return [4]float64{a, (a + c + b) / 2, (a + c - b) / 2, c} }
	var rows [3][4]float64 // g*transpose(G)
	for y := range rows {
		rows[y] = times(float64(g[3*y]), float64(g[3*y+1]), float64(g[3*y+2]))
	}
	for x := range 4 {
		for y, v := range times(rows[0][x], rows[1][x], rows[2][x]) {
			out[4*y+x] = float32(v)
		}
	}
	return out
}

// winogradCall is the state of one call of [winogradF32.run].
type winogradCall struct {
	*winogradF32
	dst, src    Image[float32]
	add         *Image[float32]
	y0, y1      int // the rows of dst
	first, last int // the channels of dst
	in, out     []float32
	edge, sums  []float32 // the source of a tile at the border, and what comes out of it
	buf         []float32
	args        winogradArgs // of the transforms
	product     tileArgs
	taps        [1]int
}

var winogradCalls = sync.Pool{New: func() any { return new(winogradCall) }}

// run computes rows [y0, y1) of panels [p0, p1): see [ConvF32.RunPanels].
func (f *winogradF32) run(dst, src Image[float32], add *Image[float32], lo, hi float32, y0, y1, p0, p1 int) {
	w := winogradCalls.Get().(*winogradCall)
	defer w.release()
	panels := f.planes[0][p0:p1]
	last := panels[len(panels)-1]
	w.winogradF32, w.dst, w.src, w.add, w.y0, w.y1 = f, dst, src, add, y0, y1
	w.first, w.last = panels[0].first, last.first+last.cols
	across := (dst.W + 1) / 2
	down := min(max(1, winogradBlock/(16*across*(f.c+f.m))), (y1+1)/2-y0/2)
	w.args = winogradArgs{lo: lo, hi: hi}
	w.allocate(across * down)
	for y := y0 / 2; 2*y < y1; y += down {
		rows := min(down, (y1+1)/2-y)
		for i := range rows {
			w.transformIn(y+i, i*across)
		}
		w.multiply(rows*across, p0, p1)
		for i := range rows {
			w.transformOut(y+i, i*across)
		}
	}
}

// release forgets the caller's slices.
func (w *winogradCall) release() {
	*w = winogradCall{buf: w.buf}
	winogradCalls.Put(w)
}

// allocate lays out the planes for so many tiles. Neither tiles nor planes may be apart by a
// power of two: they would push one another out of the cache.
func (w *winogradCall) allocate(tiles int) {
	pad := func(n int) int {
		if collide(n) {
			return n + cacheLine/4
		}
		return n
	}
	inTile, outTile := pad(w.c), pad(w.m)
	in, out := tiles*inTile+cacheLine/4, tiles*outTile+cacheLine/4
	if n := 16*(in+out+w.c) + 4*w.m; cap(w.buf) < n {
		w.buf = aligned[float32](n)
	}
	buf := w.buf[:cap(w.buf)]
	take := func(n int) []float32 {
		part := buf[:n]
		buf = buf[n:]
		return part
	}
	w.in, w.out, w.edge, w.sums = take(16*in), take(16*out), take(16*w.c), take(4*w.m)
	w.product = tileArgs{src: w.in, dst: w.out, taps: w.taps[:], run: w.c, srcStep: inTile, dstStep: outTile, lo: negInfF32, hi: posInfF32}
}

// whole reports how many tiles of row y of tiles lie inside the image: all or all but the
// last, or none if the row reaches beyond it.
func (w *winogradCall) whole(y int) int {
	if 2*y+2 > w.dst.H {
		return 0
	}
	return w.dst.W / 2
}

// transformIn transforms row y of tiles to the planes' tiles from at on.
func (w *winogradCall) transformIn(y, at int) {
	a := &w.args
	a.dst, a.plane, a.tile, a.channels = w.in, len(w.in)/16, w.product.srcStep, w.c
	a.src, a.row, a.pix = w.src.Data, w.src.RowStride, w.src.PixStride
	a.srcPos, a.dstPos = 2*y*a.row, at*a.tile
	whole := w.whole(y)
	if a.tiles = whole; whole > 0 {
		w.kernels.input(a)
	}
	a.src, a.row, a.pix, a.srcPos = w.edge, 4*w.c, w.c, 0
	for x := whole; 2*x < w.dst.W; x++ {
		clear(w.edge)
		for dy := range min(4, w.dst.H+2-2*y) {
			for dx := range min(4, w.dst.W+2-2*x) {
				copy(w.edge[(4*dy+dx)*w.c:][:w.c], w.src.Data[(2*y+dy)*w.src.RowStride+(2*x+dx)*w.src.PixStride:])
			}
		}
		a.dstPos, a.tiles = (at+x)*a.tile, 1
		w.kernels.input(a)
	}
}

// multiply makes the products of the planes' first tiles with the weights.
func (w *winogradCall) multiply(tiles, p0, p1 int) {
	for k := range w.planes {
		panels := w.planes[k][p0:p1]
		for i := range panels {
			p := &panels[i]
			a := &w.product
			a.srcPos, a.dstPos = k*len(w.in)/16, k*len(w.out)/16+p.first
			p.row(a, tiles)
		}
	}
}

// transformOut transforms the planes' tiles from at on to row y of tiles.
func (w *winogradCall) transformOut(y, at int) {
	a := &w.args
	a.src, a.plane, a.tile, a.channels = w.out, len(w.out)/16, w.product.dstStep, w.last-w.first
	a.dst, a.row, a.pix, a.bias = w.dst.Data, w.dst.RowStride, w.dst.PixStride, w.bias[w.first:]
	a.srcPos, a.dstPos = at*a.tile+w.first, 2*y*a.row+w.first
	whole := 0
	if 2*y >= w.y0 && 2*y+2 <= w.y1 {
		whole = w.whole(y)
	}
	a.add = nil
	if w.add != nil {
		a.add, a.addRow, a.addPix = w.add.Data, w.add.RowStride, w.add.PixStride
		a.addPos = 2*y*a.addRow + w.first
	}
	if a.tiles = whole; whole > 0 {
		w.kernels.output(a)
	}
	lo, hi := a.lo, a.hi
	a.dst, a.row, a.pix, a.add, a.dstPos, a.lo, a.hi = w.sums, 2*w.m, w.m, nil, 0, negInfF32, posInfF32
	for x := whole; 2*x < w.dst.W; x++ {
		a.srcPos, a.tiles = (at+x)*a.tile+w.first, 1
		w.kernels.output(a)
		for dy := max(0, w.y0-2*y); dy < min(2, w.y1-2*y); dy++ {
			for dx := range min(2, w.dst.W-2*x) {
				w.finish(w.sums[(2*dy+dx)*w.m:], 2*y+dy, 2*x+dx, lo, hi)
			}
		}
	}
	a.lo, a.hi = lo, hi
}

// finish writes one pixel from its sums.
func (w *winogradCall) finish(sums []float32, y, x int, lo, hi float32) {
	n := w.last - w.first
	pixel := w.dst.Data[y*w.dst.RowStride+x*w.dst.PixStride+w.first:][:n]
	if w.add != nil {
		addF32(sums[:n], sums[:n], w.add.Data[y*w.add.RowStride+x*w.add.PixStride+w.first:][:n])
	}
	clampMapF32(pixel, sums[:n], lo, hi)
}
