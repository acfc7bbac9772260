package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// minmax declares minMaxF32AVX2. VMINPS and VMAXPS return their second source
// when either operand is NaN: with the data first and the accumulator second,
// NaN leaves the accumulator as it was. The length is a multiple of 32.
func minmax(c *Context) {
	const unroll, lanes = 4, 8
	c.Function("minMaxF32AVX2")
	c.Attributes(NOSPLIT)
	c.SignatureExpr("func(x []float32) (lo, hi float32, nan int)")
	c.Doc("minMaxF32AVX2 is minMaxF32 for a length that is a multiple of 32.")
	x := c.Load(c.Param("x").Base(), c.GP64())
	n := c.Load(c.Param("x").Len(), c.GP64())

	posInf := c.ConstData("minMaxPosInf", U32(math.Float32bits(float32(math.Inf(1)))))
	negInf := c.ConstData("minMaxNegInf", U32(math.Float32bits(float32(math.Inf(-1)))))
	var lo, hi [unroll]VecVirtual
	nans := c.YMM()
	c.VPXOR(nans, nans, nans)
	for i := range lo {
		lo[i], hi[i] = c.YMM(), c.YMM()
		c.VBROADCASTSS(posInf, lo[i])
		c.VBROADCASTSS(negInf, hi[i])
	}

	c.Label("loop")
	c.CMPQ(n, Imm(unroll*lanes))
	c.JL(LabelRef("done"))
	for i := range lo {
		v, isNaN := c.YMM(), c.YMM()
		c.VMOVUPS(Mem{Base: x, Disp: i * lanes * 4}, v)
		c.VMINPS(lo[i], v, lo[i])
		c.VMAXPS(hi[i], v, hi[i])
		c.VCMPPS(Imm(3), v, v, isNaN)
		c.VPSUBD(isNaN, nans, nans)
	}
	c.ADDQ(Imm(unroll*lanes*4), x)
	c.SUBQ(Imm(unroll*lanes), n)
	c.JMP(LabelRef("loop"))

	c.Label("done")
	for i := 1; i < unroll; i++ {
		c.VMINPS(lo[i], lo[0], lo[0])
		c.VMAXPS(hi[i], hi[0], hi[0])
	}
	c.Store(reduce(c, lo[0], c.VMINPS), c.Return("lo"))
	c.Store(reduce(c, hi[0], c.VMAXPS), c.Return("hi"))
	total := c.GP64()
	c.VMOVD(reduce(c, nans, c.VPADDD), total.As32()) // clears the upper half
	c.Store(total, c.Return("nan"))
	c.VZEROUPPER()
	c.RET()
}

// reduce folds the eight 32-bit lanes of y into the lowest by op.
func reduce(c *Context, y VecVirtual, op func(ops ...Op)) Register {
	x, t := y.AsX(), c.XMM()
	c.VEXTRACTI128(Imm(1), y, t)
	op(t, x, x)
	for _, shuffle := range []uint64{0x4e, 0xb1} {
		c.VPSHUFD(Imm(shuffle), x, t)
		op(t, x, x)
	}
	return x
}
