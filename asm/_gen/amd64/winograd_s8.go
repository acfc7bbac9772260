package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of winogradArgsS8 (TestArgsLayoutS8 pins them).
const (
	wsSrc, wsPlanes, wsProducts, wsBias, wsSums   = 0, 24, 48, 72, 96
	wsRow, wsPix, wsPlane, wsTile, wsTiles, wsWay = 120, 128, 136, 144, 152, 160
	wsDst, wsParams                               = 168, 192
)

// winogradS8s declares the transforms of winogradKernelsS8.
func winogradS8s(c *Context) {
	s := simd{c, 8, "AVX2"}
	s.declare("winogradInputS8", "transforms a row of tiles of 16 channels of an image to planes.", "winogradArgsS8")
	w := winogradS8{simd: s}
	w.input()
	s.declare("winogradSumsS8", "transforms a row of tiles of planes, 8 channels at a time, to sums.", "winogradArgsS8")
	w = winogradS8{simd: s}
	w.sums()
	order := blockOrder(c, "winogradS8Order", 2)
	for _, mode := range []struct {
		name    string
		rescale func(t *tileS8, args Register, acc VecVirtual, v int)
	}{{"Float", (*tileS8).scale}, {"Shift", (*tileS8).shift}} {
		s.declare("winograd"+mode.name+"S8", "transforms a row of tiles of planes, 16 channels at a time, to bytes.", "winogradArgsS8")
		w = winogradS8{simd: s}
		w.bytes(order, mode.rescale)
	}
	for _, vecs := range []int{2, 1} {
		for m := 1; m <= 12/vecs; m++ {
			s.declare(fmt.Sprintf("tileS16x%dx%d", 8*vecs, m), fmt.Sprintf("makes tiles of %d pixels by %d channels (see winogradKernelsS8).", m, 8*vecs), "tileArgsS8")
			t := tileS8{simd: s, pixels: m, vecs: vecs}
			t.pairs()
		}
	}
}

type winogradS8 struct {
	simd
	plane, four, twelve GPVirtual // bytes from a plane to the first, fourth and twelfth after it
}

func (w *winogradS8) field(at int) GPVirtual {
	r := w.GP64()
	w.MOVQ(Mem{Base: w.Load(w.Param("a"), w.GP64()), Disp: at}, r)
	return r
}

func (w *winogradS8) loadPlanes() {
	w.plane, w.four, w.twelve = w.field(wsPlane), w.GP64(), w.GP64()
	w.MOVQ(w.plane, w.four)
	w.SHLQ(Imm(2), w.four)
	w.LEAQ(Mem{Base: w.four, Index: w.four, Scale: 2}, w.twelve)
}

// at returns the address of row y of the planes of one column, the first at base.
func (w *winogradS8) at(base Register, y int) Mem {
	switch y {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: w.twelve, Scale: 1}
	}
	return Mem{Base: base, Index: w.four, Scale: uint8(y)}
}

