package main

// Offsets of the fields of AddU8Spec, checked by TestArgsS8Layout in package
// asm.
const (
	addZeroA, addZeroB, addScaleA, addScaleB, addMulA, addMulB = 1, 2, 4, 8, 12, 16
	addShift, addZero, addLo, addHi                            = 20, 21, 22, 23
)

// elementwiseU8 writes the functions of bytes, 16 at once and then one by one.
func elementwiseU8(f *file) {
	addU8(f, "Float")
	addU8(f, "Int")
	maxU8(f)
	sumU8(f)
	lookupU8(f)
}

// bytesLoop runs wide for 16 bytes at once and single for the rest.
func bytesLoop(fn *fn, n X, wide, single func()) {
	loop, tail, one, done := fn.newLabel("loop"), fn.newLabel("tail"), fn.newLabel("one"), fn.newLabel("done")
	fn.line("SUBS $16, %s, %s", n, n)
	fn.line("BLT %s", tail)
	fn.at(loop)
	wide()
	fn.line("SUBS $16, %s, %s", n, n)
	fn.line("BGE %s", loop)
	fn.at(tail)
	fn.line("ADDS $16, %s, %s", n, n)
	fn.line("BEQ %s", done)
	fn.at(one)
	single()
	fn.line("SUBS $1, %s, %s", n, n)
	fn.line("BNE %s", one)
	fn.at(done)
	fn.done()
}

// addU8 writes the addition of two rescaled tensors. Single bytes go the same
// way as 16.
func addU8(f *file, mode string) {
	const (
		n X = iota
		dst
		a
		b
		spec
		t
		u
	)
	const (
		inA, inB              V = 16, 17
		lowA, upA, lowB, upB  V = 18, 19, 20, 21
		zeroA, zeroB, zero    V = 22, 23, 24
		lo, hi                V = 25, 26
		scaleA, scaleB, shift V = 27, 28, 29
		odd, below            V = 30, 31
	)
	fn := f.function("add"+mode+"U8NEON", "is addU8 for one kind of mode.", "dst, a, b []uint8, spec *AddU8Spec", "")
	fn.arg("dst", "len", n)
	fn.arg("dst", "base", dst)
	fn.arg("a", "base", a)
	fn.arg("b", "base", b)
	fn.arg("spec", "", spec)
	for _, c := range []struct {
		mov    string
		offset int
		dup    string
		v      V
	}{
		{"MOVBU", addZeroA, "dup.16b.gp", zeroA}, {"MOVBU", addZeroB, "dup.16b.gp", zeroB},
		{"MOVBU", addZero, "dup.8h.gp", zero}, {"MOVBU", addLo, "dup.16b.gp", lo}, {"MOVBU", addHi, "dup.16b.gp", hi},
		{"MOVBU", addShift, "dup.4s.gp", shift},
	} {
		fn.line("%s %d(%s), %s", c.mov, c.offset, spec, t)
		fn.op(c.dup, c.v, t)
	}
	if mode == "Int" { // t is the shift: odd is 1 if there is one, below is 1<<t>>1 less that
		fn.line("CMP $0, %s", t)
		fn.line("CSET NE, %s", u)
		fn.op("dup.4s.gp", odd, u)
		fn.line("MOVD $1, %s", u)
		fn.line("LSL %s, %s, %s", t, u, u)
		fn.line("LSR $1, %s, %s", u, u)
		fn.op("dup.4s.gp", below, u)
		fn.op("sub.4s", below, below, odd)
	}
	fn.op("neg.4s", shift, shift)
	offsetA, offsetB := addScaleA, addScaleB
	if mode == "Int" {
		offsetA, offsetB = addMulA, addMulB
	}
	fn.line("MOVW %d(%s), %s", offsetA, spec, t)
	fn.op("dup.4s.gp", scaleA, t)
	fn.line("MOVW %d(%s), %s", offsetB, spec, t)
	fn.op("dup.4s.gp", scaleB, t)

	sum := func() {
		fn.op("usubl.8h", lowA, inA, zeroA)
		fn.op("usubl2.8h", upA, inA, zeroA)
		fn.op("usubl.8h", lowB, inB, zeroB)
		fn.op("usubl2.8h", upB, inB, zeroB)
		for i, half := range []struct{ a, b V }{{lowA, lowB}, {upA, upB}} {
			v := V(2 * i)
			fn.op("sxtl.4s", v, half.a)
			fn.op("sxtl2.4s", v+1, half.a)
			fn.op("sxtl.4s", v+4, half.b)
			fn.op("sxtl2.4s", v+5, half.b)
		}
		for i := range V(4) {
			if mode == "Int" {
				fn.op("mul.4s", i, i, scaleA)
				fn.op("mla.4s", i, i+4, scaleB)
				// Half to even: just under a half, and one more if the quotient is odd.
				fn.op("sshl.4s", i+4, i, shift)
				fn.op("and.16b", i+4, i+4, odd)
				fn.op("add.4s", i, i, below)
				fn.op("add.4s", i, i, i+4)
				fn.op("sshl.4s", i, i, shift)
				continue
			}
			fn.op("scvtf.4s", i, i)
			fn.op("scvtf.4s", i+4, i+4)
			fn.op("fmul.4s", i, i, scaleA)
			fn.op("fmul.4s", i+4, i+4, scaleB)
			fn.op("fadd.4s", i, i, i+4)
			fn.op("fcvtns.4s", i, i)
		}
		pack(fn, 0, 4, zero, lo, hi)
	}
	bytesLoop(fn, n, func() {
		fn.line("FMOVQ.P 16(%s), %s", a, inA.F())
		fn.line("FMOVQ.P 16(%s), %s", b, inB.F())
		sum()
		fn.line("FMOVQ.P F0, 16(%s)", dst)
	}, func() {
		fn.line("VLD1.P 1(%s), %s.B[0]", a, inA)
		fn.line("VLD1.P 1(%s), %s.B[0]", b, inB)
		sum()
		fn.line("VST1.P V0.B[0], 1(%s)", dst)
	})
}

