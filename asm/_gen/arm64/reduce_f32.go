package main

// reduceF32 writes the sums over 64 lanes, in the order of the reference.
func reduceF32(f *file) {
	sum := f.function("sumF32NEON", "is sumF32.", "x []float32", "sum float32")
	laneSums(sum, nil, "sum")
	squares := f.function("sumSquaresF32NEON", "is sumSquaresF32.", "x []float32, center float32", "sum float32")
	const center V = 31
	squares.broadcast("center", center)
	laneSums(squares, func(v V) {
		squares.op("fsub.4s", v, v, center)
		squares.op("fmul.4s", v, v, v)
	}, "sum")
}

// laneSums adds element i, after transform, to lane i mod 64; the lanes are
// V0-V15.
func laneSums(fn *fn, transform func(v V), result string) {
	const (
		x X = iota
		n
	)
	const in V = 16
	fn.arg("x", "base", x)
	fn.arg("x", "len", n)
	for i := range V(16) {
		fn.op("eor.16b", i, i, i)
	}
	add := func(lane, v V) {
		if transform != nil {
			transform(v)
		}
		fn.op("fadd.4s", lane, lane, v)
	}
	loop, tail, done := fn.newLabel("loop"), fn.newLabel("tail"), fn.newLabel("done")
	fn.line("SUBS $64, %s, %s", n, n)
	fn.line("BLT %s", tail)
	fn.at(loop)
	for i := V(0); i < 16; i += 4 {
		fn.line("FLDPQ.P 32(%s), (%s, %s)", x, in.F(), (in + 1).F())
		fn.line("FLDPQ.P 32(%s), (%s, %s)", x, (in + 2).F(), (in + 3).F())
		for j := range V(4) {
			add(i+j, in+j)
		}
	}
	fn.line("SUBS $64, %s, %s", n, n)
	fn.line("BGE %s", loop)

	fn.at(tail)
	fn.line("ADDS $64, %s, %s", n, n)
	fn.line("BEQ %s", done)
	for i := range V(16) {
		less := fn.newLabel("less")
		fn.line("CMP $4, %s", n)
		fn.line("BLT %s", less)
		fn.line("FMOVQ.P 16(%s), %s", x, in.F())
		add(i, in)
		fn.line("SUBS $4, %s, %s", n, n)
		fn.line("BEQ %s", done)
		more := fn.newLabel("more")
		fn.line("B %s", more)
		fn.at(less)
		partLane(fn, x, n, in, i, transform)
		fn.line("B %s", done)
		fn.at(more)
	}
	fn.at(done)
	for half := V(8); half > 0; half /= 2 {
		for i := range half {
			fn.op("fadd.4s", i, i, i+half)
		}
	}
	for _, bytes := range []int{8, 4} {
		fn.line("VEXT $%d, V0.B16, V0.B16, V1.B16", bytes)
		fn.op("fadd.4s", V(0), V(0), V(1))
	}
	fn.retF(0, result)
	fn.done()
}

// partLane adds the last one to three elements to the first lanes of v.
func partLane(fn *fn, x, n X, in, v V, transform func(v V)) {
	const sum V = 17
	end := fn.newLabel("part")
	for lane := range 3 {
		fn.line("FMOVS.P 4(%s), %s", x, in.F())
		if transform != nil {
			transform(in)
		}
		fn.op("dup.4s.lane", sum, v, lane)
		fn.op("fadd.4s", sum, sum, in)
		fn.line("VMOV %s.S[0], %s.S[%d]", sum, v, lane)
		if lane < 2 {
			fn.line("SUBS $1, %s, %s", n, n)
			fn.line("BEQ %s", end)
		}
	}
	fn.at(end)
}
