package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// minmax declares minMaxF32AVX2 and minMaxF32AVX512.
func minmax(c *Context) { bothTiers(c, minMaxF32) }

// minMaxF32 reads 32 elements at once. VMINPS and VMAXPS return their second
// source when either operand is NaN: with the data first and the accumulator
// second, NaN leaves the accumulator as it was.
func minMaxF32(s simd) {
	c := s.Context
	c.Function("minMaxF32" + s.tier)
	c.Attributes(NOSPLIT)
	c.SignatureExpr("func(x []float32) (lo, hi float32, nan int)")
	c.Doc("minMaxF32" + s.tier + " is minMaxF32 for a length that is a multiple of 32.")
	x := c.Load(c.Param("x").Base(), c.GP64())
	n := c.Load(c.Param("x").Len(), c.GP64())

	posInf := c.ConstData("minMaxPosInf"+s.tier, U32(math.Float32bits(float32(math.Inf(1)))))
	negInf := c.ConstData("minMaxNegInf"+s.tier, U32(math.Float32bits(float32(math.Inf(-1)))))
	lo, hi := make([]VecVirtual, 32/s.lanes), make([]VecVirtual, 32/s.lanes)
	for i := range lo {
		lo[i], hi[i] = s.vec(), s.vec()
		c.VBROADCASTSS(posInf, lo[i])
		c.VBROADCASTSS(negInf, hi[i])
	}
	nans, minusOne := s.vec(), s.vec()
	if s.wide() {
		c.VPXORD(nans, nans, nans)
		c.VPTERNLOGD(Imm(0xff), minusOne, minusOne, minusOne)
	} else {
		c.VPXOR(nans, nans, nans)
	}

	c.Label("loop")
	c.CMPQ(n, Imm(32))
	c.JL(LabelRef("done"))
	for i := range lo {
		v := s.vec()
		c.VMOVUPS(Mem{Base: x, Disp: i * s.lanes * 4}, v)
		c.VMINPS(lo[i], v, lo[i])
		c.VMAXPS(hi[i], v, hi[i])
		if s.wide() {
			isNaN := c.K()
			c.VCMPPS(Imm(3), v, v, isNaN)
			c.VPSUBD(minusOne, nans, isNaN, nans)
		} else {
			isNaN := s.vec()
			c.VCMPPS(Imm(3), v, v, isNaN)
			c.VPSUBD(isNaN, nans, nans)
		}
	}
	c.ADDQ(Imm(32*4), x)
	c.SUBQ(Imm(32), n)
	c.JMP(LabelRef("loop"))

	c.Label("done")
	for i := 1; i < len(lo); i++ {
		c.VMINPS(lo[i], lo[0], lo[0])
		c.VMAXPS(hi[i], hi[0], hi[0])
	}
	c.Store(s.reduce(lo[0], c.VMINPS), c.Return("lo"))
	c.Store(s.reduce(hi[0], c.VMAXPS), c.Return("hi"))
	total := c.GP64()
	c.VMOVD(s.reduce(nans, c.VPADDD), total.As32()) // clears the upper half
	c.Store(total, c.Return("nan"))
	c.VZEROUPPER()
	c.RET()
}

// reduce folds the 32-bit lanes of v into the lowest by op.
func (s simd) reduce(v VecVirtual, op func(ops ...Op)) Register {
	y := v.AsY()
	if s.wide() {
		t := s.YMM()
		s.VEXTRACTI64X4(Imm(1), v, t)
		op(t, y, y)
	}
	x, t := v.AsX(), s.XMM()
	s.VEXTRACTI128(Imm(1), y, t)
	op(t, x, x)
	for _, shuffle := range []uint64{0x4e, 0xb1} {
		s.VPSHUFD(Imm(shuffle), x, t)
		op(t, x, x)
	}
	return x
}
