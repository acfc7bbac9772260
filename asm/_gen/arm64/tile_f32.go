package main

import "fmt"

// Offsets of the fields of tileArgs, checked by TestTileArgsLayout in package
// asm.
const (
	tileSrc, tileDst, tileAdd, tileW, tileBias = 0, 24, 48, 72, 96
	tileAddLen                                 = 56
	tileTaps, tileTapsLen                      = 120, 128
	tileRun, tileTiles                         = 144, 152
	tileSrcStep, tileDstStep, tileAddStep      = 160, 168, 176
	tileSrcPos, tileDstPos, tileAddPos         = 184, 192, 200
	tileLo, tileHi                             = 208, 212
	tileCols                                   = 216
)

// General registers of the tile kernels; x0 and up are the pixels' pointers.
const (
	rArgs X = iota
	rW
	rTaps
	rTapsLeft
	rK
	rDst
	rAdd
	rTiles
	rT1
	rT2
	rT3
	rSrc
	rCols
)

// rPixel are the registers that point at the input of each pixel.
var rPixel = []X{13, 14, 15, 19, 20, 21, 22, 23}

// Vector registers of the tile kernels.
const (
	vAcc V = 0  // up to 16
	vX   V = 16 // up to 8, one for each pixel
	vW   V = 24 // up to 4
	vLo  V = 30
	vHi  V = 31
)

// tileF32 writes the kernels of tileArgs: products of m pixels by 4*vecs
// channels for m = 1..8, vecs = 1 and 2, and the depthwise ones.
func tileF32(f *file) {
	for _, vecs := range []int{2, 1} {
		for m := 1; m <= 8; m++ {
			denseTile(f, m, vecs)
		}
	}
	for m := 1; m <= 4; m++ {
		depthwiseTile(f, m)
	}
}

// denseTile takes four elements of each pixel's run at once, then single ones:
// each is multiplied, by lane, with the weights of all channels.
func denseTile(f *file, m, vecs int) {
	n := 4 * vecs
	fn := f.function(fmt.Sprintf("tileF32M%dN%dNEON", m, n), fmt.Sprintf("is tileF32 for %d pixels by %d channels.", m, n), "a *tileArgs", "")
	acc := func(p, v int) V { return vAcc + V(p*vecs+v) }
	tileProlog(fn)

	tile := fn.newLabel("tile")
	fn.at(tile)
	fn.line("MOVD %d(%s), %s", tileBias, rArgs, rT1)
	for v := range vecs {
		fn.ldrQ(acc(0, v), rT1, 16*v)
		for p := 1; p < m; p++ {
			fn.op("orr.16b", acc(p, v), acc(0, v), acc(0, v))
		}
	}
	fn.line("MOVD %d(%s), %s", tileW, rArgs, rW)
	fn.line("MOVD %d(%s), %s", tileTaps, rArgs, rTaps)
	fn.line("MOVD %d(%s), %s", tileTapsLen, rArgs, rTapsLeft)

	tap := fn.newLabel("tap")
	fn.at(tap)
	pixelPointers(fn, m)
	fn.line("MOVD %d(%s), %s", tileRun, rArgs, rK)
	four, one, next := fn.newLabel("four"), fn.newLabel("one"), fn.newLabel("next")
	fn.line("SUBS $4, %s, %s", rK, rK)
	fn.line("BLT %s", one)

	fn.at(four)
	for p := range m {
		fn.line("FMOVQ.P 16(%s), %s", rPixel[p], (vX + V(p)).F())
	}
	multiply := func(lane int, w V) {
		for p := range m {
			for v := range vecs {
				fn.op("fmla.4s.lane", acc(p, v), w+V(v), vX+V(p), lane)
			}
		}
	}
	if vecs == 2 {
		for pair := range 2 {
			fn.ldpQ(vW, vW+1, rW, 64*pair)
			fn.ldpQ(vW+2, vW+3, rW, 64*pair+32)
			multiply(2*pair, vW)
			multiply(2*pair+1, vW+2)
		}
	} else {
		fn.ldpQ(vW, vW+1, rW, 0)
		fn.ldpQ(vW+2, vW+3, rW, 32)
		for lane := range 4 {
			multiply(lane, vW+V(lane))
		}
	}
	fn.add(4*4*n, rW)
	fn.line("SUBS $4, %s, %s", rK, rK)
	fn.line("BGE %s", four)

	fn.at(one)
	fn.line("ADDS $4, %s, %s", rK, rK)
	fn.line("BEQ %s", next)
	single := fn.newLabel("single")
	fn.at(single)
	for p := range m {
		fn.line("FMOVS.P 4(%s), %s", rPixel[p], (vX + V(p)).F())
	}
	for v := range vecs {
		fn.line("FMOVQ.P 16(%s), %s", rW, (vW + V(v)).F())
	}
	multiply(0, vW)
	fn.line("SUBS $1, %s, %s", rK, rK)
	fn.line("BNE %s", single)

	fn.at(next)
	fn.line("SUBS $1, %s, %s", rTapsLeft, rTapsLeft)
	fn.line("BNE %s", tap)

	finish(fn, m, vecs, acc)
	fn.line("SUBS $1, %s, %s", rTiles, rTiles)
	fn.line("BNE %s", tile)
	tileEpilog(fn)
}

