package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// interleaves declares the interleaving of three channels: element p of dst is
// element p/3 of channel p%3. Each of three vectors of dst takes what it needs
// of a vector of each channel by a permutation, and joins the three.
func interleaves(c *Context) {
	interleaveF32(c)
	interleaveU8(c)
}

func interleaveF32(c *Context) {
	const lanes = 8
	var tables [3]Mem // the pixel of each element
	var fromG, fromB [3]uint64
	for v := range tables {
		tables[v] = c.StaticGlobal(fmt.Sprintf("interleaveF32Pixels%d", v))
		c.DataAttributes(RODATA | NOPTR)
		for e := range lanes {
			p := v*lanes + e
			c.AddDatum(4*e, U32(p/3))
			fromG[v] |= uint64(p%3&1) << e
			fromB[v] |= uint64(p%3>>1) << e
		}
	}
	i := declareInterleave(c, "interleaveF32AVX2", "float32", lanes)
	var pixels [3]VecVirtual
	for v := range pixels {
		pixels[v] = c.YMM()
		c.VMOVDQU(tables[v], pixels[v])
	}
	i.loop(func() {
		var in [3]VecVirtual
		for ch := range in {
			in[ch] = c.YMM()
			c.VMOVUPS(Mem{Base: i.channels[ch], Index: i.at, Scale: 4}, in[ch])
		}
		for v := range pixels {
			r, g, b := c.YMM(), c.YMM(), c.YMM()
			c.VPERMPS(in[0], pixels[v], r)
			c.VPERMPS(in[1], pixels[v], g)
			c.VPERMPS(in[2], pixels[v], b)
			c.VBLENDPS(Imm(fromG[v]), g, r, r)
			c.VBLENDPS(Imm(fromB[v]), b, r, r)
			c.VMOVUPS(r, Mem{Base: i.dst, Disp: v * 32})
		}
	})
}

func interleaveU8(c *Context) {
	const lanes = 16
	var tables [3][3]Mem // of each vector and channel: the pixel, or 0x80 for zero
	for v := range tables {
		for ch := range tables[v] {
			tables[v][ch] = c.StaticGlobal(fmt.Sprintf("interleaveU8Pixels%d%d", v, ch))
			c.DataAttributes(RODATA | NOPTR)
			for e := range lanes {
				p, pixel := v*lanes+e, 0x80
				if p%3 == ch {
					pixel = p / 3
				}
				c.AddDatum(e, U8(pixel))
			}
		}
	}
	i := declareInterleave(c, "interleaveU8AVX2", "uint8", lanes)
	var pixels [3][3]VecVirtual
	for v := range pixels {
		for ch := range pixels[v] {
			pixels[v][ch] = c.XMM()
			c.VMOVDQU(tables[v][ch], pixels[v][ch])
		}
	}
	i.loop(func() {
		var in [3]VecVirtual
		for ch := range in {
			in[ch] = c.XMM()
			c.VMOVDQU(Mem{Base: i.channels[ch], Index: i.at, Scale: 1}, in[ch])
		}
		for v := range pixels {
			out, part := c.XMM(), c.XMM()
			c.VPSHUFB(pixels[v][0], in[0], out)
			for ch := 1; ch < 3; ch++ {
				c.VPSHUFB(pixels[v][ch], in[ch], part)
				c.VPOR(part, out, out)
			}
			c.VMOVDQU(out, Mem{Base: i.dst, Disp: v * 16})
		}
	})
}

// interleave is a kernel at work: lanes elements of each channel at a time.
type interleave struct {
	*Context
	dst, at  Register // address; elements done
	n        Register // elements left
	channels [3]Register
	lanes    int
	bytes    int // of lanes elements
}

func declareInterleave(c *Context, name, element string, lanes int) *interleave {
	c.Function(name)
	c.Attributes(NOSPLIT)
	c.SignatureExpr(fmt.Sprintf("func(dst, r, g, b []%s)", element))
	c.Doc(fmt.Sprintf("%s interleaves whole vectors of %d elements of each channel.", name, lanes))
	c.Pragma("noescape")
	i := &interleave{Context: c, lanes: lanes, bytes: 32}
	if element == "uint8" {
		i.bytes = 16
	}
	i.dst = c.Load(c.Param("dst").Base(), c.GP64())
	i.n = c.Load(c.Param("r").Len(), c.GP64())
	for ch, name := range []string{"r", "g", "b"} {
		i.channels[ch] = c.Load(c.Param(name).Base(), c.GP64())
	}
	at := c.GP64()
	c.XORQ(at, at)
	i.at = at
	return i
}

// loop emits the loop over whole vectors.
func (i *interleave) loop(body func()) {
	i.Label("loop")
	i.SUBQ(Imm(uint64(i.lanes)), i.n)
	i.JL(LabelRef("done"))
	body()
	i.ADDQ(Imm(uint64(i.lanes)), i.at)
	i.ADDQ(Imm(uint64(3*i.bytes)), i.dst)
	i.JMP(LabelRef("loop"))
	i.Label("done")
	i.VZEROUPPER()
	i.RET()
}
