package main

// minmax writes minMaxF32NEON. It compares and selects, because FMINNM lets a
// signalling NaN through.
func minmax(f *file) {
	const unroll = 4
	const (
		x X = iota
		n
		t
	)
	const (
		lo      V = 0
		hi      V = 4
		in      V = 8
		numbers V = 16
		m       V = 20
	)
	fn := f.function("minMaxF32NEON", "is minMaxF32 for a length that is a multiple of 16.", "x []float32", "lo, hi float32, nan int")
	fn.arg("x", "base", x)
	fn.arg("x", "len", n)
	fn.line("MOVW $0x7f800000, %s", t)
	for i := range V(unroll) {
		fn.op("dup.4s.gp", lo+i, t)
		fn.op("fneg.4s", hi+i, lo+i)
		fn.op("eor.16b", numbers+i, numbers+i, numbers+i)
	}
	loop, done := fn.newLabel("loop"), fn.newLabel("done")
	fn.line("CBZ %s, %s", n, done)
	fn.at(loop)
	for i := V(0); i < unroll; i += 2 {
		fn.ldpQ(in+i, in+i+1, x, int(i)*16)
	}
	for i := range V(unroll) {
		fn.op("fcmeq.4s", m+i, in+i, in+i)
		fn.op("sub.4s", numbers+i, numbers+i, m+i)
		fn.op("fcmgt.4s", m+i, lo+i, in+i)
		fn.op("bit.16b", lo+i, in+i, m+i)
		fn.op("fcmgt.4s", m+i, in+i, hi+i)
		fn.op("bit.16b", hi+i, in+i, m+i)
	}
	fn.add(unroll*16, x)
	fn.line("SUBS $%d, %s, %s", unroll*4, n, n)
	fn.line("BNE %s", loop)
	fn.at(done)
	for i := V(1); i < unroll; i++ {
		fn.op("fminnm.4s", lo, lo, lo+i)
		fn.op("fmaxnm.4s", hi, hi, hi+i)
		fn.op("add.4s", numbers, numbers, numbers+i)
	}
	fn.op("fminnmv", lo, lo)
	fn.op("fmaxnmv", hi, hi)
	fn.retF(lo, "lo")
	fn.retF(hi, "hi")
	fn.op("uaddlv", numbers, numbers)
	fn.op("mov.d", t, numbers, 0)
	fn.arg("x", "len", n)
	fn.line("SUB %s, %s, %s", t, n, n)
	fn.ret(n, "nan")
	fn.done()
}
