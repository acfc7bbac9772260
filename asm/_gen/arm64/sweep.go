package main

// A sweep is a loop over slices of float32 of one length: four vectors at
// once, then one, then single elements.
type sweep struct {
	fn  *fn
	n   X   // elements left
	in  []X // pointers to the inputs
	out X   // pointer to the output
}

// Vector registers that a sweep loads its inputs into: input i of vector u is
// vIn(i, u). A body may use V16-V23 as temporaries and V24-V31 as constants.
func vIn(i, u int) V { return V(4*i + u) }

// run writes the loop. body computes the result of vector u from the inputs in
// vIn(0, u), vIn(1, u) ... and returns its register.
func (s sweep) run(body func(u int) V) {
	fn := s.fn
	wide, narrow, vector, tail, single, end := fn.newLabel("wide"), fn.newLabel("narrow"), fn.newLabel("vector"), fn.newLabel("tail"), fn.newLabel("single"), fn.newLabel("end")
	fn.line("SUBS $16, %s, %s", s.n, s.n)
	fn.line("BLT %s", narrow)
	fn.at(wide)
	for i, p := range s.in {
		fn.line("FLDPQ.P 32(%s), (%s, %s)", p, vIn(i, 0).F(), vIn(i, 1).F())
		fn.line("FLDPQ.P 32(%s), (%s, %s)", p, vIn(i, 2).F(), vIn(i, 3).F())
	}
	for u := 0; u < 4; u += 2 {
		a, b := body(u), body(u+1)
		fn.line("FSTPQ.P (%s, %s), 32(%s)", a.F(), b.F(), s.out)
	}
	fn.line("SUBS $16, %s, %s", s.n, s.n)
	fn.line("BGE %s", wide)

	fn.at(narrow)
	fn.line("ADDS $12, %s, %s", s.n, s.n) // less four, for the next loop
	fn.line("BLT %s", tail)
	fn.at(vector)
	for i, p := range s.in {
		fn.line("FMOVQ.P 16(%s), %s", p, vIn(i, 0).F())
	}
	fn.line("FMOVQ.P %s, 16(%s)", body(0).F(), s.out)
	fn.line("SUBS $4, %s, %s", s.n, s.n)
	fn.line("BGE %s", vector)

	fn.at(tail)
	fn.line("ADDS $4, %s, %s", s.n, s.n)
	fn.line("BEQ %s", end)
	fn.at(single)
	for i, p := range s.in {
		fn.line("FMOVS.P 4(%s), %s", p, vIn(i, 0).F())
	}
	fn.line("FMOVS.P %s, 4(%s)", body(0).F(), s.out)
	fn.line("SUBS $1, %s, %s", s.n, s.n)
	fn.line("BNE %s", single)
	fn.at(end)
	fn.done()
}

// broadcast loads a float32 parameter into all lanes.
func (fn *fn) broadcast(name string, v V) {
	fn.argF(name, v)
	fn.op("dup.4s.lane", v, v, 0)
}

// constant sets all lanes to a 32-bit pattern.
func (fn *fn) constant(bits uint32, tmp X, v V) {
	fn.line("MOVW $0x%08x, %s", bits, tmp)
	fn.op("dup.4s.gp", v, tmp)
}
