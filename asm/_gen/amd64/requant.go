package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of requantArgs (TestArgsLayoutS8 pins them).
const (
	rqDst, rqSrc, rqDstStep, rqSrcStep, rqPixels, rqChannels = 0, 24, 48, 56, 64, 72
	rqScale, rqMul, rqShift                                  = 80, 104, 128
	rqZero, rqLo, rqHi                                       = 152, 156, 160
)

// requant emits one row kernel: for each vector of channels, over all pixels.
type requant struct {
	*Context
	isa      isa
	args     Register
	channel  GPVirtual  // of the first lane, in elements
	mask     Register   // of the lanes in use; avx512 only
	zero     VecVirtual // the zero point in each lane
	lo, hi   VecVirtual // the range less the zero point, in the arithmetic of the mode
	rescale  func(v VecVirtual) VecVirtual
	loadMode func() // loads the channels' parameters and sets rescale
}

func requants(c *Context) {
	for _, s := range []isa{avx2, avx512} {
		for _, m := range []struct {
			name string
			load func(r *requant)
		}{{"Float", (*requant).float}, {"Multiplier", (*requant).multiplier}, {"Shift", (*requant).shift}} {
			name, doc := "requant"+m.name+s.name, "is a row kernel (see requantKernels)."
			if s == avx2 {
				doc = "is a row kernel (see requantKernels) for a multiple of 8 channels."
			}
			declareWithArgs(c, name, doc, "requantArgs")
			r := &requant{Context: c, isa: s, args: c.Load(c.Param("a"), c.GP64())}
			m.load(r)
			r.emit()
		}
	}
}

func (r *requant) field(at int) GPVirtual {
	x := r.GP64()
	r.MOVQ(Mem{Base: r.args, Disp: at}, x)
	return x
}

// broadcast32 fills a vector with an int32.
func (r *requant) broadcast32(x GPVirtual) VecVirtual {
	v, one := r.isa.vec(r.Context), r.XMM()
	r.VMOVD(x.As32(), one)
	r.VPBROADCASTD(one, v)
	return v
}

// bound returns the range's end at a field, less the zero point.
func (r *requant) bound(at int) GPVirtual {
	x := r.GP64()
	r.MOVL(Mem{Base: r.args, Disp: at}, x.As32())
	r.SUBL(Mem{Base: r.args, Disp: rqZero}, x.As32())
	r.MOVLQSX(x.As32(), x)
	return x
}

// params loads the channels' int32 or float32 parameters of a field.
func (r *requant) params(at int) VecVirtual {
	v := r.isa.vec(r.Context)
	r.VMOVUPS(Mem{Base: r.field(at), Index: r.channel, Scale: 4}, v)
	return v
}

func (r *requant) emit() {
	zero := r.GP64()
	r.MOVL(Mem{Base: r.args, Disp: rqZero}, zero.As32())
	r.zero = r.broadcast32(zero)
	r.channel = r.GP64()
	r.XORQ(r.channel, r.channel)

	r.Label("channels")
	r.setMask()
	r.loadMode()
	src, dst, pixels := r.field(rqSrc), r.field(rqDst), r.field(rqPixels)
	srcStep, dstStep := r.field(rqSrcStep), r.field(rqDstStep)
	r.LEAQ(Mem{Base: src, Index: r.channel, Scale: 4}, src)
	r.ADDQ(r.channel, dst)
	r.SHLQ(Imm(2), srcStep)
	r.Label("pixel")
	v := r.isa.vec(r.Context)
	if r.isa == avx512 {
		r.VMOVDQU32_Z(Mem{Base: src}, r.mask, v)
	} else {
		r.VMOVDQU(Mem{Base: src}, v)
	}
	v = r.rescale(v)
	r.VPADDD(r.zero, v, v)
	r.store(v, Mem{Base: dst})
	r.ADDQ(srcStep, src)
	r.ADDQ(dstStep, dst)
	r.DECQ(pixels)
	r.JNZ(LabelRef("pixel"))
	r.ADDQ(Imm(uint64(r.isa.lanes())), r.channel)
	r.CMPQ(r.channel, Mem{Base: r.args, Disp: rqChannels})
	r.JL(LabelRef("channels"))
	r.VZEROUPPER()
	r.RET()
}

