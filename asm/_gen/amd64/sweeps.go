package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets in package asm's types gridParams and channelParams: the first holds
// numbers, the second pointers to as many; a test compares them.
var (
	gridOffsets    = gridFields[int]{lo: 0, hi: 4, inv: 8, scale: 12, zero: 16, invLow: 20}
	channelOffsets = gridFields[int]{lo: 0, hi: 8, inv: 16, scale: 24, zero: 32, invLow: 56}
)

const (
	channelCount = 40 // the number of channels
	channelStep  = 48 // 16 modulo that
)

// gridFields are the parameters of quantization, as T.
type gridFields[T any] struct{ lo, hi, inv, scale, zero, invLow T }

// An element is an integer type of quantized data.
type element struct {
	name, goType string
	size         int // bytes
	signed       bool
}

var (
	s8  = element{"S8", "int8", 1, true}
	u8  = element{"U8", "uint8", 1, false}
	s16 = element{"S16", "int16", 2, true}
	u16 = element{"U16", "uint16", 2, false}
	s32 = element{"S32", "int32", 4, true}
)

// sweeps declares the kernels that quantize, dequantize, and do both.
//
// Clamping x to the ends of the grid first keeps infinities out and clamps the
// result as well. What is left is x/scale, correctly rounded but without the
// time of a division: see quotient.
func sweeps(c *Context) {
	for _, channels := range []bool{false, true} {
		bothTiers(c, func(s simd) {
			for _, e := range []element{s8, u8, s16, u16} {
				quantize(s, e, channels)
			}
			for _, e := range []element{s8, u8, s16, u16, s32} {
				dequantize(s, e, channels)
			}
			quantizeDequantize(s, channels, false)
			quantizeDequantize(s, channels, true)
		})
	}
}

func quantize(s simd, e element, channels bool) {
	l := sweepStart(s, "quantize", "F32"+e.name, e.goType, e.size, "float32", 4, channels)
	l.run(func(disp int, p gridFields[VecVirtual]) {
		q := s.quotient(s.clamped(l.source(disp), p), p, e.size > 1)
		s.VCVTPS2DQ(q, q)
		s.VPADDD(p.zero, q, q)
		l.store(e, disp, q)
	}, append(quotientFields(e.size > 1), "lo", "hi", "zero")...)
}

func dequantize(s simd, e element, channels bool) {
	l := sweepStart(s, "dequantize", e.name+"F32", "float32", 4, e.goType, e.size, channels)
	l.run(func(disp int, p gridFields[VecVirtual]) {
		v := l.load(e, disp)
		s.VPSUBD(p.zero, v, v)
		s.VCVTDQ2PS(v, v)
		s.VMULPS(p.scale, v, v)
		s.VMOVUPS(v, l.target(disp))
	}, "scale", "zero")
}

// quantizeDequantize is for 8 bits, or wide for 16.
func quantizeDequantize(s simd, channels, wide bool) {
	op := "quantizeDequantize"
	if wide {
		op += "Wide"
	}
	l := sweepStart(s, op, "F32", "float32", 4, "float32", 4, channels)
	fields := append(quotientFields(wide), "lo", "hi")
	if !wide {
		fields = append(fields, "scale")
	}
	zero := s.vec()
	s.VXORPS(zero, zero, zero)
	l.run(func(disp int, p gridFields[VecVirtual]) {
		v := s.rounded(s.quotient(s.clamped(l.source(disp), p), p, wide))
		s.VFMADD213PS(zero, p.scale, v) // adding 0 makes 0 of -0
		s.VMOVUPS(v, l.target(disp))
	}, fields...)
}

// clamped returns x between the ends of the grid, NaN as 0.
func (s simd) clamped(x Mem, p gridFields[VecVirtual]) VecVirtual {
	v := s.vec()
	s.VMOVUPS(x, v)
	if s.wide() {
		number := s.K()
		s.VCMPPS(Imm(7), v, v, number) // ordered
		s.VMAXPS_Z(p.lo, v, number, v)
	} else {
		number := s.vec()
		s.VCMPPS(Imm(7), v, v, number)
		s.VANDPS(number, v, v)
		s.VMAXPS(p.lo, v, v)
	}
	s.VMINPS(p.hi, v, v)
	return v
}

// quotient returns x/scale rounded to float32.
//
// For grids of 16 bits it is q + fma(x-q*scale, inv, q), each operation rounded
// once, for q = x*inv (P. Markstein, IA-64 and Elementary Functions, 2000).
// For grids of 8 bits fma(x, inv, x*invLow), inv+invLow being 1/scale to twice
// the precision, is enough: it is not always the nearest float32, but it rounds
// to the same integer. Only a float32 next to a midpoint k+1/2 of two integers
// could go wrong, and all 2^23 significands of scale were tried with all those
// up to 256.
func (s simd) quotient(x VecVirtual, p gridFields[VecVirtual], wide bool) VecVirtual {
	q := s.vec()
	if !wide {
		s.VMULPS(p.invLow, x, q)
		s.VFMADD231PS(p.inv, x, q)
		return q
	}
	s.VMULPS(p.inv, x, q)
	s.VFNMADD231PS(p.scale, q, x) // the remainder
	s.VFMADD231PS(p.inv, x, q)
	return q
}

