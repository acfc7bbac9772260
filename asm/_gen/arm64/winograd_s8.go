package main

import "fmt"

// Offsets of the fields of winogradArgsS8, checked by TestArgsLayoutS8 in package asm.
const (
	wsSrc, wsPlanes, wsProducts, wsBias, wsSums   = 0, 24, 48, 72, 96
	wsRow, wsPix, wsPlane, wsTile, wsTiles, wsWay = 120, 128, 136, 144, 152, 160
)

// winogradS8 writes the kernels of winogradKernelsS8.
func winogradS8(f *file) {
	winogradInputS8(f)
	winogradSumsS8(f)
	for pixels := 1; pixels <= 6; pixels++ {
		wideTile(f, pixels)
	}
}

// winogradInputS8 takes 16 channels of a tile in two halves: subtraction and addition of
// bytes widens them.
func winogradInputS8(f *file) {
	const (
		args X = iota
		row
		pix
		planes
		plane
		tile
		tiles
		src
		column
		ptr
		to
	)
	w := winograd{f.function("winogradInputS8NEON", "transforms a row of tiles of 16 channels of an image to planes.", "a *winogradArgsS8", ""), args, ptr}
	w.arg("a", "", args)
	w.load(wsSrc, src)
	w.load(wsRow, row)
	w.load(wsPix, pix)
	w.load(wsPlanes, planes)
	w.load(wsPlane, plane)
	w.load(wsTile, tile)
	w.load(wsTiles, tiles)
	next := w.newLabel("tile")
	w.at(next)
	for half := range 2 {
		var v [4][4]V // [y][x]
		w.line("ADD $%d, %s, %s", 8*half, src, column)
		for x := range 4 {
			w.line("MOVD %s, %s", column, ptr)
			for y := range 4 {
				w.line("FMOVD (%s), %s", ptr, V(24+y).F())
				w.line("ADD %s, %s, %s", row, ptr, ptr)
				v[y][x] = V(4*y + x)
			}
			w.op("usubl.8h", v[0][x], V(24), V(26))
			w.op("uaddl.8h", v[1][x], V(25), V(26))
			w.op("usubl.8h", v[2][x], V(26), V(25))
			w.op("usubl.8h", v[3][x], V(25), V(27))
			w.line("ADD %s, %s, %s", pix, column, column)
		}
		w.line("ADD $%d, %s, %s", 16*half, planes, to)
		for y := range 4 {
			out := []V{16, 17, 18, 19}
			w.op("sub.8h", out[0], v[y][0], v[y][2])
			w.op("add.8h", out[1], v[y][1], v[y][2])
			w.op("sub.8h", out[2], v[y][2], v[y][1])
			w.op("sub.8h", out[3], v[y][1], v[y][3])
			for _, o := range out {
				w.strQ(o, to, 0)
				w.line("ADD %s, %s, %s", plane, to, to)
			}
		}
	}
	w.line("ADD %s<<1, %s, %s", pix, src, src)
	w.line("ADD %s, %s, %s", tile, planes, planes)
	w.line("SUBS $1, %s, %s", tiles, tiles)
	w.line("BNE %s", next)
	w.done()
}

