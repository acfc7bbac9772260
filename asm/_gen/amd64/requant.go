package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of requantArgs (TestArgsLayoutS8 pins them).
const rqDst, rqSrc, rqDstStep, rqSrcStep, rqPixels, rqChannels = 0, 24, 48, 56, 64, 72

var requantFields = rescaleFields{scale: 80, mul: 104, shift: 128, zero: 152, lo: 156, hi: 160}

// rescaleFields are offsets of a struct's fields that hold what a Requant does.
type rescaleFields struct{ scale, mul, shift, zero, lo, hi int }

// rescaler emits the arithmetic of a mode of Requant on vectors of int32.
type rescaler struct {
	simd
	args    Register
	at      rescaleFields
	params  func(at int) VecVirtual // loads the parameters of a vector of channels
	lo, hi  VecVirtual              // the range less the zero point, in the arithmetic of the mode
	clamps  bool                    // the store saturates and clamps: float and shift need not
	load    func()                  // loads parameters and sets rescale
	rescale func(v VecVirtual) VecVirtual
}

// modes are the modes, in the order of requantKernels.
var modes = []struct {
	name    string
	prepare func(r *rescaler)
}{{"Float", (*rescaler).float}, {"Multiplier", (*rescaler).multiplier}, {"Shift", (*rescaler).shift}}

// requant emits one row kernel: for each vector of channels, over all pixels.
type requant struct {
	rescaler
	channel GPVirtual // of the first lane, in elements
	mask    Register  // of the lanes in use; avx512 only
}

func requants(c *Context) {
	bothTiers(c, func(s simd) {
		for _, m := range modes {
			doc := "is a row kernel (see requantKernels)."
			if !s.evex() {
				doc = "is a row kernel (see requantKernels) for a multiple of 8 channels."
			}
			s.declare("requant"+m.name, doc, "requantArgs")
			r := &requant{rescaler: rescaler{simd: s, args: c.Load(c.Param("a"), c.GP64()), at: requantFields}}
			r.params = func(at int) VecVirtual {
				v := s.vec()
				c.VMOVUPS(Mem{Base: r.field(at), Index: r.channel, Scale: 4}, v)
				return v
			}
			m.prepare(&r.rescaler)
			r.emit()
		}
	})
}

func (r *rescaler) field(at int) GPVirtual {
	x := r.GP64()
	r.MOVQ(Mem{Base: r.args, Disp: at}, x)
	return x
}

func (r *rescaler) field32(at int) GPVirtual {
	x := r.GP64()
	r.MOVL(Mem{Base: r.args, Disp: at}, x.As32())
	return x
}

// broadcast32 fills a vector with an int32.
func (r *rescaler) broadcast32(x GPVirtual) VecVirtual {
	v, one := r.vec(), r.XMM()
	r.VMOVD(x.As32(), one)
	r.VPBROADCASTD(one, v)
	return v
}

// bound returns the range's end at a field, less the zero point.
func (r *rescaler) bound(at int) GPVirtual {
	x := r.field32(at)
	r.SUBL(Mem{Base: r.args, Disp: r.at.zero}, x.As32())
	r.MOVLQSX(x.As32(), x)
	return x
}

func (r *requant) emit() {
	zero := r.broadcast32(r.field32(r.at.zero))
	r.channel = r.GP64()
	r.XORQ(r.channel, r.channel)

	r.Label("channels")
	r.setMask()
	r.load()
	src, dst, pixels := r.field(rqSrc), r.field(rqDst), r.field(rqPixels)
	srcStep, dstStep := r.field(rqSrcStep), r.field(rqDstStep)
	r.LEAQ(Mem{Base: src, Index: r.channel, Scale: 4}, src)
	r.ADDQ(r.channel, dst)
	r.SHLQ(Imm(2), srcStep)
	r.Label("pixel")
	v := r.vec()
	if r.evex() {
		r.VMOVDQU32_Z(Mem{Base: src}, r.mask, v)
	} else {
		r.VMOVDQU(Mem{Base: src}, v)
	}
	v = r.rescale(v)
	r.VPADDD(zero, v, v)
	r.storeBytes(v, r.mask, Mem{Base: dst})
	r.ADDQ(srcStep, src)
	r.ADDQ(dstStep, dst)
	r.DECQ(pixels)
	r.JNZ(LabelRef("pixel"))
	r.ADDQ(Imm(uint64(r.lanes)), r.channel)
	r.CMPQ(r.channel, Mem{Base: r.args, Disp: rqChannels})
	r.JL(LabelRef("channels"))
	r.VZEROUPPER()
	r.RET()
}

// setMask makes the mask of the channels from r.channel on.
func (r *requant) setMask() {
	if !r.evex() {
		return
	}
	bits, left := r.GP64(), r.field(rqChannels)
	r.SUBQ(r.channel, left)
	most := r.GP64()
	r.MOVQ(U32(16), most)
	r.CMPQ(left, most)
	r.CMOVQGT(most, left)
	r.MOVQ(I64(-1), bits)
	r.BZHIQ(left, bits, bits)
	r.mask = r.K()
	r.KMOVW(bits.As32(), r.mask)
}

