package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transposes declares the transpose of blocks of 8x8: of half a block, four columns, a vector
// holds four elements of a row and of the fourth row after it; what is left is to transpose 4x4 in both halves.
func transposes(c *Context) {
	c.Function("transposeF32AVX2")
	c.Attributes(NOSPLIT)
	c.SignatureExpr("func(dst, src []float32, rows, cols, ldd, lds int)")
	c.Doc("transposeF32AVX2 transposes whole blocks of 8 rows by 8 columns.")
	c.Pragma("noescape")
	load := func(name string) GPVirtual { return c.Load(c.Param(name), c.GP64()).(GPVirtual) }
	stride := func(name string) [2]GPVirtual { // in bytes, and three times that
		one, three := load(name), c.GP64()
		c.SHLQ(Imm(2), one)
		c.LEAQ(Mem{Base: one, Index: one, Scale: 2}, three)
		return [2]GPVirtual{one, three}
	}
	dst := c.Load(c.Param("dst").Base(), c.GP64()).(GPVirtual)
	src := c.Load(c.Param("src").Base(), c.GP64()).(GPVirtual)
	rows, in, out := load("rows"), stride("lds"), stride("ldd")
	at := func(base GPVirtual, stride [2]GPVirtual, i, disp int) Mem {
		switch i {
		case 0:
			return Mem{Base: base, Disp: disp}
		case 3:
			return Mem{Base: base, Index: stride[1], Scale: 1, Disp: disp}
		}
		return Mem{Base: base, Index: stride[0], Scale: uint8(i), Disp: disp}
	}

	c.Label("rows")
	from, below, to, cols := c.GP64(), c.GP64(), c.GP64(), load("cols")
	c.MOVQ(src, from)
	c.MOVQ(dst, to)
	c.Label("cols")
	c.LEAQ(Mem{Base: from, Index: in[0], Scale: 4}, below)
	for half := range 2 {
		var a, t [4]VecVirtual
		for i := range a {
			a[i], t[i] = c.YMM(), c.YMM()
			c.VMOVUPS(at(from, in, i, 16*half), a[i].AsX())
			c.VINSERTF128(Imm(1), at(below, in, i, 16*half), a[i], a[i])
		}
		for i := range 2 {
			c.VUNPCKLPS(a[2*i+1], a[2*i], t[2*i])
			c.VUNPCKHPS(a[2*i+1], a[2*i], t[2*i+1])
		}
		for i := range a {
			halves := []uint64{0x44, 0xee}[i%2]
			c.VSHUFPS(Imm(halves), t[2+i/2], t[i/2], a[i])
			c.VMOVUPS(a[i], at(to, out, i, 0))
		}
		c.LEAQ(Mem{Base: to, Index: out[0], Scale: 4}, to)
	}
	c.ADDQ(Imm(32), from)
	c.SUBQ(Imm(8), cols)
	c.JNZ(LabelRef("cols"))
	c.LEAQ(Mem{Base: src, Index: in[0], Scale: 8}, src)
	c.ADDQ(Imm(32), dst)
	c.SUBQ(Imm(8), rows)
	c.JNZ(LabelRef("rows"))
	c.VZEROUPPER()
	c.RET()
}
