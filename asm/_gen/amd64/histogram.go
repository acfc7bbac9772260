package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets in package asm's type binning; a test compares them.
const (
	binLo    = 0
	binHi    = 4
	binInv   = 8
	binLast  = 12
	binBelow = 16
	binSpare = 20
	binUnder = 24
	binOver  = 32
	binNaN   = 40
	binZeros = 48
	binIndex = 64

	binChunk = 256 // elements whose indices are made before they are counted
)

// histogram declares histogramF32 and histogramMagF32 for AVX2 and AVX-512.
//
// A chunk's bin indices are computed by vectors, those of exact zeros and of
// elements outside the range squeezed out, and written to binning.index; a
// scalar loop then counts them. Four counters per bin, side by side, keep runs
// of equal values from waiting for the store before them, and keeping the
// zeros of a rectified activation out of that loop makes it half as long.
func histogram(c *Context) {
	for _, mag := range []bool{false, true} {
		histogramAVX512(c, mag)
		histogramAVX2(c, mag)
	}
}

// histogramArgs are the registers of all versions.
type histogramArgs struct {
	sub, x, p        Register
	left, chunk      GPVirtual // elements to do: in all, in this chunk
	out              GPVirtual // where the next index goes
	under, over, nan GPVirtual
	kept             GPVirtual
}

func histogramStart(c *Context, name string) *histogramArgs {
	c.Function(name)
	c.Attributes(NOSPLIT)
	c.Doc(name + " is the kernel of that name, for a length that is a multiple of its vector's.")
	signature(c, "func(sub []uint16, p *binning, x []float32)")
	a := &histogramArgs{
		sub:   c.Load(c.Param("sub").Base(), c.GP64()),
		p:     c.Load(c.Param("p"), c.GP64()),
		x:     c.Load(c.Param("x").Base(), c.GP64()),
		left:  c.Load(c.Param("x").Len(), c.GP64()).(GPVirtual),
		chunk: c.GP64(), out: c.GP64(),
		under: c.GP64(), over: c.GP64(), nan: c.GP64(), kept: c.GP64(),
	}
	c.ADDQ(a.left, Mem{Base: a.p, Disp: binZeros}) // less the others at the end
	for _, r := range []GPVirtual{a.under, a.over, a.nan, a.kept} {
		c.XORL(r.As32(), r.As32())
	}
	return a
}

// nextChunk begins the loop over chunks.
func (a *histogramArgs) nextChunk(c *Context) {
	c.Label("chunk")
	c.TESTQ(a.left, a.left)
	c.JZ(LabelRef("done"))
	c.MOVQ(U32(binChunk), a.chunk)
	c.CMPQ(a.left, a.chunk)
	c.CMOVQLT(a.left, a.chunk)
	c.SUBQ(a.chunk, a.left)
	c.LEAQ(Mem{Base: a.p, Disp: binIndex}, a.out)
}

// count adds one to the counter of every index written, eight at a time: the
// rest of the last eight indices name the spare bin after the last.
func (a *histogramArgs) count(c *Context) {
	end, spare := c.GP64(), c.YMM()
	c.VPBROADCASTD(Mem{Base: a.p, Disp: binSpare}, spare)
	c.VMOVDQU(spare, Mem{Base: a.out})
	c.MOVQ(a.out, end)
	in := c.GP64()
	c.LEAQ(Mem{Base: a.p, Disp: binIndex}, in)
	c.ADDQ(end, a.kept)
	c.SUBQ(in, a.kept)
	c.CMPQ(in, end)
	c.JAE(LabelRef("chunk"))
	c.Label("count")
	for i := 0; i < 8; i += 2 {
		pair, first := c.GP64(), c.GP64()
		c.MOVQ(Mem{Base: in, Disp: 4 * i}, pair)
		c.MOVL(pair.As32(), first.As32())
		c.SHRQ(Imm(32), pair)
		c.INCW(Mem{Base: a.sub, Index: first, Scale: 8, Disp: i % 4 * 2})
		c.INCW(Mem{Base: a.sub, Index: pair, Scale: 8, Disp: (i + 1) % 4 * 2})
	}
	c.ADDQ(Imm(32), in)
	c.CMPQ(in, end)
	c.JB(LabelRef("count"))
	c.JMP(LabelRef("chunk"))
}

