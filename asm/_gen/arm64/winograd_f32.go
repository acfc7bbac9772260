package main

// Offsets of the fields of winogradArgs, checked by TestWinogradArgsLayout in package asm.
const (
	winogradSrc, winogradDst, winogradBias, winogradAdd = 0, 24, 48, 72
	winogradAddLen                                      = 80
	winogradSrcPos, winogradDstPos, winogradAddPos      = 96, 104, 112
	winogradRow, winogradPix                            = 120, 128
	winogradAddRow, winogradAddPix                      = 136, 144
	winogradPlane, winogradTile                         = 152, 160
	winogradChannels, winogradTiles                     = 168, 176
	winogradLo, winogradHi                              = 184, 188
)

// winogradF32 writes the transforms of winogradArgs: tile by tile, in each four channels at once.
func winogradF32(f *file) {
	winogradInput(f)
	winogradOutput(f)
}

// winograd is a transform that is being written.
type winograd struct {
	*fn
	args, tmp X
}

func (w winograd) load(at int, r X) { w.line("MOVD %d(%s), %s", at, w.args, r) }

// loadBytes loads a field that counts elements, in bytes.
func (w winograd) loadBytes(at int, r X) {
	w.load(at, r)
	w.line("LSL $2, %s, %s", r, r)
}

// loadAddress loads the address of an element of a slice.
func (w winograd) loadAddress(slice, pos int, r X) {
	w.loadBytes(pos, r)
	w.load(slice, w.tmp)
	w.line("ADD %s, %s, %s", w.tmp, r, r)
}

// loadPast loads how far it is, in bytes, from the last channels of a tile to the next tile, count steps on.
func (w winograd) loadPast(step, count int, r X) {
	w.loadBytes(step, r)
	if count == 2 {
		w.line("LSL $1, %s, %s", r, r)
	}
	w.loadBytes(winogradChannels, w.tmp)
	w.line("SUB %s, %s, %s", w.tmp, r, r)
}

func winogradInput(f *file) {
	const (
		args X = iota
		row0
		row1
		row2
		row3
		pix
		dst
		plane
		channels
		tiles
		nextTile
		nextPixel
		ptr
		tmp
	)
	rows := []X{row0, row1, row2, row3}
	w := winograd{f.function("winogradInputF32NEON", "transforms tiles of an image to planes.", "a *winogradArgs", ""), args, tmp}
	w.arg("a", "", args)
	w.loadAddress(winogradSrc, winogradSrcPos, row0)
	w.loadBytes(winogradRow, ptr)
	for i, r := range rows[1:] {
		w.line("ADD %s, %s, %s", ptr, rows[i], r)
	}
	w.loadBytes(winogradPix, pix)
	w.loadAddress(winogradDst, winogradDstPos, dst)
	w.loadBytes(winogradPlane, plane)
	w.loadPast(winogradTile, 1, nextTile)
	w.loadPast(winogradPix, 2, nextPixel)
	w.load(winogradTiles, tiles)

	tile, four := w.newLabel("tile"), w.newLabel("four")
	w.at(tile)
	w.load(winogradChannels, channels)
	w.at(four)
	var v [4][4]V
	for y, r := range rows {
		w.line("MOVD %s, %s", r, ptr)
		for x := range 4 {
			v[y][x] = V(4*y + x)
			w.ldrQ(v[y][x], ptr, 0)
			if x < 3 {
				w.line("ADD %s, %s, %s", pix, ptr, ptr)
			}
		}
		w.add(16, r)
	}
	spare := V(16)
	transform := func(a *V, b *V, c *V, d *V) { // to a-c, b+c, c-b, b-d
		w.op("fsub.4s", *a, *a, *c)
		w.op("fadd.4s", spare, *b, *c)
		w.op("fsub.4s", *c, *c, *b)
		w.op("fsub.4s", *d, *b, *d)
		*b, spare = spare, *b
	}
	for y := range 4 {
		transform(&v[y][0], &v[y][1], &v[y][2], &v[y][3])
	}
	for x := range 4 {
		transform(&v[0][x], &v[1][x], &v[2][x], &v[3][x])
	}
	w.line("MOVD %s, %s", dst, ptr)
	for k := range 16 {
		w.strQ(v[k/4][k%4], ptr, 0)
		if k < 15 {
			w.line("ADD %s, %s, %s", plane, ptr, ptr)
		}
	}
	w.add(16, dst)
	w.line("SUBS $4, %s, %s", channels, channels)
	w.line("BNE %s", four)
	for _, r := range rows {
		w.line("ADD %s, %s, %s", nextPixel, r, r)
	}
	w.line("ADD %s, %s, %s", nextTile, dst, dst)
	w.line("SUBS $1, %s, %s", tiles, tiles)
	w.line("BNE %s", tile)
	w.done()
}