// quotientFields names the parameters that quotient needs.
func quotientFields(wide bool) []string {
	if wide {
		return []string{"inv", "scale"}
	}
	return []string{"inv", "invLow"}
}

// rounded returns v rounded to integers, ties to even.
func (s simd) rounded(v VecVirtual) VecVirtual {
	if s.wide() {
		s.VRNDSCALEPS(Imm(8), v, v)
	} else {
		s.VROUNDPS(Imm(8), v, v)
	}
	return v
}

// A sweepLoop is a kernel that goes through two slices side by side, 16
// elements after 16.
type sweepLoop struct {
	simd
	dst, x, p, n     Register
	dstSize, srcSize int
	channels         bool
	first            Register // the channel of the first element, of those of a vector
}

// sweepStart declares the function and loads its arguments.
func sweepStart(s simd, op, types, dstType string, dstSize int, srcType string, srcSize int, channels bool) *sweepLoop {
	params := "*gridParams"
	if channels {
		op += "Channels"
		params = "*channelParams, first int"
	}
	s.Function(op + types + s.tier)
	s.Attributes(NOSPLIT)
	s.Doc(op + types + s.tier + " is " + op + types + " for a length that is a multiple of 16.")
	signature(s.Context, "func(dst []"+dstType+", x []"+srcType+", p "+params+")")
	l := &sweepLoop{
		simd: s, dstSize: dstSize, srcSize: srcSize, channels: channels,
		dst: s.Load(s.Param("dst").Base(), s.GP64()),
		x:   s.Load(s.Param("x").Base(), s.GP64()),
		n:   s.Load(s.Param("x").Len(), s.GP64()),
		p:   s.Load(s.Param("p"), s.GP64()),
	}
	if channels {
		l.first = s.Load(s.Param("first"), s.GP64())
	}
	return l
}

// source and target return where the 16-element group's vector at element disp is.
func (l *sweepLoop) source(disp int) Mem { return Mem{Base: l.x, Disp: disp * l.srcSize} }
func (l *sweepLoop) target(disp int) Mem { return Mem{Base: l.dst, Disp: disp * l.dstSize} }

// run writes the loop; body does one vector with the parameters named.
func (l *sweepLoop) run(body func(disp int, p gridFields[VecVirtual]), names ...string) {
	if l.channels {
		l.runChannels(body, names)
	} else {
		l.runTensor(body, names)
	}
	l.VZEROUPPER()
	l.RET()
}

// runTensor keeps the parameters in registers.
func (l *sweepLoop) runTensor(body func(disp int, p gridFields[VecVirtual]), names []string) {
	var p gridFields[VecVirtual]
	for _, name := range names {
		v := l.vec()
		l.VPBROADCASTD(Mem{Base: l.p, Disp: *gridOffsets.field(name)}, v)
		*p.field(name) = v
	}
	for _, group := range []struct {
		label string
		n     int
	}{{"four", 64}, {"one", 16}} {
		l.Label(group.label)
		l.CMPQ(l.n, Imm(uint64(group.n)))
		l.JL(LabelRef("after" + group.label))
		for disp := 0; disp < group.n; disp += l.lanes {
			body(disp, p)
		}
		l.advance(group.n)
		l.JMP(LabelRef(group.label))
		l.Label("after" + group.label)
	}
}

// runChannels reads the parameters of each vector's channels, which are
// repeated past the last for those vectors that start anew.
func (l *sweepLoop) runChannels(body func(disp int, p gridFields[VecVirtual]), names []string) {
	var base gridFields[Register]
	for _, name := range names {
		r := l.GP64()
		l.MOVQ(Mem{Base: l.p, Disp: *channelOffsets.field(name)}, r)
		*base.field(name) = r
	}
	count, step, wrapped := l.GP64(), l.GP64(), l.GP64()
	l.MOVQ(Mem{Base: l.p, Disp: channelCount}, count)
	l.MOVQ(Mem{Base: l.p, Disp: channelStep}, step)
	l.Label("loop")
	l.CMPQ(l.n, Imm(16))
	l.JL(LabelRef("done"))
	for disp := 0; disp < 16; disp += l.lanes {
		var p gridFields[VecVirtual]
		for _, name := range names {
			v := l.vec()
			l.VMOVUPS(Mem{Base: *base.field(name), Index: l.first, Scale: 4, Disp: 4 * disp}, v)
			*p.field(name) = v
		}
		body(disp, p)
	}
	l.ADDQ(step, l.first)
	l.MOVQ(l.first, wrapped)
	l.SUBQ(count, wrapped)
	l.CMOVQGE(wrapped, l.first)
	l.advance(16)
	l.JMP(LabelRef("loop"))
	l.Label("done")
}

