package asm

import (
	"math"
	"unsafe"
)

// winogradKernelsS8 make a 3x3 convolution of bytes of stride 1 by the minimal algorithm F(2x2, 3x3)
// (see winogradF32) in integers, and exactly. With G doubled, the transform of the weights is
// whole, at most 1152 in magnitude, that of the bytes at most 1020, and what comes out is four times the sum.
// Whatever wraps around on the way, it is right modulo 1<<32, and the sum so if four
// times as much fits int32 (see fits).
type winogradKernelsS8 struct {
	input func(*winogradArgsS8)              // an image to planes, 16 channels at a time
	sums  func(*winogradArgsS8)              // planes of products to sums
	bytes [ByShift + 1]func(*winogradArgsS8) // the same to bytes, by mode, 16 channels at a time; may be nil
	group int                                // channels whose weights for one output lie side by side: 2, as tileArgsS8 says, or 1
	tiles *tileKernelS8                      // products of planes: one tap, of which four bytes are two int16, and no bias
}

// winogradArgsS8 describes a row of tiles. A tile is 4x4 pixels of bytes, the next one is two pixels on; or
// 2x2 pixels of sums. Assembly loads the fields by their offset (see
// _gen/amd64/winograd_s8.go and TestArgsLayoutS8).
//
// input sets element k*plane+i*tile of planes, for k = 0 to 15, to element k, row by row, of
// transpose(B)*d*B, d being tile i of src, for 16 channels. sums sets tile i of sums, for way channels,
// to transpose(A)*t*A>>2 + bias, t being the elements k*plane+i*tile of products. bytes does that for 16 channels of
// dst, requantized as params says.
type winogradArgsS8 struct {
	src      []uint8
	planes   []int16
	products []int32
	bias     []int32
	sums     []int32
	row, pix int // bytes from row to row and pixel to pixel of src, sums or dst
	plane    int // bytes from plane to plane
	tile     int // bytes from tile to tile of planes or products
	tiles    int
	way      int // channels, a multiple of 8
	dst      []uint8
	params   *tileArgsS8 // its fields for bytes
}

const (
	winogradChannelsS8 = 16       // what the number of source channels is a multiple of
	winogradBlockS8    = 96 << 10 // bytes, about, of the planes that are in work at a time ...
	winogradTilesS8    = 24       // ... but for no fewer tiles than this, if there are as many
)

// fits reports whether a convolution by the weights w [m][c][3][3] can be done by kernels, which may be nil.
func (k *winogradKernelsS8) fits(w []int16, m, c int, spec ConvSpec, passes int) bool {
	if k == nil || passes > 1 || spec != (ConvSpec{3, 3, 1, 1, 1, 1, 1}) || c%winogradChannelsS8 != 0 {
		return false
	}
	for o := range m {
		var high, low int64 // of the sum of the products with bytes, without the bias
		for _, v := range w[o*c*9:][:c*9] {
			high += 255 * max(int64(v), 0)
			low += 255 * min(int64(v), 0)
		}
		if 4*high > math.MaxInt32 || 4*low < math.MinInt32 {
			return false
		}
	}
	return true
}

// winograd packs for f.winograd: of each panel 16 planes, one after the other, as tileArgsS8 says.
func (p *packerS8) winograd(k *winogradKernelsS8, m int) []panelS8 {
	panels := p.layOut(k.tiles, m, 1)
	for i := range panels {
		panel := &panels[i]
		plane := p.inner * panel.width
		panel.quads, panel.bias, panel.weights16 = p.inner/2, aligned[int32](panel.width), aligned[int16](16*plane)
		copy(panel.bias, p.bias[panel.first:][:panel.channels])
		for n := range panel.channels {
			for c := range p.inner {
				for j, v := range winogradWeightsS8(p.w[((panel.first+n)*p.inner+c)*9:][:9]) {
					panel.weights16[j*plane+(c/k.group*panel.width+n)*k.group+c%k.group] = v
				}
			}
		}
	}
	return panels
}