// input takes the tiles of a row from left to right. The two columns that a tile shares with
// the next stay in registers; three sets of four registers take turns.
func (w *winogradS8) input() {
	w.loadPlanes()
	src, dst, row, pix, tile, tiles := w.field(wsSrc), w.field(wsPlanes), w.field(wsRow), w.field(wsPix), w.field(wsTile), w.field(wsTiles)
	thrice := w.GP64()
	w.LEAQ(Mem{Base: row, Index: row, Scale: 2}, thrice)
	// column loads the next column of the image to v and does transpose(B)*v.
	column := func(v []VecVirtual) {
		for y, from := range []Mem{{Base: src}, {Base: src, Index: row, Scale: 1}, {Base: src, Index: row, Scale: 2}, {Base: src, Index: thrice, Scale: 1}} {
			w.VPMOVZXBW(from, v[y])
		}
		w.ADDQ(pix, src)
		sum := w.YMM()
		w.VPSUBW(v[2], v[0], v[0])
		w.VPSUBW(v[3], v[1], v[3])
		w.VPADDW(v[1], v[2], sum)
		w.VPSUBW(v[1], v[2], v[2])
		w.VMOVDQA(sum, v[1])
	}
	to := w.GP64()
	// store stores a column of what has been transformed from both sides.
	store := func(op func(...Op), y, x []VecVirtual) {
		for i := range x {
			out := w.YMM()
			op(y[i], x[i], out)
			w.VMOVDQU(out, w.at(to, i))
		}
		w.ADDQ(w.plane, to)
	}
	var sets [3][]VecVirtual
	for i := range sets {
		sets[i] = []VecVirtual{w.YMM(), w.YMM(), w.YMM(), w.YMM()}
	}
	sub, add := w.VPSUBW, w.VPADDW
	column(sets[0])
	column(sets[1])
	w.Label("tile")
	for i := range sets {
		// The columns of transpose(B)*d are a, b, c and, where a was, d.
		a, b, c := sets[2*i%3], sets[(2*i+1)%3], sets[(2*i+2)%3]
		w.MOVQ(dst, to)
		column(c)
		store(sub, c, a)
		column(a)
		store(add, c, b)
		store(sub, b, c)
		store(sub, a, b)
		w.ADDQ(tile, dst)
		w.DECQ(tiles)
		w.JZ(LabelRef("done"))
	}
	w.JMP(LabelRef("tile"))
	w.Label("done")
	w.VZEROUPPER()
	w.RET()
}

// pixels emits the transform of a vector of channels, at in bytes, of the tile at src: the sums of its four pixels.
func (w *winogradS8) pixels(src, bias GPVirtual, at Mem) [2][2]VecVirtual {
	from := w.GP64()
	at.Base = src
	w.LEAQ(at, from)
	var s [2][4]VecVirtual
	for x := range 4 {
		m1, m2 := w.YMM(), w.YMM()
		s[0][x], s[1][x] = w.YMM(), m1
		w.VMOVDQU(w.at(from, 1), m1)
		w.VMOVDQU(w.at(from, 2), m2)
		w.VPADDD(m2, m1, s[0][x])
		w.VPADDD(w.at(from, 0), s[0][x], s[0][x])
		w.VPSUBD(m2, m1, m1)
		w.VPSUBD(w.at(from, 3), m1, m1)
		if x < 3 {
			w.ADDQ(w.plane, from)
		}
	}
	var out [2][2]VecVirtual
	at.Base = bias
	for y, v := range s {
		sum, right := v[0], v[1]
		w.VPADDD(v[1], sum, sum)
		w.VPADDD(v[2], sum, sum)
		w.VPSUBD(v[2], v[1], right)
		w.VPSUBD(v[3], right, right)
		out[y] = [2]VecVirtual{sum, right}
		for _, o := range out[y] {
			w.VPSRAD(Imm(2), o, o)
			w.VPADDD(at, o, o)
		}
	}
	return out
}

// sums takes vector by vector of the channels of each tile.
func (w *winogradS8) sums() {
	w.loadPlanes()
	src, dst, bias, row, pix, tiles := w.field(wsProducts), w.field(wsSums), w.field(wsBias), w.field(wsRow), w.field(wsPix), w.field(wsTiles)
	below, to, left := w.GP64(), w.GP64(), w.GP64()
	w.Label("tile")
	at := w.GP64()
	w.XORQ(at, at)
	w.MOVQ(w.field(wsWay), left)
	w.Label("channels")
	out := w.pixels(src, bias, Mem{Index: at, Scale: 1})
	w.LEAQ(Mem{Base: dst, Index: at, Scale: 1}, to)
	w.LEAQ(Mem{Base: to, Index: row, Scale: 1}, below)
	for y, base := range []Register{to, below} {
		w.VMOVDQU(out[y][0], Mem{Base: base})
		w.VMOVDQU(out[y][1], Mem{Base: base, Index: pix, Scale: 1})
	}
	w.ADDQ(Imm(32), at)
	w.SUBQ(Imm(8), left)
	w.JNZ(LabelRef("channels"))
	w.ADDQ(w.field(wsTile), src)
	w.LEAQ(Mem{Base: dst, Index: pix, Scale: 2}, dst)
	w.DECQ(tiles)
	w.JNZ(LabelRef("tile"))
	w.VZEROUPPER()
	w.RET()
}

