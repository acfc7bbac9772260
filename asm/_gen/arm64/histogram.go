package main

// Offsets of the fields of binning.
const (
	binLo, binHi, binInv, binLast, binBelow, binSpare = 0, 4, 8, 12, 16, 20
	binUnder, binOver, binNaN, binZeros               = 24, 32, 40, 48
)

// histogram writes the two histograms. 16 elements at once get the offset of
// their counter; what is in no bin goes to the spare one, and when any of it is
// not zero, which is rare, a slower path counts why.
func histogram(f *file) {
	histogramKernel(f, "histogramF32NEON", "is histogramF32.", false)
	histogramKernel(f, "histogramMagF32NEON", "is histogramMagF32.", true)
}

func histogramKernel(f *file, name, doc string, magnitude bool) {
	const (
		sub X = iota
		bins
		x
		n
		t
		under
		over
		nan
		count
	)
	const (
		in                              V = 0 // four vectors of elements
		index                           V = 4 // and the offsets of their counters
		inside                          V = 8
		zero                            V = 12
		tmp                             V = 16
		zeros                           V = 20
		lo, hi, inv, last, spare, below V = 24, 25, 26, 27, 28, 29
		lanes                           V = 30 // offset of each lane's counter
		other                           V = 31
	)
	fn := f.function(name, doc, "sub []uint16, p *binning, x []float32", "")
	fn.arg("sub", "base", sub)
	fn.arg("p", "", bins)
	fn.arg("x", "base", x)
	fn.arg("x", "len", n)
	for _, c := range []struct {
		offset int
		v      V
	}{{binLo, lo}, {binHi, hi}, {binInv, inv}, {binLast, last}, {binSpare, spare}, {binBelow, below}} {
		fn.line("ADD $%d, %s, %s", c.offset, bins, t)
		fn.line("VLD1R (%s), [%s.S4]", t, c.v)
	}
	fn.op("eor.16b", zeros, zeros, zeros)
	fn.line("MOVD $0x0000000200000000, %s", t)
	fn.line("VMOV %s, %s.D[0]", t, lanes)
	fn.line("MOVD $0x0000000600000004, %s", t)
	fn.line("VMOV %s, %s.D[1]", t, lanes)
	for _, r := range []X{under, over, nan} {
		fn.line("MOVD ZR, %s", r)
	}
	loop, counted, done := fn.newLabel("loop"), fn.newLabel("counted"), fn.newLabel("done")
	fn.line("CBZ %s, %s", n, done)
	fn.at(loop)
	fn.line("FLDPQ.P 32(%s), (%s, %s)", x, in.F(), (in + 1).F())
	fn.line("FLDPQ.P 32(%s), (%s, %s)", x, (in + 2).F(), (in + 3).F())
	for i := range V(4) {
		v := in + i
		if magnitude {
			v = tmp + i
			fn.op("fabs.4s", v, in+i)
			fn.op("fcmge.4s", inside+i, hi, v)
			fn.op("fmul.4s", index+i, v, inv)
		} else {
			fn.op("fcmge.4s", inside+i, hi, v)
			fn.op("fcmge.4s", tmp+i, v, lo)
			fn.op("and.16b", inside+i, inside+i, tmp+i)
			fn.op("fsub.4s", index+i, v, lo)
			fn.op("fmul.4s", index+i, index+i, inv)
		}
		fn.op("fcmeq.4s.zero", zero+i, in+i)
		fn.op("sub.4s", zeros, zeros, zero+i)
		fn.op("fcvtzs.4s", index+i, index+i)
		fn.op("umin.4s", index+i, index+i, last)
		if magnitude {
			fn.op("fcmlt.4s.zero", tmp+i, in+i)
			fn.op("and.16b", tmp+i, tmp+i, below)
			fn.op("add.4s", index+i, index+i, tmp+i)
		}
		// Neither in range nor zero: other. In range and not zero: counted.
		fn.op("orr.16b", tmp+i, inside+i, zero+i)
		fn.op("bic.16b", inside+i, inside+i, zero+i)
		fn.op("bif.16b", index+i, spare, inside+i)
		fn.op("shl.4s", index+i, index+i, 3)
		fn.op("add.4s", index+i, index+i, lanes)
	}
	fn.op("and.16b", other, tmp, tmp+1)
	fn.op("and.16b", tmp+2, tmp+2, tmp+3)
	fn.op("and.16b", other, other, tmp+2)
	fn.op("uminv", other, other)
	fn.op("fmov.ws", t, other)
	fn.line("CMNW $1, %s", t)
	slow := fn.newLabel("slow")
	fn.line("BNE %s", slow)
	fn.at(counted)
	for i := range V(4) {
		for lane := range 4 {
			offset, value := X(9+lane), X(19+lane)
			fn.op("umov.s", offset, index+i, lane)
			fn.line("MOVHU (%s)(%s), %s", sub, offset, value)
			fn.line("ADD $1, %s, %s", value, value)
			fn.line("MOVH %s, (%s)(%s)", value, sub, offset)
		}
	}
	fn.line("SUBS $16, %s, %s", n, n)
	fn.line("BNE %s", loop)
	fn.at(done)
	fn.op("uaddlv", zeros, zeros)
	fn.op("mov.d", t, zeros, 0)
	for _, c := range []struct {
		r      X
		offset int
	}{{t, binZeros}, {under, binUnder}, {over, binOver}, {nan, binNaN}} {
		fn.line("MOVD %d(%s), %s", c.offset, bins, count)
		fn.line("ADD %s, %s, %s", c.r, count, count)
		fn.line("MOVD %s, %d(%s)", count, c.offset, bins)
	}
	fn.done()

	fn.at(slow)
	for i := range V(4) {
		tally := func(to X) { // adds how many lanes of tmp are all ones
			fn.op("addv", tmp, tmp)
			fn.op("fmov.ws", t, tmp)
			fn.line("SXTW %s, %s", t, t)
			fn.line("SUB %s, %s, %s", t, to, to)
		}
		v := in + i
		if magnitude {
			fn.op("fabs.4s", v, v)
		} else {
			fn.op("fcmgt.4s", tmp, lo, v)
			fn.op("bic.16b", tmp, tmp, zero+i)
			tally(under)
		}
		fn.op("fcmgt.4s", tmp, v, hi)
		fn.op("bic.16b", tmp, tmp, zero+i)
		tally(over)
		fn.op("fcmeq.4s", tmp, v, v)
		fn.op("mvn.16b", tmp, tmp)
		tally(nan)
	}
	fn.line("B %s", counted)
}