// tileProlog loads what stays the same for all tiles.
func tileProlog(fn *fn) {
	fn.arg("a", "", rArgs)
	fn.line("MOVD %d(%s), %s", tileTiles, rArgs, rTiles)
	fn.line("MOVD %d(%s), %s", tileCols, rArgs, rCols)
	for _, p := range tilePointers {
		fn.line("MOVD %d(%s), %s", p.base, rArgs, p.r)
		fn.line("MOVD %d(%s), %s", p.pos, rArgs, rT1)
		fn.line("ADD %s<<2, %s, %s", rT1, p.r, p.r)
	}
	fn.line("MOVD %d(%s), %s", tileAddLen, rArgs, rT1)
	fn.line("CMP $0, %s", rT1)
	fn.line("CSEL EQ, ZR, %s, %s", rAdd, rAdd) // no residual: nil
	fn.line("ADD $%d, %s, %s", tileLo, rArgs, rT1)
	fn.line("VLD1R (%s), [%s.S4]", rT1, vLo)
	fn.line("ADD $%d, %s, %s", tileHi, rArgs, rT1)
	fn.line("VLD1R (%s), [%s.S4]", rT1, vHi)
}

var tilePointers = []struct {
	r         X
	base, pos int
}{{rSrc, tileSrc, tileSrcPos}, {rDst, tileDst, tileDstPos}, {rAdd, tileAdd, tileAddPos}}

// tileEpilog stores the positions reached and returns.
func tileEpilog(fn *fn) {
	for _, p := range tilePointers {
		skip := fn.newLabel("skip")
		fn.line("CBZ %s, %s", p.r, skip)
		fn.line("MOVD %d(%s), %s", p.base, rArgs, rT1)
		fn.line("SUB %s, %s, %s", rT1, p.r, p.r)
		fn.line("ASR $2, %s, %s", p.r, p.r)
		fn.line("MOVD %s, %d(%s)", p.r, p.pos, rArgs)
		fn.at(skip)
	}
	fn.done()
}

// pixelPointers sets the registers of m pixels to the next tap's input.
func pixelPointers(fn *fn, m int) {
	fn.line("MOVD.P 8(%s), %s", rTaps, rT1)
	fn.line("ADD %s<<2, %s, %s", rT1, rSrc, rPixel[0])
	if m > 1 {
		fn.line("MOVD %d(%s), %s", tileSrcStep, rArgs, rT2)
	}
	for p := 1; p < m; p++ {
		fn.line("ADD %s<<2, %s, %s", rT2, rPixel[p-1], rPixel[p])
	}
}