// finish writes the counts of what is in no bin.
func (a *histogramArgs) finish(c *Context) {
	c.Label("done")
	c.SHRQ(Imm(2), a.kept) // was in bytes of indices
	for _, r := range []GPVirtual{a.kept, a.under, a.over, a.nan} {
		c.SUBQ(r, Mem{Base: a.p, Disp: binZeros})
	}
	c.ADDQ(a.under, Mem{Base: a.p, Disp: binUnder})
	c.ADDQ(a.over, Mem{Base: a.p, Disp: binOver})
	c.ADDQ(a.nan, Mem{Base: a.p, Disp: binNaN})
	c.VZEROUPPER()
	c.RET()
}

func histogramName(mag bool) string {
	if mag {
		return "histogramMagF32"
	}
	return "histogramF32"
}

// histogramBins computes bins, of whatever width, from the elements v or their
// magnitudes abs.
func histogramBins(c *Context, load func(disp int) VecVirtual, mag bool) func(v, abs, bin VecVirtual) {
	inv, last := load(binInv), load(binLast)
	if !mag {
		lo := load(binLo)
		return func(v, _, bin VecVirtual) {
			c.VSUBPS(lo, v, bin)
			c.VMULPS(inv, bin, bin)
			c.VCVTTPS2DQ(bin, bin)
			c.VPMINUD(last, bin, bin)
		}
	}
	below := load(binBelow)
	return func(v, abs, bin VecVirtual) {
		c.VMULPS(inv, abs, bin)
		c.VCVTTPS2DQ(bin, bin)
		c.VPMINUD(last, bin, bin)
		c.VPSRAD(Imm(31), v, v)
		c.VANDPS(below, v, v)
		c.VPADDD(v, bin, bin)
	}
}

func histogramAVX512(c *Context, mag bool) {
	a := histogramStart(c, histogramName(mag)+"AVX512")
	load := func(disp int) VecVirtual {
		v := c.ZMM()
		c.VPBROADCASTD(Mem{Base: a.p, Disp: disp}, v)
		return v
	}
	bins := histogramBins(c, load, mag)
	lo, hi, zero, absMask := load(binLo), load(binHi), c.ZMM(), c.ZMM()
	c.VPXORD(zero, zero, zero)
	if mag {
		c.VPTERNLOGD(Imm(0xff), absMask, absMask, absMask)
		c.VPSRLD(Imm(1), absMask, absMask)
	}
	// addBits adds the number of bits set in k to sum.
	addBits := func(k OpmaskVirtual, sum GPVirtual) {
		n := c.GP64()
		c.KMOVW(k, n.As32())
		c.POPCNTL(n.As32(), n.As32())
		c.ADDQ(n, sum)
	}

	a.nextChunk(c)
	c.Label("index")
	v, bin := c.ZMM(), c.ZMM()
	abs := v
	nonzero, inside, outside := c.K(), c.K(), c.K()
	c.VMOVUPS(Mem{Base: a.x}, v)
	if mag {
		abs = c.ZMM()
		c.VPANDD(absMask, v, abs)
	}
	c.VCMPPS(Imm(4), zero, v, nonzero)         // not equal, or unordered
	c.VCMPPS(Imm(2), hi, abs, nonzero, inside) // <=
	if !mag {
		c.VCMPPS(Imm(13), lo, v, inside, inside) // >=
	}
	c.KANDNW(nonzero, inside, outside)
	bins(v, abs, bin)
	c.VPCOMPRESSD_Z(bin, inside, bin)
	c.VMOVDQU32(bin, Mem{Base: a.out})
	n := c.GP64()
	c.KMOVW(inside, n.As32())
	c.POPCNTL(n.As32(), n.As32())
	c.LEAQ(Mem{Base: a.out, Index: n, Scale: 4}, a.out)
	c.KORTESTW(outside, outside)
	c.JNZ(LabelRef("outside"))
	c.Label("next")
	c.ADDQ(Imm(64), a.x)
	c.SUBQ(Imm(16), a.chunk)
	c.JNZ(LabelRef("index"))
	a.count(c)

	c.Label("outside")
	c.VMOVUPS(Mem{Base: a.x}, v)
	which := c.K()
	if !mag {
		c.VCMPPS(Imm(1), lo, v, outside, which) // <
		addBits(which, a.under)
	}
	c.VCMPPS(Imm(14), hi, abs, outside, which) // >
	addBits(which, a.over)
	c.VCMPPS(Imm(3), v, v, outside, which) // unordered
	addBits(which, a.nan)
	c.JMP(LabelRef("next"))
	a.finish(c)
}