func (l *sweepLoop) advance(n int) {
	l.ADDQ(U32(uint32(n*l.srcSize)), l.x)
	l.ADDQ(U32(uint32(n*l.dstSize)), l.dst)
	l.SUBQ(Imm(uint64(n)), l.n)
}

func (f *gridFields[T]) field(name string) *T {
	return map[string]*T{"lo": &f.lo, "hi": &f.hi, "inv": &f.inv, "scale": &f.scale, "zero": &f.zero, "invLow": &f.invLow}[name]
}

// load returns a vector of elements as 32-bit integers.
func (l *sweepLoop) load(e element, disp int) VecVirtual {
	v := l.vec()
	move := map[element]func(...Op){s8: l.VPMOVSXBD, u8: l.VPMOVZXBD, s16: l.VPMOVSXWD, u16: l.VPMOVZXWD, s32: l.VMOVUPS}[e]
	move(l.source(disp), v)
	return v
}

// store writes a vector of 32-bit integers that fit in the element.
func (l *sweepLoop) store(e element, disp int, v VecVirtual) {
	to := l.target(disp)
	if l.wide() {
		if e.size == 1 {
			l.VPMOVDB(v, v.AsX())
			l.VMOVDQU(v.AsX(), to)
		} else {
			l.VPMOVDW(v, v.AsY())
			l.VMOVDQU(v.AsY(), to)
		}
		return
	}
	low, high := v.AsX(), l.XMM()
	l.VEXTRACTI128(Imm(1), v, high)
	if e.signed {
		l.VPACKSSDW(high, low, low)
	} else {
		l.VPACKUSDW(high, low, low)
	}
	switch {
	case e.size == 2:
		l.VMOVDQU(low, to)
	case e.signed:
		l.VPACKSSWB(low, low, low)
		l.VMOVQ(low, to)
	default:
		l.VPACKUSWB(low, low, low)
		l.VMOVQ(low, to)
	}
}

// sweepError declares the kernels that add up what quantization loses.
func sweepError(c *Context) {
	bothTiers(c, func(s simd) {
		for _, power := range []int{1, 2, 4} {
			errorPower(s, power)
		}
	})
}

func errorPower(s simd, power int) {
	name := map[int]string{1: "errorAbsF32", 2: "errorSquareF32", 4: "errorFourthF32"}[power]
	s.Function(name + s.tier)
	s.Attributes(NOSPLIT)
	s.Doc(name + s.tier + " is " + name + " for a length that is a multiple of 16.")
	signature(s.Context, "func(sum *[16]float64, x []float32, p *gridParams)")
	sum := s.Load(s.Param("sum"), s.GP64())
	x := s.Load(s.Param("x").Base(), s.GP64())
	n := s.Load(s.Param("x").Len(), s.GP64())
	params := s.Load(s.Param("p"), s.GP64())
	var p gridFields[VecVirtual]
	for _, name := range []string{"lo", "hi", "inv", "scale"} {
		v := s.vec()
		s.VPBROADCASTD(Mem{Base: params, Disp: *gridOffsets.field(name)}, v)
		*p.field(name) = v
	}
	absMask := s.vec()
	s.VPBROADCASTQ(s.ConstData(name+"AbsMask"+s.tier, U64(math.MaxInt64)), absMask)
	var acc []VecVirtual
	for i := range 2 * 16 / s.lanes {
		v := s.vec()
		s.VMOVUPS(Mem{Base: sum, Disp: i * s.lanes * 4}, v)
		acc = append(acc, v)
	}

	s.Label("loop")
	s.CMPQ(n, Imm(16))
	s.JL(LabelRef("done"))
	for i := range 16 / s.lanes {
		at := Mem{Base: x, Disp: i * s.lanes * 4}
		q, v := s.rounded(s.quotient(s.clamped(at, p), p, true)), s.vec()
		s.VMOVUPS(at, v)
		s.VMULPS(p.scale, q, q)
		s.VSUBPS(q, v, v)
		for half := range 2 {
			d := s.vec()
			s.VCVTPS2PD(s.halfOf(v, half), d)
			to := acc[2*i+half]
			switch power {
			case 1:
				s.VANDPD(absMask, d, d)
				s.VADDPD(d, to, to)
			case 2:
				s.VFMADD231PD(d, d, to)
			case 4:
				s.VMULPD(d, d, d)
				s.VMULPD(d, d, d)
				s.VADDPD(d, to, to)
			}
		}
	}
	s.ADDQ(Imm(64), x)
	s.SUBQ(Imm(16), n)
	s.JMP(LabelRef("loop"))
	s.Label("done")
	for i, v := range acc {
		s.VMOVUPS(v, Mem{Base: sum, Disp: i * s.lanes * 4})
	}
	s.VZEROUPPER()
	s.RET()
}