// finish adds the residual, clamps and stores m pixels of 4*vecs channels, of
// which the last may be missing, and goes on to the next tile.
func finish(fn *fn, m, vecs int, acc func(p, v int) V) {
	part, end := fn.newLabel("part"), fn.newLabel("end")
	fn.line("CMP $%d, %s", 4*vecs, rCols)
	fn.line("BLT %s", part)
	for p := range m {
		skip := fn.newLabel("plain")
		fn.line("CBZ %s, %s", rAdd, skip)
		for v := range vecs {
			fn.ldrQ(vW, rAdd, 16*v)
			fn.op("fadd.4s", acc(p, v), acc(p, v), vW)
		}
		nextPixel(fn, tileAddStep, rAdd)
		fn.at(skip)
		for v := range vecs {
			clamp(fn, acc(p, v))
			fn.strQ(acc(p, v), rDst, 16*v)
		}
		nextPixel(fn, tileDstStep, rDst)
	}
	fn.line("B %s", end)

	fn.at(part)
	for p := range m {
		partial(fn, vecs, rAdd, func(v, lane int, ptr X) {
			fn.line("VLD1.P 4(%s), %s.S[%d]", ptr, vW+V(v), lane)
		})
		for v := range vecs {
			skip := fn.newLabel("plain")
			fn.line("CBZ %s, %s", rAdd, skip)
			fn.op("fadd.4s", acc(p, v), acc(p, v), vW+V(v))
			fn.at(skip)
			clamp(fn, acc(p, v))
		}
		partial(fn, vecs, rDst, func(v, lane int, ptr X) {
			fn.line("VST1.P %s.S[%d], 4(%s)", acc(p, v), lane, ptr)
		})
		skip := fn.newLabel("plain")
		fn.line("CBZ %s, %s", rAdd, skip)
		nextPixel(fn, tileAddStep, rAdd)
		fn.at(skip)
		nextPixel(fn, tileDstStep, rDst)
	}
	fn.at(end)
	fn.line("MOVD %d(%s), %s", tileSrcStep, rArgs, rT2)
	fn.line("MOVD $%d, %s", 4*m, rT1)
	fn.line("MADD %s, %s, %s, %s", rT1, rSrc, rT2, rSrc)
}

// partial does access for the lanes below rCols at ptr, unless ptr is nil.
func partial(fn *fn, vecs int, ptr X, access func(v, lane int, ptr X)) {
	done := fn.newLabel("lanes")
	fn.line("CBZ %s, %s", ptr, done)
	fn.line("MOVD %s, %s", ptr, rT3)
	for j := range 4*vecs - 1 {
		access(j/4, j%4, rT3)
		fn.line("CMP $%d, %s", j+1, rCols)
		fn.line("BEQ %s", done)
	}
	fn.at(done)
}

func clamp(fn *fn, v V) {
	fn.op("fmax.4s", v, v, vLo)
	fn.op("fmin.4s", v, v, vHi)
}

// nextPixel advances a pointer by a step of tileArgs.
func nextPixel(fn *fn, step int, r X) {
	fn.line("MOVD %d(%s), %s", step, rArgs, rT2)
	fn.line("ADD %s<<2, %s, %s", rT2, r, r)
}

