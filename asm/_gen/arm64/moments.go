package main

// Offsets of the fields of moments.
const momSum, momSumSq, momLo, momHi, momNaN, momZeros, momFinite = 0, 128, 256, 320, 384, 448, 512

// moments writes momentsF32. Sums stay in 16 lanes of float64, V0-V15, whose
// order is part of the contract; extremes and counts, which do not depend on
// the order, in four.
func moments(f *file) {
	const (
		m X = iota
		x
		n
		t
	)
	const (
		in                    V = 16
		finite                V = 17
		mask                  V = 18
		wide                  V = 19
		lo, hi                V = 24, 25
		numbers, zeros, count V = 26, 27, 28
		most                  V = 29 // the greatest finite number
		abs                   V = 30
		ones                  V = 31
	)
	fn := f.function("momentsF32NEON", "is momentsF32 for a length that is a multiple of 16.", "m *moments, x []float32", "")
	fn.arg("m", "", m)
	fn.arg("x", "base", x)
	fn.arg("x", "len", n)
	sums := func(op string) {
		for i := V(0); i < 8; i += 2 {
			fn.line(op, 16*int(i)+momSum, m, i.F(), (i + 1).F())
			fn.line(op, 16*int(i)+momSumSq, m, (8 + i).F(), (9 + i).F())
		}
	}
	sums("FLDPQ %d(%s), (%s, %s)")
	fn.ldrQ(lo, m, momLo)
	fn.ldrQ(hi, m, momHi)
	fn.constant(0x7f7fffff, t, most)
	for _, v := range []V{numbers, zeros, count} {
		fn.op("eor.16b", v, v, v)
	}
	loop, done := fn.newLabel("loop"), fn.newLabel("done")
	fn.line("CBZ %s, %s", n, done)
	fn.at(loop)
	for i := range V(4) {
		fn.line("FMOVQ.P 16(%s), %s", x, in.F())
		fn.op("fcmeq.4s", mask, in, in)
		fn.op("sub.4s", numbers, numbers, mask)
		fn.op("fcmeq.4s.zero", mask, in)
		fn.op("sub.4s", zeros, zeros, mask)
		fn.op("fabs.4s", abs, in)
		fn.op("fcmge.4s", finite, most, abs)
		fn.op("sub.4s", count, count, finite)
		fn.op("and.16b", in, in, finite)
		fn.op("fcmgt.4s", mask, lo, in)
		fn.op("and.16b", mask, mask, finite)
		fn.op("bit.16b", lo, in, mask)
		fn.op("fcmgt.4s", mask, in, hi)
		fn.op("and.16b", mask, mask, finite)
		fn.op("bit.16b", hi, in, mask)
		for half, widen := range []string{"fcvtl.2d", "fcvtl2.2d"} {
			lane := 2*i + V(half)
			fn.op(widen, wide, in)
			fn.op("fadd.2d", lane, lane, wide)
			fn.op("fmla.2d", 8+lane, wide, wide) // the square is exact
		}
	}
	fn.line("SUBS $16, %s, %s", n, n)
	fn.line("BNE %s", loop)
	fn.at(done)
	for i := V(0); i < 8; i += 2 {
		fn.stpQ(i, i+1, m, 16*int(i)+momSum)
		fn.stpQ(8+i, 9+i, m, 16*int(i)+momSumSq)
	}
	fn.strQ(lo, m, momLo)
	fn.strQ(hi, m, momHi)
	// NaN is what is no number: the length, in four lanes, less the numbers.
	fn.arg("x", "len", n)
	fn.line("LSR $2, %s, %s", n, n)
	fn.op("dup.4s.gp", ones, n)
	fn.op("sub.4s", numbers, ones, numbers)
	for _, c := range []struct {
		v      V
		offset int
	}{{numbers, momNaN}, {zeros, momZeros}, {count, momFinite}} {
		fn.ldrQ(mask, m, c.offset)
		fn.op("add.4s", c.v, c.v, mask)
		fn.strQ(c.v, m, c.offset)
	}
	fn.done()
}