func winogradOutput(f *file) {
	const (
		args X = iota
		src
		plane
		top
		below
		pix
		addTop
		addBelow
		addPix
		bias
		channels
		tiles
		ptr
		tmp
		nextTile
		nextPixel
	)
	const nextAdd, addLen X = 19, 20
	const lo, hi V = 30, 31
	w := winograd{f.function("winogradOutputF32NEON", "transforms tiles of planes to an image.", "a *winogradArgs", ""), args, tmp}
	w.arg("a", "", args)
	w.loadAddress(winogradSrc, winogradSrcPos, src)
	w.loadBytes(winogradPlane, plane)
	w.loadAddress(winogradDst, winogradDstPos, top)
	w.loadBytes(winogradRow, below)
	w.line("ADD %s, %s, %s", top, below, below)
	w.loadBytes(winogradPix, pix)
	w.loadAddress(winogradAdd, winogradAddPos, addTop)
	w.loadBytes(winogradAddRow, addBelow)
	w.line("ADD %s, %s, %s", addTop, addBelow, addBelow)
	w.loadBytes(winogradAddPix, addPix)
	w.load(winogradAddLen, addLen)
	w.loadPast(winogradTile, 1, nextTile)
	w.loadPast(winogradPix, 2, nextPixel)
	w.loadPast(winogradAddPix, 2, nextAdd)
	w.load(winogradTiles, tiles)
	w.line("MOVWU %d(%s), %s", winogradLo, args, tmp)
	w.op("dup.4s.gp", lo, tmp)
	w.line("MOVWU %d(%s), %s", winogradHi, args, tmp)
	w.op("dup.4s.gp", hi, tmp)

	tile, four, clamp := w.newLabel("tile"), w.newLabel("four"), w.newLabel("clamp")
	w.at(tile)
	w.load(winogradChannels, channels)
	w.load(winogradBias, bias)
	w.at(four)
	w.line("MOVD %s, %s", src, ptr)
	for k := range 16 {
		w.ldrQ(V(k), ptr, 0)
		if k < 15 {
			w.line("ADD %s, %s, %s", plane, ptr, ptr)
		}
	}
	w.add(16, src)
	// transform makes of a, b, c, d: to = b+c+a, and b-c-d in b.
	transform := func(to, a, b, c, d V) {
		w.op("fadd.4s", to, b, c)
		w.op("fadd.4s", to, to, a)
		w.op("fsub.4s", b, b, c)
		w.op("fsub.4s", b, b, d)
	}
	for x := range V(4) {
		transform(16+x, x, 4+x, 8+x, 12+x) // the first row of sums in 16-19, the second in 4-7
	}
	out := [4]V{20, 17, 21, 5}
	transform(out[0], 16, 17, 18, 19)
	transform(out[2], 4, 5, 6, 7)
	const more V = 22
	w.line("FMOVQ.P 16(%s), %s", bias, more.F())
	for _, o := range out {
		w.op("fadd.4s", o, o, more)
	}
	w.line("CBZ %s, %s", addLen, clamp)
	for i, row := range []X{addTop, addBelow} {
		w.line("ADD %s, %s, %s", addPix, row, ptr)
		w.ldrQ(more, row, 0)
		w.op("fadd.4s", out[2*i], out[2*i], more)
		w.ldrQ(more, ptr, 0)
		w.op("fadd.4s", out[2*i+1], out[2*i+1], more)
		w.add(16, row)
	}
	w.at(clamp)
	for i, row := range []X{top, below} {
		for _, o := range out[2*i : 2*i+2] {
			w.op("fmax.4s", o, o, lo)
			w.op("fmin.4s", o, o, hi)
		}
		w.line("ADD %s, %s, %s", pix, row, ptr)
		w.strQ(out[2*i], row, 0)
		w.strQ(out[2*i+1], ptr, 0)
		w.add(16, row)
	}
	w.line("SUBS $4, %s, %s", channels, channels)
	w.line("BNE %s", four)
	for _, s := range [][2]X{{nextTile, src}, {nextPixel, top}, {nextPixel, below}, {nextAdd, addTop}, {nextAdd, addBelow}} {
		w.line("ADD %s, %s, %s", s[0], s[1], s[1])
	}
	w.line("SUBS $1, %s, %s", tiles, tiles)
	w.line("BNE %s", tile)
	w.done()
}