// depthwiseTile takes four channels at once, then single ones, of m pixels.
func depthwiseTile(f *file, m int) {
	fn := f.function(fmt.Sprintf("depthwiseF32M%dNEON", m), fmt.Sprintf("is depthwiseF32 for %d pixels.", m), "a *tileArgs", "")
	tileProlog(fn)
	tile, four, one, next := fn.newLabel("tile"), fn.newLabel("four"), fn.newLabel("one"), fn.newLabel("next")
	const channel = rCols // the channel at hand, in bytes
	fn.at(tile)
	fn.line("MOVD ZR, %s", channel)
	fn.line("MOVD %d(%s), %s", tileRun, rArgs, rK)
	fn.line("SUBS $4, %s, %s", rK, rK)
	fn.line("BLT %s", one)

	fn.at(four)
	depthwiseChannels(fn, m, 4)
	fn.line("SUBS $4, %s, %s", rK, rK)
	fn.line("BGE %s", four)
	fn.at(one)
	fn.line("ADDS $4, %s, %s", rK, rK)
	fn.line("BEQ %s", next)
	single := fn.newLabel("single")
	fn.at(single)
	depthwiseChannels(fn, m, 1)
	fn.line("SUBS $1, %s, %s", rK, rK)
	fn.line("BNE %s", single)

	fn.at(next)
	for _, s := range []struct {
		step int
		r    X
	}{{tileSrcStep, rSrc}, {tileDstStep, rDst}, {tileAddStep, rAdd}} {
		skip := fn.newLabel("plain")
		fn.line("CBZ %s, %s", s.r, skip)
		fn.line("MOVD %d(%s), %s", s.step, rArgs, rT2)
		fn.line("MOVD $%d, %s", 4*m, rT1)
		fn.line("MADD %s, %s, %s, %s", rT1, s.r, rT2, s.r)
		fn.at(skip)
	}
	fn.line("SUBS $1, %s, %s", rTiles, rTiles)
	fn.line("BNE %s", tile)
	tileEpilog(fn)
}

// depthwiseChannels does lanes (4 or 1) channels of m pixels and advances the
// channel.
func depthwiseChannels(fn *fn, m, lanes int) {
	const channel = rCols
	load, store := "FMOVQ", "FMOVQ"
	if lanes == 1 {
		load, store = "FMOVS", "FMOVS"
	}
	fn.line("MOVD %d(%s), %s", tileBias, rArgs, rT1)
	fn.line("ADD %s, %s, %s", channel, rT1, rT1)
	fn.line("%s (%s), %s", load, rT1, vAcc.F())
	for p := 1; p < m; p++ {
		fn.op("orr.16b", vAcc+V(p), vAcc, vAcc)
	}
	fn.line("MOVD %d(%s), %s", tileW, rArgs, rW)
	fn.line("ADD %s, %s, %s", channel, rW, rW)
	fn.line("MOVD %d(%s), %s", tileTaps, rArgs, rTaps)
	fn.line("MOVD %d(%s), %s", tileTapsLen, rArgs, rTapsLeft)
	fn.line("MOVD %d(%s), %s", tileRun, rArgs, rT3)
	tap := fn.newLabel("tap")
	fn.at(tap)
	pixelPointers(fn, m)
	fn.line("%s (%s), %s", load, rW, vW.F())
	fn.line("ADD %s<<2, %s, %s", rT3, rW, rW)
	for p := range m {
		fn.line("ADD %s, %s, %s", channel, rPixel[p], rPixel[p])
		fn.line("%s (%s), %s", load, rPixel[p], (vX + V(p)).F())
		fn.op("fmla.4s", vAcc+V(p), vX+V(p), vW)
	}
	fn.line("SUBS $1, %s, %s", rTapsLeft, rTapsLeft)
	fn.line("BNE %s", tap)
	for p := range m {
		skip := fn.newLabel("plain")
		fn.line("CBZ %s, %s", rAdd, skip)
		pixelOf(fn, p, tileAddStep, rAdd)
		fn.line("%s (%s), %s", load, rT1, vW.F())
		fn.op("fadd.4s", vAcc+V(p), vAcc+V(p), vW)
		fn.at(skip)
		clamp(fn, vAcc+V(p))
		pixelOf(fn, p, tileDstStep, rDst)
		fn.line("%s %s, (%s)", store, (vAcc + V(p)).F(), rT1)
	}
	fn.add(4*lanes, channel)
}

// pixelOf points rT1 at the channel at hand of pixel p.
func pixelOf(fn *fn, p, step int, base X) {
	fn.line("ADD %s, %s, %s", rCols, base, rT1)
	if p > 0 {
		fn.line("MOVD %d(%s), %s", step, rArgs, rT2)
		fn.line("MOVD $%d, %s", 4*p, rT3)
		fn.line("MADD %s, %s, %s, %s", rT3, rT1, rT2, rT1)
	}
}
