package main

import (
	"fmt"

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
	requantBlocks(c)
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

// requantBlock emits a row kernel for panels of 16 or 32 channels, at most all
// in use: 64 sums at a time, from several pixels, packed together.
type requantBlock struct {
	rescaler
	width int // channels from pixel to pixel in the source
	mask  Register
}

// blockOrder undoes what packing does: of the 16 groups of four bytes, group
// 4*lane+vector is channels 4*lane to 4*lane+3 of a vector.
func blockOrder(c *Context, name string) Mem {
	order := c.StaticGlobal(name)
	c.DataAttributes(RODATA | NOPTR)
	for i := range 16 {
		c.AddDatum(4*i, U32(uint32(i%4*4+i/4)))
	}
	return order
}

func requantBlocks(c *Context) {
	order := blockOrder(c, "requantBlockOrder")
	for _, width := range []int{32, 16} {
		for _, m := range modes {
			if m.name == "Multiplier" {
				continue // it has no saturating form
			}
			s := simd{c, 16, "AVX512"}
			s.declare(fmt.Sprintf("requantBlock%d%s", width, m.name),
				fmt.Sprintf("is a row kernel (see requantBlocks) for at least %d pixels.", 64/width), "requantArgs")
			r := &requantBlock{width: width}
			r.rescaler = rescaler{simd: s, args: c.Load(c.Param("a"), c.GP64()), at: requantFields, clamps: true}
			m.prepare(&r.rescaler)
			r.emit(order)
		}
	}
}

func (r *requantBlock) emit(orderTable Mem) {
	zero, lo, hi, order := r.ZMM(), r.ZMM(), r.ZMM(), r.ZMM()
	r.VPBROADCASTW(Mem{Base: r.args, Disp: r.at.zero}, zero)
	r.VPBROADCASTB(Mem{Base: r.args, Disp: r.at.lo}, lo)
	r.VPBROADCASTB(Mem{Base: r.args, Disp: r.at.hi}, hi)
	r.VMOVDQU32(orderTable, order)
	var rescale []func(VecVirtual) VecVirtual
	for v := range r.width / 16 {
		r.params = func(at int) VecVirtual {
			x := r.ZMM()
			r.VMOVUPS(Mem{Base: r.field(at), Disp: 64 * v}, x)
			return x
		}
		r.load()
		rescale = append(rescale, r.rescale)
	}
	bits := r.GP64()
	r.MOVQ(I64(-1), bits)
	r.BZHIQ(r.field(rqChannels), bits, bits)
	r.mask = r.K()
	r.KMOVD(bits.As32(), r.mask)
	src, dst, step, pixels := r.field(rqSrc), r.field(rqDst), r.field(rqDstStep), r.field(rqPixels)

	pixelsPerBlock := 64 / r.width
	r.Label("block")
	r.CMPQ(pixels, Imm(uint64(pixelsPerBlock)))
	r.JGE(LabelRef("whole"))
	back := r.GP64() // the last block overlaps the one before
	r.SUBQ(Imm(uint64(pixelsPerBlock)), pixels)
	r.MOVQ(pixels, back)
	r.IMULQ(step, back)
	r.ADDQ(back, dst)
	r.IMUL3Q(U32(uint32(4*r.width)), pixels, back)
	r.ADDQ(back, src)
	r.MOVQ(U32(uint32(pixelsPerBlock)), pixels)
	r.Label("whole")
	var q [4]VecVirtual
	for i := range q {
		q[i] = r.ZMM()
		r.VMOVDQU32(Mem{Base: src, Disp: 64 * i}, q[i])
		q[i] = rescale[i%len(rescale)](q[i])
	}
	for i := 0; i < 4; i += 2 {
		r.VPACKSSDW(q[i+1], q[i], q[i])
		r.VPADDSW(zero, q[i], q[i])
	}
	r.VPACKUSWB(q[2], q[0], q[0])
	r.VPMAXUB(lo, q[0], q[0])
	r.VPMINUB(hi, q[0], q[0])
	r.VPERMD(q[0], order, q[0])
	r.CMPQ(Mem{Base: r.args, Disp: rqChannels}, Imm(uint64(r.width)))
	r.JNE(LabelRef("masked"))
	r.storePixels(q[0], dst, step, nil)
	r.JMP(LabelRef("next"))
	r.Label("masked")
	r.storePixels(q[0], dst, step, r.mask)
	r.Label("next")
	r.ADDQ(U32(256), src)
	r.SUBQ(Imm(uint64(pixelsPerBlock)), pixels)
	r.JG(LabelRef("block"))
	r.VZEROUPPER()
	r.RET()
}

// storePixels stores the bytes of one pixel after the other and goes past them.
func (r *requantBlock) storePixels(v VecVirtual, dst, step GPVirtual, mask Register) {
	for i := range 64 / r.width {
		var part Register = v.AsY()
		if r.width == 16 {
			part = v.AsX()
		}
		if i > 0 {
			part = r.part(v, i)
		}
		if mask == nil {
			r.VMOVDQU8(part, Mem{Base: dst})
		} else {
			r.VMOVDQU8(part, mask, Mem{Base: dst})
		}
		r.ADDQ(step, dst)
	}
}

// part returns the bytes of pixel i of a block.
func (r *requantBlock) part(v VecVirtual, i int) Register {
	if r.width == 32 {
		y := r.YMM()
		r.VEXTRACTI64X4(Imm(uint64(i)), v, y)
		return y
	}
	x := r.XMM()
	r.VEXTRACTI32X4(Imm(uint64(i)), v, x)
	return x
}