// winogradWeightsS8 returns 2G*g*transpose(2G) for a 3x3 kernel g (see winogradWeights).
func winogradWeightsS8(g []int16) (out [16]int16) {
	times := func(a, b, c int16) [4]int16 { return [4]int16{2 * a, a + b + c, a - b + c, 2 * c} }
	var rows [3][4]int16 // g*transpose(2G)
	for y := range rows {
		rows[y] = times(g[3*y], g[3*y+1], g[3*y+2])
	}
	for x := range 4 {
		for y, v := range times(rows[0][x], rows[1][x], rows[2][x]) {
			out[4*y+x] = v
		}
	}
	return out
}

// winogradScratch is what the minimal algorithm needs besides its arguments.
type winogradScratch struct {
	args          winogradArgsS8
	params        tileArgsS8 // of args
	tiles, across int        // of the planes in work, and of a row of them
	planes        []int16
	prods         []int32
	sums          []int32
	edge          []uint8 // of a source that is smaller than a tile
}

// grown returns x or, if it is shorter than n, a new slice.
func grown[T any](x []T, n int) []T {
	if len(x) < n {
		return aligned[T](n)
	}
	return x
}

// outputS8 is the output of a convolution: bytes that are to be requantized and, where that can be done at once, are
// written to dst; otherwise, or if there is no requant, sums are handed on.
type outputS8 struct {
	w       int // pixels of a row
	dst     Image[uint8]
	requant *Requant
}

// winogradRows does for a convolution by the minimal algorithm what blocks and sums do for others, for
// rows [y0, y1) of panels [p0, p1).
func (f *ConvS8) winogradRows(src Image[uint8], out outputS8, y0, y1, p0, p1 int, emit func(sumsS8), finish func(y0, y1 int)) {
	s := s8Scratches.Get().(*s8Scratch)
	defer s.release()
	src = s.wino.whole(src)
	down := f.allocateWinograd(s, out.w, y1-y0)
	for ; y0 < y1; y0 += 2 * down {
		end := min(y0+2*down, y1)
		rows := (end - y0 + 1) / 2
		top := func(i int) int { return min(y0+2*i, src.H-4) } // the last may overlap the one before
		for i := range rows {
			f.winogradInput(s, src, top(i), out.w, i*s.wino.across)
		}
		for i := range f.panels[p0:p1] {
			p := &f.panels[p0+i]
			f.winogradProducts(s, p, rows*s.wino.across)
			for i := range rows {
				f.winogradOutput(s, &out, p, top(i), y0+2*i, end, i*s.wino.across, emit)
			}
		}
		finish(y0, end)
	}
}

// allocateWinograd lays out planes for outputs so wide and high and returns how many rows of tiles they hold.
func (f *ConvS8) allocateWinograd(s *s8Scratch, w, h int) int {
	width := f.panels[0].width
	x := &s.wino
	x.across = (w + 1) / 2
	tiles := max(winogradTilesS8, winogradBlockS8/(16*(2*f.c+4*width)))
	down := min(max(1, tiles/x.across), (h+1)/2)
	x.tiles = x.across * down
	x.planes = grown(x.planes, 16*f.planeS8(x.tiles))
	x.prods = grown(x.prods, 16*x.tiles*width+len(s.acc)) // tilesOf wants room for a tile
	x.sums = grown(x.sums, 4*x.across*width)
	return down
}

// planeS8 returns how many elements a plane of so many tiles takes. Planes are not apart by a power
// of two: they would push one another out of the cache.
func (f *ConvS8) planeS8(tiles int) int { return tiles*f.c + cacheLine/2 }

