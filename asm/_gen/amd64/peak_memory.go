package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// peakMemory declares loops that only read, and only write.
func peakMemory(c *Context) {
	bothTiers(c, func(s simd) {
		for _, write := range []bool{false, true} {
			name, doc := "peakRead", "reads x"
			if write {
				name, doc = "peakWrite", "writes zeros to x"
			}
			s.Function(name + s.tier)
			s.Attributes(NOSPLIT)
			s.SignatureExpr("func(x []float32)")
			s.Doc(name + s.tier + " " + doc + ", whose length is a multiple of 64.")
			x := s.Load(s.Param("x").Base(), s.GP64())
			n := s.Load(s.Param("x").Len(), s.GP64())
			zero := s.vec()
			s.VXORPS(zero, zero, zero)
			s.Label("loop")
			s.CMPQ(n, Imm(64))
			s.JL(LabelRef("done"))
			for i := 0; i < 64; i += s.lanes {
				at := Mem{Base: x, Disp: 4 * i}
				if write {
					s.VMOVUPS(zero, at)
				} else {
					s.VMOVUPS(at, s.vec())
				}
			}
			s.ADDQ(U32(256), x)
			s.SUBQ(Imm(64), n)
			s.JMP(LabelRef("loop"))
			s.Label("done")
			s.VZEROUPPER()
			s.RET()
		}
	})
}
