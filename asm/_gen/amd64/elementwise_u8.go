package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of AddU8Spec (TestArgsLayoutS8 pins them).
const (
	addZeroA, addZeroB, addScaleA, addScaleB, addMulA, addMulB = 1, 2, 4, 8, 12, 16
	addShift, addZero, addLo, addHi, addDivisor                = 20, 21, 22, 23, 24
)

// bytesLoop emits loops over slices, step elements at a time, with a mask for the rest
// where there are masks; without, lengths must be multiples of step.
type bytesLoop struct {
	simd
	step int
	left Register // elements
	mask Register // of step lanes
}

func newBytesLoop(s simd, step int, of string) *bytesLoop {
	return &bytesLoop{simd: s, step: step, left: s.Load(s.Param(of).Len(), s.GP64())}
}

// slice loads the address of a slice parameter.
func (s simd) slice(name string) Register { return s.Load(s.Param(name).Base(), s.GP64()) }

// each emits the loop. body handles what the slices' registers point at, and
// moves them on.
func (l *bytesLoop) each(body func()) {
	l.TESTQ(l.left, l.left)
	l.JZ(LabelRef("done"))
	var ones GPVirtual
	if l.evex() {
		ones, l.mask = l.GP64(), l.K()
		l.MOVQ(I64(-1), ones)
		l.KMOVQ(ones, l.mask)
	}
	l.Label("loop")
	if l.evex() {
		l.CMPQ(l.left, Imm(uint64(l.step)))
		l.JGE(LabelRef("body"))
		l.BZHIQ(l.left, ones, ones)
		l.KMOVQ(ones, l.mask)
		l.Label("body")
	}
	body()
	l.SUBQ(Imm(uint64(l.step)), l.left)
	l.JG(LabelRef("loop"))
	l.Label("done")
	l.VZEROUPPER()
	l.RET()
}

// advance moves registers on by one step of bytes.
func (l *bytesLoop) advance(slices ...Register) {
	for _, r := range slices {
		l.ADDQ(Imm(uint64(l.step)), r)
	}
}

func elementwiseU8(c *Context) {
	bothTiers(c, func(s simd) {
		addU8(s, "addFloatU8", floatTerms)
		addU8(s, "addQuotientU8", quotientTerms)
		addU8(s, "addIntU8", intTerms)
		maxU8(s)
		sumU8(s)
	})
	lookupU8(c)
}

// sliceFunction starts a function over slices.
func (s simd) sliceFunction(name, args string) {
	s.Function(name + s.tier)
	s.Attributes(NOSPLIT)
	signature(s.Context, "func("+args+")")
	s.Pragma("noescape")
	doc := name + s.tier + " is the kernel of its name"
	if !s.evex() {
		doc += ", for lengths that are multiples of a vector"
	}
	s.Doc(doc + ".")
}

// addU8 emits an addition by the terms that the two inputs, less their zero points, make.
func addU8(s simd, name string, terms func(s simd, spec Register) (sum func(a, b VecVirtual) VecVirtual)) {
	s.sliceFunction(name, "dst, a, b []uint8, spec *AddU8Spec")
	l := newBytesLoop(s, s.lanes, "dst")
	dst, srcA, srcB := s.slice("dst"), s.slice("a"), s.slice("b")
	spec := s.Load(s.Param("spec"), s.GP64())
	zeroA, zeroB, zero := s.byteField(spec, addZeroA), s.byteField(spec, addZeroB), s.byteField(spec, addZero)
	lo, hi := s.byteField(spec, addLo), s.byteField(spec, addHi)
	sum := terms(s, spec)
	l.each(func() {
		a, b := s.vec(), s.vec()
		if s.evex() {
			s.VPMOVZXBD_Z(Mem{Base: srcA}, l.mask, a)
			s.VPMOVZXBD_Z(Mem{Base: srcB}, l.mask, b)
		} else {
			s.VPMOVZXBD(Mem{Base: srcA}, a)
			s.VPMOVZXBD(Mem{Base: srcB}, b)
		}
		s.VPSUBD(zeroA, a, a)
		s.VPSUBD(zeroB, b, b)
		q := sum(a, b)
		s.VPADDD(zero, q, q)
		s.VPMAXSD(lo, q, q)
		s.VPMINSD(hi, q, q)
		s.storeBytes(q, l.mask, Mem{Base: dst})
		l.advance(dst, srcA, srcB)
	})
}

// byteField fills a vector of int32 with a byte of a struct.
func (s simd) byteField(base Register, at int) VecVirtual {
	x, one, v := s.GP32(), s.XMM(), s.vec()
	s.MOVBLZX(Mem{Base: base, Disp: at}, x)
	s.VMOVD(x, one)
	s.VPBROADCASTD(one, v)
	return v
}

func (s simd) wordField(base Register, at int) VecVirtual {
	v := s.vec()
	s.VPBROADCASTD(Mem{Base: base, Disp: at}, v)
	return v
}

// floatTerms rounds each product, then the sum: the compiler of the reference does not fuse them either.
func floatTerms(s simd, spec Register) func(a, b VecVirtual) VecVirtual {
	return sumTerms(s, spec, func(VecVirtual) {})
}

// quotientTerms divides the sum before it is rounded to an integer.
func quotientTerms(s simd, spec Register) func(a, b VecVirtual) VecVirtual {
	divisor := s.wordField(spec, addDivisor)
	return sumTerms(s, spec, func(sum VecVirtual) { s.VDIVPS(divisor, sum, sum) })
}