func maxU8(f *file) {
	const n, dst, src, t, u X = 0, 1, 2, 3, 4
	fn := f.function("maxU8NEON", "is maxU8.", "dst, src []uint8", "")
	fn.arg("dst", "len", n)
	fn.arg("dst", "base", dst)
	fn.arg("src", "base", src)
	bytesLoop(fn, n, func() {
		fn.line("FMOVQ.P 16(%s), F0", src)
		fn.ldrQ(1, dst, 0)
		fn.op("umax.16b", V(0), V(0), V(1))
		fn.line("FMOVQ.P F0, 16(%s)", dst)
	}, func() {
		fn.line("MOVBU.P 1(%s), %s", src, t)
		fn.line("MOVBU (%s), %s", dst, u)
		fn.line("CMP %s, %s", u, t)
		fn.line("CSEL HI, %s, %s, %s", t, u, t)
		fn.line("MOVBU.P %s, 1(%s)", t, dst)
	})
}

func sumU8(f *file) {
	const n, acc, src, t, u X = 0, 1, 2, 3, 4
	fn := f.function("sumU8NEON", "is sumU8.", "acc []int32, src []uint8", "")
	fn.arg("acc", "len", n)
	fn.arg("acc", "base", acc)
	fn.arg("src", "base", src)
	bytesLoop(fn, n, func() {
		fn.line("FMOVQ.P 16(%s), F0", src)
		fn.ldpQ(2, 3, acc, 0)
		fn.ldpQ(4, 5, acc, 32)
		fn.op("uxtl.8h", V(1), V(0))
		fn.op("uxtl2.8h", V(0), V(0))
		fn.op("uaddw.4s", V(2), V(2), V(1))
		fn.op("uaddw2.4s", V(3), V(3), V(1))
		fn.op("uaddw.4s", V(4), V(4), V(0))
		fn.op("uaddw2.4s", V(5), V(5), V(0))
		fn.line("FSTPQ.P (F2, F3), 32(%s)", acc)
		fn.line("FSTPQ.P (F4, F5), 32(%s)", acc)
	}, func() {
		fn.line("MOVBU.P 1(%s), %s", src, t)
		fn.line("MOVW (%s), %s", acc, u)
		fn.line("ADD %s, %s, %s", t, u, u)
		fn.line("MOVW.P %s, 4(%s)", u, acc)
	})
}

// lookupU8 keeps the table in 16 registers: four look-ups of 64 entries each,
// of which at most one finds its index in range.
func lookupU8(f *file) {
	const n, dst, src, table, t X = 0, 1, 2, 3, 4
	const index, result, step V = 0, 1, 2
	fn := f.function("lookupU8NEON", "is lookupU8.", "dst, src []uint8, table *[256]uint8", "")
	fn.arg("dst", "len", n)
	fn.arg("dst", "base", dst)
	fn.arg("src", "base", src)
	fn.arg("table", "", table)
	for i := V(0); i < 16; i += 2 {
		fn.ldpQ(16+i, 17+i, table, 16*int(i))
	}
	fn.line("VMOVI $64, %s.B16", step)
	bytesLoop(fn, n, func() {
		fn.line("FMOVQ.P 16(%s), %s", src, index.F())
		for i := V(0); i < 16; i += 4 {
			look := "VTBX"
			if i == 0 {
				look = "VTBL"
			} else {
				fn.op("sub.16b", index, index, step)
			}
			fn.line("%s %s.B16, [%s.B16, %s.B16, %s.B16, %s.B16], %s.B16", look, index, 16+i, 17+i, 18+i, 19+i, result)
		}
		fn.line("FMOVQ.P %s, 16(%s)", result.F(), dst)
	}, func() {
		fn.line("MOVBU.P 1(%s), %s", src, t)
		fn.line("MOVBU (%s)(%s), %s", table, t, t)
		fn.line("MOVBU.P %s, 1(%s)", t, dst)
	})
}
