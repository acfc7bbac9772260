package main

// Offsets of the fields of requantArgs, checked by TestArgsS8Layout in package
// asm.
const (
	rqDst, rqSrc, rqDstStep, rqSrcStep, rqPixels, rqChannels = 0, 24, 48, 56, 64, 72
	rqScale, rqMul, rqShift                                  = 80, 104, 128
	rqZero, rqLo, rqHi                                       = 152, 156, 160
)

// requant writes the rescalings of int32 sums to bytes: 16 channels at once,
// then four, then single ones.
func requant(f *file) {
	requantRow(f, "Float", []int{rqScale}, func(fn *fn, v, p, _ V) {
		fn.op("scvtf.4s", v, v)
		fn.op("fmul.4s", v, v, p)
		fn.op("fcvtns.4s", v, v)
	})
	requantRow(f, "Shift", []int{rqShift}, func(fn *fn, v, p, _ V) {
		fn.op("neg.4s", p, p)
		fn.op("srshl.4s", v, v, p)
	})
	requantRow(f, "Multiplier", []int{rqShift, rqMul}, func(fn *fn, v, p, q V) {
		const low, up V = 24, 25
		fn.op("smull.2d", low, v, q)
		fn.op("smull2.2d", up, v, q)
		fn.op("neg.4s", p, p)
		fn.op("sxtl.2d", q, p)
		fn.op("srshl.2d", low, low, q)
		fn.op("sxtl2.2d", q, p)
		fn.op("srshl.2d", up, up, q)
		fn.op("sqxtn.2s", v, low)
		fn.op("sqxtn2.4s", v, up)
	})
}

// requantRow writes one kernel. scale turns the sums in v into q, saturated to
// int32, by the parameters in p and q, which it may change.
func requantRow(f *file, mode string, params []int, scale func(fn *fn, v, p, q V)) {
	const (
		args X = iota
		dst
		src
		pixels
		n
		t
		out
		in
		param0
		param1
	)
	const sums, p, q, zero, lo, hi V = 0, 4, 8, 26, 27, 28
	fn := f.function("requant"+mode+"NEON", "is one of the rows of requantize.", "a *requantArgs", "")
	fn.arg("a", "", args)
	fn.line("MOVD %d(%s), %s", rqDst, args, dst)
	fn.line("MOVD %d(%s), %s", rqSrc, args, src)
	fn.line("MOVD %d(%s), %s", rqPixels, args, pixels)
	fn.line("MOVW %d(%s), %s", rqZero, args, t)
	fn.op("dup.8h.gp", zero, t)
	fn.line("MOVW %d(%s), %s", rqLo, args, t)
	fn.op("dup.16b.gp", lo, t)
	fn.line("MOVW %d(%s), %s", rqHi, args, t)
	fn.op("dup.16b.gp", hi, t)

	// some does up to 16 channels: as many as fit the registers loaded.
	some := func(vecs int, load func(v V, ptr X)) {
		for i := range V(vecs) {
			load(sums+i, in)
			load(p+i, param0)
			if len(params) > 1 {
				load(q+i, param1)
			}
		}
		for i := range V(vecs) {
			scale(fn, sums+i, p+i, q+i)
		}
		pack(fn, sums, vecs, zero, lo, hi)
	}
	pixel, done, wide, narrow, four, tail, single, next := fn.newLabel("pixel"), fn.newLabel("done"), fn.newLabel("wide"), fn.newLabel("narrow"), fn.newLabel("four"), fn.newLabel("tail"), fn.newLabel("single"), fn.newLabel("next")
	fn.line("CBZ %s, %s", pixels, done)
	fn.at(pixel)
	fn.line("MOVD %s, %s", dst, out)
	fn.line("MOVD %s, %s", src, in)
	for i, offset := range params {
		fn.line("MOVD %d(%s), %s", offset, args, param0+X(i))
	}
	fn.line("MOVD %d(%s), %s", rqChannels, args, n)
	fn.line("SUBS $16, %s, %s", n, n)
	fn.line("BLT %s", narrow)
	loadQ := func(v V, ptr X) { fn.line("FMOVQ.P 16(%s), %s", ptr, v.F()) }
	fn.at(wide)
	some(4, loadQ)
	fn.line("FMOVQ.P %s, 16(%s)", sums.F(), out)
	fn.line("SUBS $16, %s, %s", n, n)
	fn.line("BGE %s", wide)
	fn.at(narrow)
	fn.line("ADDS $12, %s, %s", n, n)
	fn.line("BLT %s", tail)
	fn.at(four)
	some(1, loadQ)
	fn.line("FMOVS.P %s, 4(%s)", sums.F(), out)
	fn.line("SUBS $4, %s, %s", n, n)
	fn.line("BGE %s", four)
	fn.at(tail)
	fn.line("ADDS $4, %s, %s", n, n)
	fn.line("BEQ %s", next)
	fn.at(single)
	some(1, func(v V, ptr X) { fn.line("FMOVS.P 4(%s), %s", ptr, v.F()) })
	fn.line("VST1.P %s.B[0], 1(%s)", sums, out)
	fn.line("SUBS $1, %s, %s", n, n)
	fn.line("BNE %s", single)
	fn.at(next)
	fn.line("MOVD %d(%s), %s", rqDstStep, args, t)
	fn.line("ADD %s, %s, %s", t, dst, dst)
	fn.line("MOVD %d(%s), %s", rqSrcStep, args, t)
	fn.line("ADD %s<<2, %s, %s", t, src, src)
	fn.line("SUBS $1, %s, %s", pixels, pixels)
	fn.line("BNE %s", pixel)
	fn.at(done)
	fn.done()
}

// pack narrows 4*vecs int32 numbers (vecs 4 or 1) in registers from v on to
// bytes in v: saturates to 16 bits, adds zero there with saturation, saturates
// to unsigned 8 bits and clamps. 16 bits are enough, as zero, lo and hi are bytes.
func pack(fn *fn, v V, vecs int, zero, lo, hi V) {
	for i := V(0); i < V(vecs); i += 2 {
		fn.op("sqxtn.4h", v+i, v+i)
		if vecs > 1 {
			fn.op("sqxtn2.8h", v+i, v+i+1)
		}
		fn.op("sqadd.8h", v+i, v+i, zero)
	}
	fn.op("sqxtun.8b", v, v)
	if vecs > 1 {
		fn.op("sqxtun2.16b", v, v+2)
	}
	fn.op("umax.16b", v, v, lo)
	fn.op("umin.16b", v, v, hi)
}