func histogramAVX2(c *Context, mag bool) {
	squeeze := squeezeLanes(c)
	a := histogramStart(c, histogramName(mag)+"AVX2")
	load := func(disp int) VecVirtual {
		v := c.YMM()
		c.VPBROADCASTD(Mem{Base: a.p, Disp: disp}, v)
		return v
	}
	bins := histogramBins(c, load, mag)
	lo, hi, zero, table := load(binLo), load(binHi), c.YMM(), c.GP64()
	absMask := c.YMM()
	c.VXORPS(zero, zero, zero)
	if mag {
		c.VPCMPEQD(absMask, absMask, absMask)
		c.VPSRLD(Imm(1), absMask, absMask)
	}
	c.LEAQ(squeeze, table)
	// addLanes adds the number of lanes set in m to sum.
	addLanes := func(m VecVirtual, sum GPVirtual) {
		n := c.GP64()
		c.VMOVMSKPS(m, n.As32())
		c.POPCNTL(n.As32(), n.As32())
		c.ADDQ(n, sum)
	}

	a.nextChunk(c)
	c.Label("index")
	v, bin := c.YMM(), c.YMM()
	abs := v
	nonzero, inside, t := c.YMM(), c.YMM(), c.YMM()
	c.VMOVUPS(Mem{Base: a.x}, v)
	if mag {
		abs = c.YMM()
		c.VANDPS(absMask, v, abs)
	}
	c.VCMPPS(Imm(4), zero, v, nonzero) // not equal, or unordered
	c.VCMPPS(Imm(2), hi, abs, inside)  // <=
	c.VANDPS(nonzero, inside, inside)
	if !mag {
		c.VCMPPS(Imm(13), lo, v, t) // >=
		c.VANDPS(t, inside, inside)
	}
	kept, wanted := c.GP64(), c.GP64()
	c.VMOVMSKPS(inside, kept.As32())
	c.VMOVMSKPS(nonzero, wanted.As32())
	bins(v, abs, bin)
	order := c.YMM()
	c.VPMOVZXBD(Mem{Base: table, Index: kept, Scale: 8}, order)
	c.VPERMD(bin, order, bin)
	c.VMOVDQU(bin, Mem{Base: a.out})
	n := c.GP64()
	c.POPCNTL(kept.As32(), n.As32())
	c.LEAQ(Mem{Base: a.out, Index: n, Scale: 4}, a.out)
	c.CMPL(kept.As32(), wanted.As32())
	c.JNE(LabelRef("outside"))
	c.Label("next")
	c.ADDQ(Imm(32), a.x)
	c.SUBQ(Imm(8), a.chunk)
	c.JNZ(LabelRef("index"))
	a.count(c)

	c.Label("outside")
	c.VMOVUPS(Mem{Base: a.x}, v)
	which := c.YMM()
	if !mag {
		c.VCMPPS(Imm(1), lo, v, which) // <
		c.VANDPS(nonzero, which, which)
		addLanes(which, a.under)
	}
	c.VCMPPS(Imm(14), hi, abs, which) // >
	c.VANDPS(nonzero, which, which)
	addLanes(which, a.over)
	c.VCMPPS(Imm(3), v, v, which) // unordered
	addLanes(which, a.nan)
	c.JMP(LabelRef("next"))
	a.finish(c)
}

var squeezeTable *Mem

// squeezeLanes lists for each mask of eight lanes the positions of those set,
// a byte each: the permutation that brings them to the front.
func squeezeLanes(c *Context) Mem {
	if squeezeTable != nil {
		return *squeezeTable
	}
	table := c.StaticGlobal("squeezeLanes")
	c.DataAttributes(NOPTR | RODATA)
	for m := range 256 {
		var lanes uint64
		for bit, at := 0, 0; bit < 8; bit++ {
			if m>>bit&1 == 1 {
				lanes |= uint64(bit) << (8 * at)
				at++
			}
		}
		c.AddDatum(8*m, U64(lanes))
	}
	squeezeTable = &table
	return table
}
