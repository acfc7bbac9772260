package main

// elementwiseF32 writes the functions of one, two and three numbers.
func elementwiseF32(f *file) {
	for _, k := range []struct{ name, op string }{
		{"add", "fadd.4s"}, {"sub", "fsub.4s"}, {"mul", "fmul.4s"}, {"div", "fdiv.4s"}, {"max", "fmax.4s"}, {"min", "fmin.4s"},
	} {
		fn := f.function(k.name+"F32NEON", "is "+k.name+"F32.", "dst, a, b []float32", "")
		s := arguments(fn, "dst", "a", "b")
		s.run(func(u int) V {
			fn.op(k.op, vIn(0, u), vIn(0, u), vIn(1, u))
			return vIn(0, u)
		})
	}
	const p, q, zero V = 24, 25, 26
	mapping(f, "affine", func(fn *fn, u int) V {
		fn.op("fmul.4s", vIn(0, u), vIn(0, u), p)
		fn.op("fadd.4s", vIn(0, u), vIn(0, u), q)
		return vIn(0, u)
	})
	mapping(f, "clamp", func(fn *fn, u int) V {
		fn.op("fmax.4s", vIn(0, u), vIn(0, u), p)
		fn.op("fmin.4s", vIn(0, u), vIn(0, u), q)
		return vIn(0, u)
	})
	mapping(f, "leakyRelu", func(fn *fn, u int) V {
		scaled, negative := V(16+u), V(20+u)
		fn.op("fmul.4s", scaled, vIn(0, u), p)
		fn.op("fcmlt.4s.zero", negative, vIn(0, u))
		fn.op("bit.16b", vIn(0, u), scaled, negative)
		return vIn(0, u)
	})
	fn := f.function("mulAddF32NEON", "is mulAddF32.", "dst, x, a, b []float32", "")
	s := arguments(fn, "dst", "x", "a", "b")
	s.run(func(u int) V {
		fn.op("fmul.4s", vIn(0, u), vIn(0, u), vIn(1, u))
		fn.op("fadd.4s", vIn(0, u), vIn(0, u), vIn(2, u))
		return vIn(0, u)
	})
}

// mapping writes a function of one slice and two parameters, which are in all
// lanes of V24 and V25.
func mapping(f *file, name string, body func(fn *fn, u int) V) {
	fn := f.function(name+"F32NEON", "is "+name+"F32.", "dst, x []float32, p, q float32", "")
	s := arguments(fn, "dst", "x")
	fn.broadcast("p", 24)
	fn.broadcast("q", 25)
	s.run(func(u int) V { return body(fn, u) })
}

// arguments loads the pointers of dst and the inputs, and their length.
func arguments(fn *fn, dst string, in ...string) sweep {
	s := sweep{fn: fn, n: 0, out: 1}
	fn.arg(dst, "len", s.n)
	fn.arg(dst, "base", s.out)
	for i, name := range in {
		r := X(2 + i)
		fn.arg(name, "base", r)
		s.in = append(s.in, r)
	}
	return s
}
