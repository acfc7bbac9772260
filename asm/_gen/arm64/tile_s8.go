package main

import "fmt"

// Offsets of the fields of tileArgsS8 and depthwiseArgsS8, checked by
// TestArgsS8Layout in package asm.
const (
	s8Src, s8Weights, s8Weights16, s8Bias, s8Acc, s8Taps = 0, 24, 48, 72, 96, 120
	s8TapsLen                                            = 128
	s8SrcStep, s8Quads, s8Tiles                          = 144, 152, 160
	s8Pixels                                             = 152 // of depthwiseArgsS8
)

// Registers of the integer tile kernels besides rPixel.
const (
	sArgs X = iota
	sW
	sTaps
	sTapsLeft
	sQuads
	sAcc
	sTiles
	sT
	sStep
	sSrc
)

// tileS8 writes the integer tiles: of 16 channels by up to 5 pixels with the
// dot-product instructions, of 8 by up to 4 without.
func tileS8(f *file) {
	for pixels := 1; pixels <= 5; pixels++ {
		dotTile(f, "DotProd", "sdot.4s.lane", true, pixels)
		dotTile(f, "I8MM", "sudot.4s.lane", false, pixels)
	}
	for pixels := 1; pixels <= 4; pixels++ {
		neonTile(f, pixels)
	}
	depthwiseS8(f)
}

// dotTile multiplies four bytes of each pixel, by lane, with the weights of 16
// channels. SDOT takes signed bytes: with flip the kernel reads src-128, which
// the packed bias makes up for.
func dotTile(f *file, tier, dot string, flip bool, pixels int) {
	const (
		vecs   = 4
		vX   V = 20 // one for each pixel
		vW   V = 26 // four
		vTop V = 25
	)
	name := fmt.Sprintf("tileS8M%d%s", pixels, tier)
	fn := f.function(name, fmt.Sprintf("makes tiles of %d pixels by 16 channels.", pixels), "a *tileArgsS8", "")
	acc := func(p, v int) V { return V(p*vecs + v) }
	if flip {
		fn.line("VMOVI $128, %s.B16", vTop)
	}
	s8Tile(fn, pixels, s8Weights, func() {
		for v := range vecs {
			fn.ldrQ(acc(0, v), sT, 16*v)
			for p := 1; p < pixels; p++ {
				fn.op("orr.16b", acc(p, v), acc(0, v), acc(0, v))
			}
		}
	}, func(quads int) {
		for p := range pixels {
			if quads == 4 {
				fn.line("FMOVQ.P 16(%s), %s", rPixel[p], (vX + V(p)).F())
			} else {
				fn.line("FMOVS.P 4(%s), %s", rPixel[p], (vX + V(p)).F())
			}
			if flip {
				fn.op("eor.16b", vX+V(p), vX+V(p), vTop)
			}
		}
		for q := range quads {
			fn.line("FLDPQ.P 32(%s), (%s, %s)", sW, vW.F(), (vW + 1).F())
			fn.line("FLDPQ.P 32(%s), (%s, %s)", sW, (vW + 2).F(), (vW + 3).F())
			for v := range vecs {
				for p := range pixels {
					fn.op(dot, acc(p, v), vW+V(v), vX+V(p), q)
				}
			}
		}
	}, func() {
		for p := range pixels {
			for v := 0; v < vecs; v += 2 {
				fn.line("FSTPQ.P (%s, %s), 32(%s)", acc(p, v).F(), acc(p, v+1).F(), sAcc)
			}
		}
	})
}

