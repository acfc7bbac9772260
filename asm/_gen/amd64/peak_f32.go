package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peakF32 declares loops of independent multiply-adds on registers alone.
func peakF32(c *Context) {
	bothTiers(c, func(s simd) {
		c.Function("peakFMAF32" + s.tier)
		c.Attributes(NOSPLIT)
		c.SignatureExpr("func(n int)")
		c.Doc("peakFMAF32" + s.tier + " does n times 12 multiply-adds of vectors.")
		n := c.Load(c.Param("n"), c.GP64())
		var acc [12]VecVirtual
		for i := range acc {
			acc[i] = s.vec()
			c.VXORPS(acc[i], acc[i], acc[i])
		}
		one := s.vec()
		c.VXORPS(one, one, one)
		c.Label("loop")
		for i := range acc {
			c.VFMADD231PS(one, one, acc[i])
		}
		c.DECQ(n)
		c.JNZ(LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	})
}
