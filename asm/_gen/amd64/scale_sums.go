package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Offsets of the fields of scaleSumsArgs; those before are where requantArgs has them.
const ssScale, ssLess = 80, 104

// scaleSums emits, for each vector of channels, the loop over all pixels.
func scaleSums(c *Context) {
	bothTiers(c, func(s simd) {
		doc := "is scaleSumsGeneric."
		if !s.evex() {
			doc = "is scaleSumsGeneric for a multiple of 8 channels."
		}
		s.declare("scaleSums", doc, "scaleSumsArgs")
		r := &requant{rescaler: rescaler{simd: s, args: c.Load(c.Param("a"), c.GP64())}}
		r.channel = r.GP64()
		r.XORQ(r.channel, r.channel)

		r.Label("channels")
		r.setMask()
		src, dst, scales, less := r.field(rqSrc), r.field(rqDst), r.field(ssScale), r.field(ssLess)
		srcStep, dstStep, pixels := r.field(rqSrcStep), r.field(rqDstStep), r.field(rqPixels)
		r.LEAQ(Mem{Base: src, Index: r.channel, Scale: 4}, src)
		r.LEAQ(Mem{Base: dst, Index: r.channel, Scale: 4}, dst)
		scale, v, off := r.vec(), r.vec(), r.vec()
		if from := (Mem{Base: scales, Index: r.channel, Scale: 4}); r.evex() {
			r.VMOVUPS_Z(from, r.mask, scale)
		} else {
			r.VMOVUPS(from, scale)
		}
		r.SHLQ(Imm(2), srcStep)
		r.SHLQ(Imm(2), dstStep)
		r.Label("pixel")
		r.VPBROADCASTD(Mem{Base: less}, off)
		if r.evex() {
			r.VMOVDQU32_Z(Mem{Base: src}, r.mask, v)
		} else {
			r.VMOVDQU(Mem{Base: src}, v)
		}
		r.VPSUBD(off, v, v)
		r.VCVTDQ2PS(v, v)
		r.VMULPS(scale, v, v)
		if r.evex() {
			r.VMOVUPS(v, r.mask, Mem{Base: dst})
		} else {
			r.VMOVUPS(v, Mem{Base: dst})
		}
		r.ADDQ(srcStep, src)
		r.ADDQ(dstStep, dst)
		r.ADDQ(Imm(4), less)
		r.DECQ(pixels)
		r.JNZ(LabelRef("pixel"))
		r.ADDQ(Imm(uint64(r.lanes)), r.channel)
		r.CMPQ(r.channel, Mem{Base: r.args, Disp: rqChannels})
		r.JL(LabelRef("channels"))
		r.VZEROUPPER()
		r.RET()
	})
}