// s8Tile writes what the integer tiles share: the loops over tiles, taps and
// groups of four bytes. start sets the sums to the bias that sT points at,
// multiply does the given number of groups, store stores the sums.
func s8Tile(fn *fn, pixels, weights int, start func(), multiply func(quads int), store func()) {
	fn.arg("a", "", sArgs)
	fn.line("MOVD %d(%s), %s", s8Src, sArgs, sSrc)
	fn.line("MOVD %d(%s), %s", s8Acc, sArgs, sAcc)
	fn.line("MOVD %d(%s), %s", s8Tiles, sArgs, sTiles)
	fn.line("MOVD %d(%s), %s", s8SrcStep, sArgs, sStep)
	tile, tap, four, one, next := fn.newLabel("tile"), fn.newLabel("tap"), fn.newLabel("four"), fn.newLabel("one"), fn.newLabel("next")
	fn.at(tile)
	fn.line("MOVD %d(%s), %s", weights, sArgs, sW)
	fn.line("MOVD %d(%s), %s", s8Taps, sArgs, sTaps)
	fn.line("MOVD %d(%s), %s", s8TapsLen, sArgs, sTapsLeft)
	fn.line("MOVD %d(%s), %s", s8Bias, sArgs, sT)
	start()

	fn.at(tap)
	fn.line("MOVD.P 8(%s), %s", sTaps, sT)
	fn.line("ADD %s, %s, %s", sT, sSrc, rPixel[0])
	for p := 1; p < pixels; p++ {
		fn.line("ADD %s, %s, %s", sStep, rPixel[p-1], rPixel[p])
	}
	fn.line("MOVD %d(%s), %s", s8Quads, sArgs, sQuads)
	fn.line("SUBS $4, %s, %s", sQuads, sQuads)
	fn.line("BLT %s", one)
	fn.at(four)
	multiply(4)
	fn.line("SUBS $4, %s, %s", sQuads, sQuads)
	fn.line("BGE %s", four)
	fn.at(one)
	fn.line("ADDS $4, %s, %s", sQuads, sQuads)
	fn.line("BEQ %s", next)
	single := fn.newLabel("single")
	fn.at(single)
	multiply(1)
	fn.line("SUBS $1, %s, %s", sQuads, sQuads)
	fn.line("BNE %s", single)
	fn.at(next)
	fn.line("SUBS $1, %s, %s", sTapsLeft, sTapsLeft)
	fn.line("BNE %s", tap)

	store()
	fn.line("MOVD $%d, %s", pixels, sT)
	fn.line("MADD %s, %s, %s, %s", sT, sSrc, sStep, sSrc)
	fn.line("SUBS $1, %s, %s", sTiles, sTiles)
	fn.line("BNE %s", tile)
	fn.done()
}

// neonTile multiplies pairs of bytes, widened and repeated, with pairs of
// 16-bit weights of eight channels. The two products of a pair go to two
// lanes, which are added at the end: registers 4p and 4p+1 hold the lanes of
// channels 0-3 of pixel p, the next two those of channels 4-7.
func neonTile(f *file, pixels int) {
	const (
		vRaw  V = 16 // a pixel's bytes
		vWide V = 20 // eight of them widened
		vPair V = 24
		vW    V = 28 // weights of channels 0-3 and 4-7
		zero  V = 31
	)
	fn := f.function(fmt.Sprintf("tileS8M%dNEON", pixels), fmt.Sprintf("makes tiles of %d pixels by 8 channels.", pixels), "a *tileArgsS8", "")
	fn.op("eor.16b", zero, zero, zero)
	s8Tile(fn, pixels, s8Weights16, func() {
		for v := range V(2) {
			fn.ldrQ(vRaw, sT, 16*int(v))
			fn.op("zip1.4s", 2*v, vRaw, zero)
			fn.op("zip2.4s", 2*v+1, vRaw, zero)
		}
		for p := V(1); p < V(pixels); p++ {
			for i := range V(4) {
				fn.op("orr.16b", 4*p+i, i, i)
			}
		}
	}, func(quads int) {
		for p := range V(pixels) {
			if quads == 4 {
				fn.line("FMOVQ.P 16(%s), %s", rPixel[p], (vRaw + p).F())
			} else {
				fn.line("FMOVS.P 4(%s), %s", rPixel[p], (vRaw + p).F())
			}
		}
		for pair := range 2 * quads {
			for p := range V(pixels) {
				switch pair {
				case 0:
					fn.op("uxtl.8h", vWide+p, vRaw+p)
				case 4:
					fn.op("uxtl2.8h", vWide+p, vRaw+p)
				}
			}
			fn.line("FLDPQ.P 32(%s), (%s, %s)", sW, vW.F(), (vW + 1).F())
			for p := range V(pixels) {
				fn.op("dup.4s.lane", vPair+p, vWide+p, pair%4)
				for v := range V(2) {
					fn.op("smlal.4s", 4*p+2*v, vW+v, vPair+p)
					fn.op("smlal2.4s", 4*p+2*v+1, vW+v, vPair+p)
				}
			}
		}
	}, func() {
		for p := range V(pixels) {
			fn.op("addp.4s", 4*p, 4*p, 4*p+1)
			fn.op("addp.4s", 4*p+1, 4*p+2, 4*p+3)
			fn.line("FSTPQ.P (%s, %s), 32(%s)", (4 * p).F(), (4*p + 1).F(), sAcc)
		}
	})
}