// whole returns src, or a copy with more rows or columns if it is smaller than a tile:
// what they hold reaches no sum that is asked for.
func (s *winogradScratch) whole(src Image[uint8]) Image[uint8] {
	if src.H >= 4 && src.W >= 4 {
		return src
	}
	out := Image[uint8]{H: max(4, src.H), W: max(4, src.W), C: src.C, PixStride: src.C}
	out.RowStride = out.W * out.C
	s.edge = grown(s.edge, out.H*out.RowStride)
	out.Data = s.edge
	for y := range src.H {
		for x := range src.W {
			copy(out.Data[y*out.RowStride+x*out.PixStride:][:src.C], src.Data[y*src.RowStride+x*src.PixStride:])
		}
	}
	return out
}

// eachTile calls kernel for the tiles of a row w wide, tile x starting with pixel 2x: the last of an odd
// width overlaps the one before.
func (a *winogradArgsS8) eachTile(w int, from func(tile, pixel int), kernel func(*winogradArgsS8)) {
	if a.tiles = w / 2; a.tiles > 0 {
		from(0, 0)
		kernel(a)
	}
	if w%2 > 0 {
		from(w/2, max(0, w-2))
		a.tiles = 1
		kernel(a)
	}
}

// winogradInput transforms the row of tiles whose outputs start with row y, w wide, to tiles from at on.
func (f *ConvS8) winogradInput(s *s8Scratch, src Image[uint8], y, w, at int) {
	a := &s.wino.args
	*a = winogradArgsS8{row: src.RowStride, pix: src.PixStride, plane: 2 * f.planeS8(s.wino.tiles), tile: 2 * f.c}
	for c := 0; c < f.c; c += winogradChannelsS8 {
		a.eachTile(w, func(tile, pixel int) {
			a.planes, a.src = s.wino.planes[(at+tile)*f.c+c:], src.Data[y*src.RowStride+pixel*src.PixStride+c:]
		}, f.winograd.input)
	}
}

// winogradProducts multiplies the first tiles of all planes by the panel's weights.
func (f *ConvS8) winogradProducts(s *s8Scratch, p *panelS8, tiles int) {
	a := &s.tile
	*a = tileArgsS8{srcStep: 2 * f.c, quads: p.quads, width: p.width}
	planes := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(s.wino.planes))), 2*len(s.wino.planes))
	weights := len(p.weights16) / 16
	for k := range 16 {
		a.weights16 = p.weights16[k*weights:][:weights]
		for done := 0; done < tiles; {
			a.acc = s.wino.prods[(k*s.wino.tiles+done)*p.width:]
			done += tilesOf(p.kernel.kernels[p.kind], a, planes[2*(k*f.planeS8(s.wino.tiles)+done*f.c):], tiles-done)
		}
	}
}

// winogradOutput deals with the products of the row of tiles from at on, whose outputs start with row top: it makes
// rows [y, y+2) of them, but none from end on.
func (f *ConvS8) winogradOutput(s *s8Scratch, out *outputS8, p *panelS8, top, y, end, at int, emit func(sumsS8)) {
	x, dst := &s.wino, &out.dst
	a := &x.args
	*a = winogradArgsS8{bias: p.bias, plane: 4 * x.tiles * p.width, tile: 4 * p.width, way: p.width}
	if r := out.requant; r != nil && f.winograd.bytes[r.mode] != nil && p.channels == 16 && out.w > 1 && top == y && y+2 <= end && r.plain() {
		x.params.setBytes(r, p, 0)
		a.row, a.pix, a.params = dst.RowStride, dst.PixStride, &x.params
		a.eachTile(out.w, func(tile, pixel int) {
			a.products, a.dst = x.prods[(at+tile)*p.width:], dst.Data[y*a.row+pixel*a.pix+p.first:]
		}, f.winograd.bytes[r.mode])
		return
	}
	w := max(2, out.w)
	a.row, a.pix = 4*w*p.width, 4*p.width
	a.eachTile(out.w, func(tile, pixel int) {
		a.products, a.sums = x.prods[(at+tile)*p.width:], x.sums[pixel*p.width:]
	}, f.winograd.sums)
	for last := min(y+2, end); y < last; y++ {
		emit(sumsS8{s, x.sums[(y-top)*w*p.width:], p, y, 0, out.w})
	}
}