// bytes requantizes the sums of 16 channels of each tile.
func (w *winogradS8) bytes(orderTable Mem, rescale func(t *tileS8, args Register, acc VecVirtual, v int)) {
	w.loadPlanes()
	src, dst, bias, row, pix, tiles := w.field(wsProducts), w.field(wsDst), w.field(wsBias), w.field(wsRow), w.field(wsPix), w.field(wsTiles)
	params := w.field(wsParams)
	t := tileS8{simd: w.simd, vecs: 2}
	w.Label("tile")
	var q [2][2][2]VecVirtual // [y][x][vector]
	for v := range 2 {
		for y, pixels := range w.pixels(src, bias, Mem{Disp: 32 * v}) {
			for x, p := range pixels {
				rescale(&t, params, p, v)
				q[y][x][v] = p
			}
		}
	}
	order, to := w.YMM(), dst
	w.VMOVDQU(orderTable, order)
	below := w.GP64()
	w.LEAQ(Mem{Base: dst, Index: row, Scale: 1}, below)
	for y := range 2 {
		packed := t.pack(params, append(q[y][0][:], q[y][1][:]...))
		w.VPERMD(packed, order, packed)
		t.storePixel(packed, 0, Mem{Base: to})
		t.storePixel(packed, 1, Mem{Base: to, Index: pix, Scale: 1})
		to = below
	}
	w.ADDQ(w.field(wsTile), src)
	w.LEAQ(Mem{Base: dst, Index: pix, Scale: 2}, dst)
	w.DECQ(tiles)
	w.JNZ(LabelRef("tile"))
	w.VZEROUPPER()
	w.RET()
}

// pairs emits a product of 16-bit activations, two in place of four bytes, by 16-bit weights: one tap,
// no bias, a multiple of four pairs, to sums.
func (t *tileS8) pairs() {
	const unroll = 4
	first, acc, weights := t.field(s8Src), t.field(s8Acc), t.field(s8Weights16)
	size, tiles, next := t.field(s8Quads), t.field(s8Tiles), t.GP64()
	row := t.row(first)
	t.IMUL3Q(Imm(uint64(t.pixels)), row.stride, next)
	t.SHLQ(Imm(2), size) // bytes of a pixel
	t.SUBQ(size, next)
	t.Label("tile")
	t.acc = make([][]VecVirtual, t.pixels)
	for p := range t.acc {
		for v := range t.vecs {
			t.acc[p] = append(t.acc[p], t.YMM())
			t.VPXOR(t.acc[p][v], t.acc[p][v], t.acc[p][v])
		}
	}
	w, left := t.GP64(), t.GP64()
	t.MOVQ(weights, w)
	t.MOVQ(size, left)
	t.Label("pairs")
	for i := range unroll {
		vectors := t.loadWeights(w, i)
		for p := range t.pixels {
			x, from := t.YMM(), row.at(p)
			from.Disp = 4 * i
			t.VPBROADCASTD(from, x)
			t.addPairs(vectors, x, t.acc[p])
		}
	}
	t.ADDQ(I32(unroll*t.vecs*32), w)
	for _, b := range row.bases {
		t.ADDQ(Imm(4*unroll), b)
	}
	t.SUBQ(Imm(4*unroll), left)
	t.JNZ(LabelRef("pairs"))
	for p := range t.acc {
		for v := range t.acc[p] {
			t.VMOVDQU(t.acc[p][v], Mem{Base: acc, Disp: (p*t.vecs + v) * 32})
		}
	}
	t.ADDQ(I32(t.pixels*t.vecs*32), acc)
	for _, b := range row.bases {
		t.ADDQ(next, b)
	}
	t.DECQ(tiles)
	t.JNZ(LabelRef("tile"))
	t.VZEROUPPER()
	t.RET()
}