// winogradSumsS8 takes four channels of a tile at a time.
func winogradSumsS8(f *file) {
	const (
		args X = iota
		row
		pix
		products
		plane
		tile
		tiles
		bias
		sums
		left
		at
		ptr
		to
		below
	)
	w := winograd{f.function("winogradSumsS8NEON", "transforms a row of tiles of planes to sums.", "a *winogradArgsS8", ""), args, ptr}
	w.arg("a", "", args)
	w.load(wsProducts, products)
	w.load(wsRow, row)
	w.load(wsPix, pix)
	w.load(wsBias, bias)
	w.load(wsPlane, plane)
	w.load(wsTile, tile)
	w.load(wsTiles, tiles)
	w.load(wsSums, sums)
	next, four := w.newLabel("tile"), w.newLabel("four")
	w.at(next)
	w.load(wsWay, left)
	w.line("MOVD $0, %s", at)
	w.at(four)
	w.line("ADD %s, %s, %s", at, products, ptr)
	for k := range 16 {
		w.ldrQ(V(k), ptr, 0)
		w.line("ADD %s, %s, %s", plane, ptr, ptr)
	}
	s := [2][4]V{{16, 17, 18, 19}, {20, 21, 22, 23}} // the products are k = 4*y+x: of each column, two rows
	for x := range 4 {
		m0, m1, m2, m3 := V(x), V(4+x), V(8+x), V(12+x)
		w.op("add.4s", s[0][x], m0, m1)
		w.op("add.4s", s[0][x], s[0][x], m2)
		w.op("sub.4s", s[1][x], m1, m2)
		w.op("sub.4s", s[1][x], s[1][x], m3)
	}
	w.line("ADD %s, %s, %s", at, bias, ptr)
	w.ldrQ(V(24), ptr, 0)
	w.line("ADD %s, %s, %s", at, sums, to)
	w.line("ADD %s, %s, %s", row, to, below)
	for y, base := range []X{to, below} {
		v, out := s[y], []V{V(2 * y), V(2*y + 1)}
		w.op("add.4s", out[0], v[0], v[1])
		w.op("add.4s", out[0], out[0], v[2])
		w.op("sub.4s", out[1], v[1], v[2])
		w.op("sub.4s", out[1], out[1], v[3])
		for _, o := range out {
			w.op("sshr.4s", o, o, 2)
			w.op("add.4s", o, o, V(24))
			w.strQ(o, base, 0)
			w.line("ADD %s, %s, %s", pix, base, base)
		}
	}
	w.add(16, at)
	w.line("SUBS $4, %s, %s", left, left)
	w.line("BNE %s", four)
	w.line("ADD %s, %s, %s", tile, products, products)
	w.line("ADD %s<<1, %s, %s", pix, sums, sums)
	w.line("SUBS $1, %s, %s", tiles, tiles)
	w.line("BNE %s", next)
	w.done()
}

// wideTile multiplies 16-bit activations, eight of each pixel by lane, with 16-bit weights of 16
// channels: one tap, no bias, a multiple of four quads.
func wideTile(f *file, pixels int) {
	const (
		vX  V = 0 // one for each pixel
		vW  V = 6 // two
		acc V = 8 // four for each pixel
		end   = sT
	)
	fn := f.function(fmt.Sprintf("tileS16M%dNEON", pixels), fmt.Sprintf("makes tiles of %d pixels by 16 channels (see winogradKernelsS8).", pixels), "a *tileArgsS8", "")
	fn.arg("a", "", sArgs)
	fn.line("MOVD %d(%s), %s", s8Src, sArgs, sSrc)
	fn.line("MOVD %d(%s), %s", s8Acc, sArgs, sAcc)
	fn.line("MOVD %d(%s), %s", s8Tiles, sArgs, sTiles)
	fn.line("MOVD %d(%s), %s", s8SrcStep, sArgs, sStep)
	tile, eight := fn.newLabel("tile"), fn.newLabel("eight")
	fn.at(tile)
	fn.line("MOVD %d(%s), %s", s8Weights16, sArgs, sW)
	fn.line("MOVD %d(%s), %s", s8Quads, sArgs, sQuads)
	fn.line("MOVD %s, %s", sSrc, rPixel[0])
	for p := 1; p < pixels; p++ {
		fn.line("ADD %s, %s, %s", sStep, rPixel[p-1], rPixel[p])
	}
	for i := range V(4 * pixels) {
		fn.op("eor.16b", acc+i, acc+i, acc+i)
	}
	fn.at(eight)
	for p := range pixels {
		fn.line("FMOVQ.P 16(%s), %s", rPixel[p], (vX + V(p)).F())
	}
	for k := range 8 {
		fn.line("FLDPQ.P 32(%s), (%s, %s)", sW, vW.F(), (vW + 1).F())
		for p := range pixels {
			a := acc + V(4*p)
			fn.op("smlal.4s.lane", a, vW, vX+V(p), k)
			fn.op("smlal2.4s.lane", a+1, vW, vX+V(p), k)
			fn.op("smlal.4s.lane", a+2, vW+1, vX+V(p), k)
			fn.op("smlal2.4s.lane", a+3, vW+1, vX+V(p), k)
		}
	}
	fn.line("SUBS $4, %s, %s", sQuads, sQuads)
	fn.line("BNE %s", eight)
	for i := V(0); i < V(4*pixels); i += 2 {
		fn.line("FSTPQ.P (%s, %s), 32(%s)", (acc + i).F(), (acc + i + 1).F(), sAcc)
	}
	fn.line("MOVD $%d, %s", pixels, end)
	fn.line("MADD %s, %s, %s, %s", end, sSrc, sStep, sSrc)
	fn.line("SUBS $1, %s, %s", sTiles, sTiles)
	fn.line("BNE %s", tile)
	fn.done()
}