// storeBytes stores lanes, which are in [0, 255], as bytes.
func (s simd) storeBytes(v VecVirtual, mask Register, to Mem) {
	if s.evex() {
		s.VPMOVDB(v, mask, to)
		return
	}
	high := s.XMM()
	s.VEXTRACTI128(Imm(1), v, high)
	s.VPACKSSDW(high, v.AsX(), high)
	s.VPACKUSWB(high, high, high)
	s.VMOVQ(high, to)
}

// float clamps before it converts: conversion does not saturate.
func (r *rescaler) float() {
	if !r.clamps {
		r.lo, r.hi = r.broadcast32(r.bound(r.at.lo)), r.broadcast32(r.bound(r.at.hi))
		r.VCVTDQ2PS(r.lo, r.lo)
		r.VCVTDQ2PS(r.hi, r.hi)
	}
	r.load = func() {
		scale := r.params(r.at.scale)
		r.rescale = func(v VecVirtual) VecVirtual {
			r.VCVTDQ2PS(v, v)
			r.VMULPS(scale, v, v)
			if !r.clamps {
				r.VMINPS(r.hi, v, v)
				r.VMAXPS(r.lo, v, v)
			}
			r.VCVTPS2DQ(v, v)
			return v
		}
	}
}

// shift computes (v + 2^(n-1)) >> n without overflow as (v>>n) + bit n-1 of v.
func (r *rescaler) shift() {
	if !r.clamps {
		r.lo, r.hi = r.broadcast32(r.bound(r.at.lo)), r.broadcast32(r.bound(r.at.hi))
	}
	one := r.GP64()
	r.MOVQ(U32(1), one)
	ones := r.broadcast32(one)
	r.load = func() {
		n := r.params(r.at.shift)
		before, half, t := r.vec(), r.vec(), r.vec()
		r.VPSUBD(ones, n, before)
		r.VPMINSD(ones, n, half) // 1, or 0 for a shift of 0, which rounds nothing
		r.rescale = func(v VecVirtual) VecVirtual {
			r.VPSRAVD(before, v, t)
			r.and(half, t)
			r.VPSRAVD(n, v, v)
			r.VPADDD(t, v, v)
			if !r.clamps {
				r.VPMAXSD(r.lo, v, v)
				r.VPMINSD(r.hi, v, v)
			}
			return v
		}
	}
}

func (r *rescaler) and(x, y VecVirtual) {
	if r.evex() {
		r.VPANDD(x, y, y)
	} else {
		r.VPAND(x, y, y)
	}
}

// multiplier works on the even and the odd lanes, 64 bits each.
func (r *rescaler) multiplier() {
	r.lo, r.hi = r.broadcast64(r.bound(r.at.lo)), r.broadcast64(r.bound(r.at.hi))
	one := r.GP64()
	r.MOVQ(U32(1), one)
	ones := r.broadcast64(one)
	var sign VecVirtual // avx2: the top bit
	if !r.evex() {
		sign = r.vec()
		r.VPSLLQ(Imm(63), ones, sign)
	}
	r.load = func() {
		mul, shift := r.params(r.at.mul), r.params(r.at.shift)
		r.rescale = func(v VecVirtual) VecVirtual {
			even, odd := r.vec(), r.vec()
			r.VPMULDQ(mul, v, even)
			r.half(even, shift, ones, sign, false)
			mulOdd := r.vec()
			r.VPSRLQ(Imm(32), v, v)
			r.VPSRLQ(Imm(32), mul, mulOdd)
			r.VPMULDQ(mulOdd, v, odd)
			r.half(odd, shift, ones, sign, true)
			r.VPSLLQ(Imm(32), odd, odd)
			low := r.vec()
			r.VPSLLQ(Imm(32), even, even)
			r.VPSRLQ(Imm(32), even, low)
			if r.evex() {
				r.VPORD(odd, low, low)
			} else {
				r.VPOR(odd, low, low)
			}
			return low
		}
	}
}

func (r *rescaler) broadcast64(x GPVirtual) VecVirtual {
	v, one := r.vec(), r.XMM()
	r.VMOVQ(x, one)
	r.VPBROADCASTQ(one, v)
	return v
}

// half rounds, shifts and clamps the 64-bit products of the even or odd lanes.
func (r *rescaler) half(v, shift, ones, sign VecVirtual, odd bool) {
	n, t := r.vec(), r.vec()
	if odd {
		r.VPSRLQ(Imm(32), shift, n)
	} else {
		r.VPSLLQ(Imm(32), shift, n)
		r.VPSRLQ(Imm(32), n, n)
	}
	r.VPSLLVQ(n, ones, t)
	r.VPSRLQ(Imm(1), t, t)
	r.VPADDQ(t, v, v)
	if r.evex() {
		r.VPSRAVQ(n, v, v)
		r.VPMAXSQ(r.lo, v, v)
		r.VPMINSQ(r.hi, v, v)
		return
	}
	r.VPXOR(sign, v, v) // there is no arithmetic shift of 64 bits
	r.VPSRLVQ(n, v, v)
	r.VPSRLVQ(n, sign, t)
	r.VPSUBQ(t, v, v)
	r.VPCMPGTQ(v, r.lo, t)
	r.VBLENDVPD(t, r.lo, v, v)
	r.VPCMPGTQ(r.hi, v, t)
	r.VBLENDVPD(t, r.hi, v, v)
}