// depthwiseS8 writes the depthwise kernel: 16 channels of one pixel at a time,
// bytes widened and multiplied with 16-bit weights.
func depthwiseS8(f *file) {
	const (
		vRaw V = 4
		vLow V = 5
		vUp  V = 6
		vW   V = 16 // two
	)
	fn := f.function("depthwiseS8NEON", "is depthwiseS8 for panels of 16 channels.", "a *depthwiseArgsS8", "")
	fn.arg("a", "", sArgs)
	fn.line("MOVD %d(%s), %s", s8Src, sArgs, sSrc)
	fn.line("MOVD %d(%s), %s", s8Acc, sArgs, sAcc)
	fn.line("MOVD %d(%s), %s", s8Pixels, sArgs, sTiles)
	fn.line("MOVD %d(%s), %s", s8SrcStep, sArgs, sStep)
	pixel, tap := fn.newLabel("pixel"), fn.newLabel("tap")
	fn.at(pixel)
	fn.line("MOVD %d(%s), %s", s8Bias, sArgs, sT)
	fn.ldpQ(0, 1, sT, 0)
	fn.ldpQ(2, 3, sT, 32)
	fn.line("MOVD %d(%s), %s", s8Weights16, sArgs, sW)
	fn.line("MOVD %d(%s), %s", s8Taps, sArgs, sTaps)
	fn.line("MOVD %d(%s), %s", s8TapsLen, sArgs, sTapsLeft)
	fn.at(tap)
	fn.line("MOVD.P 8(%s), %s", sTaps, sT)
	fn.line("ADD %s, %s, %s", sSrc, sT, sT)
	fn.ldrQ(vRaw, sT, 0)
	fn.line("FLDPQ.P 32(%s), (%s, %s)", sW, vW.F(), (vW + 1).F())
	fn.op("uxtl.8h", vLow, vRaw)
	fn.op("uxtl2.8h", vUp, vRaw)
	fn.op("smlal.4s", V(0), vLow, vW)
	fn.op("smlal2.4s", V(1), vLow, vW)
	fn.op("smlal.4s", V(2), vUp, vW+1)
	fn.op("smlal2.4s", V(3), vUp, vW+1)
	fn.line("SUBS $1, %s, %s", sTapsLeft, sTapsLeft)
	fn.line("BNE %s", tap)
	fn.line("FSTPQ.P (F0, F1), 32(%s)", sAcc)
	fn.line("FSTPQ.P (F2, F3), 32(%s)", sAcc)
	fn.line("ADD %s, %s, %s", sStep, sSrc, sSrc)
	fn.line("SUBS $1, %s, %s", sTiles, sTiles)
	fn.line("BNE %s", pixel)
	fn.done()
}
