package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// packQuads emits the packing of four rows of bytes, 16 columns at a time.
func packQuads(c *Context) {
	c.Function("packQuadAVX2")
	c.Attributes(NOSPLIT)
	c.Doc("packQuadAVX2 is packQuadGeneric for a multiple of 16 columns.")
	signature(c, "func(out []int8, sums []int32, a, b, c, d []uint8)")
	out, sums := c.Load(c.Param("out").Base(), c.GP64()), c.Load(c.Param("sums").Base(), c.GP64())
	left := c.Load(c.Param("a").Len(), c.GP64())
	var rows [4]Register
	for i, name := range []string{"a", "b", "c", "d"} {
		rows[i] = c.Load(c.Param(name).Base(), c.GP64())
	}
	flip, one8, one16 := filled(c, 0x80808080), filled(c, 0x01010101), filled(c, 0x00010001)
	at := c.GP64()
	c.XORQ(at, at)
	c.Label("columns")
	var in [4]VecVirtual
	for i := range in {
		in[i] = c.XMM()
		c.VPXOR(Mem{Base: rows[i], Index: at, Scale: 1}, flip, in[i])
	}
	for half := range 2 {
		ab, cd := c.XMM(), c.XMM()
		if half == 0 {
			c.VPUNPCKLBW(in[1], in[0], ab)
			c.VPUNPCKLBW(in[3], in[2], cd)
		} else {
			c.VPUNPCKHBW(in[1], in[0], ab)
			c.VPUNPCKHBW(in[3], in[2], cd)
		}
		for quarter := range 2 {
			quads, sum := c.XMM(), c.XMM()
			if quarter == 0 {
				c.VPUNPCKLWD(cd, ab, quads)
			} else {
				c.VPUNPCKHWD(cd, ab, quads)
			}
			disp := 16 * (2*half + quarter)
			c.VMOVDQU(quads, Mem{Base: out, Disp: disp})
			c.VPMADDUBSW(quads, one8, sum)
			c.VPMADDWD(one16, sum, sum)
			c.VPADDD(Mem{Base: sums, Disp: disp}, sum, sum)
			c.VMOVDQU(sum, Mem{Base: sums, Disp: disp})
		}
	}
	c.ADDQ(Imm(64), out)
	c.ADDQ(Imm(64), sums)
	c.ADDQ(Imm(16), at)
	c.CMPQ(at, left)
	c.JL(LabelRef("columns"))
	c.RET()
}

// filled returns a vector of a 32-bit pattern.
func filled(c *Context, pattern uint32) VecVirtual {
	x, v := c.GP32(), c.XMM()
	c.MOVL(U32(pattern), x)
	c.VMOVD(x, v)
	c.VPBROADCASTD(v, v)
	return v
}