func sumTerms(s simd, spec Register, finish func(sum VecVirtual)) func(a, b VecVirtual) VecVirtual {
	scaleA, scaleB := s.wordField(spec, addScaleA), s.wordField(spec, addScaleB)
	return func(a, b VecVirtual) VecVirtual {
		s.VCVTDQ2PS(a, a)
		s.VCVTDQ2PS(b, b)
		s.VMULPS(scaleA, a, a)
		s.VMULPS(scaleB, b, b)
		s.VADDPS(b, a, a)
		finish(a)
		s.VCVTPS2DQ(a, a)
		return a
	}
}

func intTerms(s simd, spec Register) func(a, b VecVirtual) VecVirtual {
	mulA, mulB, shift := s.wordField(spec, addMulA), s.wordField(spec, addMulB), s.byteField(spec, addShift)
	odd, below := s.vec(), s.vec() // 1, or 0 for a shift of 0; 1<<shift>>1 - odd: just under a half
	one := s.GP32()
	s.MOVL(U32(1), one)
	x := s.XMM()
	s.VMOVD(one, x)
	s.VPBROADCASTD(x, odd)
	s.VPSLLVD(shift, odd, below)
	s.VPSRLD(Imm(1), below, below)
	s.VPMINSD(shift, odd, odd)
	s.VPSUBD(odd, below, below)
	return func(a, b VecVirtual) VecVirtual {
		s.VPMULLD(mulA, a, a)
		s.VPMULLD(mulB, b, b)
		s.VPADDD(b, a, a)
		s.VPSRAVD(shift, a, b)
		if s.evex() {
			s.VPANDD(odd, b, b)
		} else {
			s.VPAND(odd, b, b)
		}
		s.VPADDD(below, a, a)
		s.VPADDD(b, a, a)
		s.VPSRAVD(shift, a, a)
		return a
	}
}

func maxU8(s simd) {
	s.sliceFunction("maxU8", "dst, src []uint8")
	l := newBytesLoop(s, s.bytes(), "dst")
	dst, src := s.slice("dst"), s.slice("src")
	l.each(func() {
		x, y := s.vec(), s.vec()
		if s.evex() {
			s.VMOVDQU8_Z(Mem{Base: src}, l.mask, x)
			s.VMOVDQU8_Z(Mem{Base: dst}, l.mask, y)
			s.VPMAXUB(x, y, y)
			s.VMOVDQU8(y, l.mask, Mem{Base: dst})
		} else {
			s.VMOVDQU(Mem{Base: src}, x)
			s.VPMAXUB(Mem{Base: dst}, x, x)
			s.VMOVDQU(x, Mem{Base: dst})
		}
		l.advance(dst, src)
	})
}

func sumU8(s simd) {
	s.sliceFunction("sumU8", "acc []int32, src []uint8")
	l := newBytesLoop(s, s.lanes, "src")
	acc, src := s.slice("acc"), s.slice("src")
	l.each(func() {
		x, y := s.vec(), s.vec()
		if s.evex() {
			s.VPMOVZXBD_Z(Mem{Base: src}, l.mask, x)
			s.VMOVDQU32_Z(Mem{Base: acc}, l.mask, y)
			s.VPADDD(x, y, y)
			s.VMOVDQU32(y, l.mask, Mem{Base: acc})
		} else {
			s.VPMOVZXBD(Mem{Base: src}, x)
			s.VPADDD(Mem{Base: acc}, x, x)
			s.VMOVDQU(x, Mem{Base: acc})
		}
		l.advance(src)
		s.ADDQ(Imm(uint64(s.bytes())), acc)
	})
}

// lookupU8 looks up the even and the odd bytes in turn, as 16-bit lanes: bits 1 to 6
// of a byte choose one of 64 words in a pair of registers, bit 7 the pair, bit 0 the
// byte of the word.
func lookupU8(c *Context) {
	s := simd{c, 16, "AVX512"}
	s.sliceFunction("lookupU8", "dst, src []uint8, table *[256]uint8")
	l := newBytesLoop(s, 64, "src")
	dst, src := s.slice("dst"), s.slice("src")
	table := c.Load(c.Param("table"), c.GP64())
	var words [4]VecVirtual
	for i := range words {
		words[i] = c.ZMM()
		c.VMOVDQU8(Mem{Base: table, Disp: 64 * i}, words[i])
	}
	low, top, eight := s.words(0xff), s.words(0x80), s.words(8)
	lookup := func(i VecVirtual) VecVirtual {
		first, second, shift, upper := c.ZMM(), c.ZMM(), c.ZMM(), c.K()
		c.VPTESTMW(top, i, upper)
		c.VPSLLW(Imm(3), i, shift)
		c.VPANDD(eight, shift, shift)
		c.VPSRLW(Imm(1), i, first)
		c.VMOVDQA64(first, second)
		c.VPERMI2W(words[1], words[0], first)
		c.VPERMI2W(words[3], words[2], second)
		c.VPBLENDMW(second, first, upper, first)
		c.VPSRLVW(shift, first, first)
		return first
	}
	l.each(func() {
		x, odd := c.ZMM(), c.ZMM()
		c.VMOVDQU8_Z(Mem{Base: src}, l.mask, x)
		c.VPSRLW(Imm(8), x, odd)
		c.VPANDD(low, x, x)
		even, odd := lookup(x), lookup(odd)
		c.VPANDD(low, even, even)
		c.VPSLLW(Imm(8), odd, odd)
		c.VPORD(odd, even, even)
		c.VMOVDQU8(even, l.mask, Mem{Base: dst})
		l.advance(dst, src)
	})
}

// words fills a vector with a 16-bit number.
func (s simd) words(x uint32) VecVirtual {
	r, v := s.GP32(), s.vec()
	s.MOVL(U32(x), r)
	s.VPBROADCASTW(r, v)
	return v
}