// setMask makes the mask of the channels from r.channel on.
func (r *requant) setMask() {
	if r.isa != avx512 {
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

// store writes lanes, which are in [0, 255], as bytes.
func (r *requant) store(v VecVirtual, to Mem) {
	if r.isa == avx512 {
		r.VPMOVDB(v, r.mask, to)
		return
	}
	high := r.XMM()
	r.VEXTRACTI128(Imm(1), v, high)
	r.VPACKSSDW(high, v.AsX(), high)
	r.VPACKUSWB(high, high, high)
	r.VMOVQ(high, to)
}

// float clamps before it converts: conversion does not saturate.
func (r *requant) float() {
	r.lo, r.hi = r.broadcast32(r.bound(rqLo)), r.broadcast32(r.bound(rqHi))
	r.VCVTDQ2PS(r.lo, r.lo)
	r.VCVTDQ2PS(r.hi, r.hi)
	r.loadMode = func() {
		scale := r.params(rqScale)
		r.rescale = func(v VecVirtual) VecVirtual {
			r.VCVTDQ2PS(v, v)
			r.VMULPS(scale, v, v)
			r.VMINPS(r.hi, v, v)
			r.VMAXPS(r.lo, v, v)
			r.VCVTPS2DQ(v, v)
			return v
		}
	}
}

// shift computes (v + 2^(n-1)) >> n without overflow as (v>>n) + bit n-1 of v.
func (r *requant) shift() {
	r.lo, r.hi = r.broadcast32(r.bound(rqLo)), r.broadcast32(r.bound(rqHi))
	one := r.GP64()
	r.MOVQ(U32(1), one)
	ones := r.broadcast32(one)
	r.loadMode = func() {
		n := r.params(rqShift)
		before, half, t := r.isa.vec(r.Context), r.isa.vec(r.Context), r.isa.vec(r.Context)
		r.VPSUBD(ones, n, before)
		r.VPMINSD(ones, n, half) // 1, or 0 for a shift of 0, which rounds nothing
		r.rescale = func(v VecVirtual) VecVirtual {
			r.VPSRAVD(before, v, t)
			r.and(half, t)
			r.VPSRAVD(n, v, v)
			r.VPADDD(t, v, v)
			r.VPMAXSD(r.lo, v, v)
			r.VPMINSD(r.hi, v, v)
			return v
		}
	}
}

func (r *requant) and(x, y VecVirtual) {
	if r.isa == avx512 {
		r.VPANDD(x, y, y)
	} else {
		r.VPAND(x, y, y)
	}
}

// multiplier works on the even and the odd lanes, 64 bits each.
func (r *requant) multiplier() {
	r.lo, r.hi = r.broadcast64(r.bound(rqLo)), r.broadcast64(r.bound(rqHi))
	one := r.GP64()
	r.MOVQ(U32(1), one)
	ones := r.broadcast64(one)
	var sign VecVirtual // avx2: the top bit
	if r.isa == avx2 {
		sign = r.isa.vec(r.Context)
		r.VPSLLQ(Imm(63), ones, sign)
	}
	r.loadMode = func() {
		mul, shift := r.params(rqMul), r.params(rqShift)
		r.rescale = func(v VecVirtual) VecVirtual {
			even, odd := r.isa.vec(r.Context), r.isa.vec(r.Context)
			r.VPMULDQ(mul, v, even)
			r.half(even, shift, ones, sign, false)
			mulOdd := r.isa.vec(r.Context)
			r.VPSRLQ(Imm(32), v, v)
			r.VPSRLQ(Imm(32), mul, mulOdd)
			r.VPMULDQ(mulOdd, v, odd)
			r.half(odd, shift, ones, sign, true)
			r.VPSLLQ(Imm(32), odd, odd)
			low := r.isa.vec(r.Context)
			r.VPSLLQ(Imm(32), even, even)
			r.VPSRLQ(Imm(32), even, low)
			if r.isa == avx512 {
				r.VPORD(odd, low, low)
			} else {
				r.VPOR(odd, low, low)
			}
			return low
		}
	}
}

func (r *requant) broadcast64(x GPVirtual) VecVirtual {
	v, one := r.isa.vec(r.Context), r.XMM()
	r.VMOVQ(x, one)
	r.VPBROADCASTQ(one, v)
	return v
}

// half rounds, shifts and clamps the 64-bit products of the even or odd lanes.
func (r *requant) half(v, shift, ones, sign VecVirtual, odd bool) {
	n, t := r.isa.vec(r.Context), r.isa.vec(r.Context)
	if odd {
		r.VPSRLQ(Imm(32), shift, n)
	} else {
		r.VPSLLQ(Imm(32), shift, n)
		r.VPSRLQ(Imm(32), n, n)
	}
	r.VPSLLVQ(n, ones, t)
	r.VPSRLQ(Imm(1), t, t)
	r.VPADDQ(t, v, v)
	if r.isa == avx512 {
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
