package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets in package asm's type moments; a test compares them.
const (
	momSum    = 0
	momSumSq  = 128
	momLo     = 256
	momHi     = 320
	momNaN    = 384
	momZeros  = 448
	momFinite = 512
)

// moments declares momentsF32AVX2 and momentsF32AVX512. For the sums an
// element that is not finite becomes 0, and for the extremes the infinity that
// changes nothing.
func moments(c *Context) { bothTiers(c, momentsF32) }

func momentsF32(s simd) {
	c := s.Context
	c.Function("momentsF32" + s.tier)
	c.Attributes(NOSPLIT)
	c.Doc("momentsF32" + s.tier + " is momentsF32 for a length that is a multiple of 16.")
	signature(c, "func(m *moments, x []float32)")
	m := c.Load(c.Param("m"), c.GP64())
	x := c.Load(c.Param("x").Base(), c.GP64())
	n := c.Load(c.Param("x").Len(), c.GP64())

	load := func(disp int) VecVirtual {
		v := s.vec()
		c.VMOVUPS(Mem{Base: m, Disp: disp}, v)
		return v
	}
	// Sums are in vectors of half as many lanes.
	var sum, sumSq []VecVirtual
	for i := range 2 * 16 / s.lanes {
		sum = append(sum, load(momSum+i*s.lanes*4))
		sumSq = append(sumSq, load(momSumSq+i*s.lanes*4))
	}
	lo, hi := load(momLo), load(momHi)
	var counters [3]GPVirtual // of AVX2: NaN, zeros, finite
	var counts [3]VecVirtual  // of AVX-512
	for i := range 3 {
		if s.wide() {
			counts[i] = load(momNaN + 64*i)
		} else {
			counters[i] = c.GP64()
			c.XORL(counters[i].As32(), counters[i].As32())
		}
	}
	constant := func(name string, bits uint32) VecVirtual {
		v := s.vec()
		c.VPBROADCASTD(c.ConstData("moments"+name+s.tier, U32(bits)), v)
		return v
	}
	var minusOne, absMask, maxFinite VecVirtual
	if s.wide() {
		minusOne = constant("MinusOne", math.MaxUint32)
		absMask = constant("AbsMask", math.MaxInt32)
		maxFinite = constant("MaxFinite", math.Float32bits(math.MaxFloat32))
	}

	c.Label("loop")
	c.CMPQ(n, Imm(16))
	c.JL(LabelRef("done"))
	for i := range 16 / s.lanes {
		v := s.vec()
		c.VMOVUPS(Mem{Base: x, Disp: i * s.lanes * 4}, v)
		if s.wide() {
			abs, finite, k := s.vec(), c.K(), c.K()
			c.VPANDD(absMask, v, abs)
			c.VCMPPS(Imm(2), maxFinite, abs, finite) // <=
			c.VCMPPS(Imm(3), v, v, k)                // unordered
			c.VPSUBD(minusOne, counts[0], k, counts[0])
			c.VPTESTNMD(abs, abs, k)
			c.VPSUBD(minusOne, counts[1], k, counts[1])
			c.VPSUBD(minusOne, counts[2], finite, counts[2])
			c.VMINPS(v, lo, finite, lo)
			c.VMAXPS(v, hi, finite, hi)
			c.VMOVUPS_Z(v, finite, v)
		} else {
			finite, t := s.vec(), s.vec()
			count := func(mask VecVirtual, sum GPVirtual) {
				n := c.GP64()
				c.VMOVMSKPS(mask, n.As32())
				c.POPCNTL(n.As32(), n.As32())
				c.ADDQ(n, sum)
			}
			c.VCMPPS(Imm(3), v, v, t) // unordered
			count(t, counters[0])
			c.VXORPS(t, t, t)
			c.VCMPPS(Imm(0), t, v, t) // equal
			count(t, counters[1])
			c.VSUBPS(v, v, t)
			c.VCMPPS(Imm(7), t, t, finite) // ordered: NaN and Inf give NaN
			count(finite, counters[2])
			c.VANDPS(finite, v, v)
			for _, side := range []struct {
				bits uint64 // what to shift all ones by for an infinity
				op   func(...Op)
				acc  VecVirtual
			}{{23, c.VMAXPS, hi}, {24, c.VMINPS, lo}} {
				inf := s.vec()
				c.VPCMPEQD(inf, inf, inf)
				c.VPSLLD(Imm(side.bits), inf, inf)
				if side.bits == 24 {
					c.VPSRLD(Imm(1), inf, inf)
				}
				c.VANDNPS(inf, finite, inf)
				c.VORPS(v, inf, inf)
				side.op(inf, side.acc, side.acc)
			}
		}
		for half := range 2 {
			d := s.vec()
			c.VCVTPS2PD(s.halfOf(v, half), d)
			c.VADDPD(d, sum[2*i+half], sum[2*i+half])
			c.VFMADD231PD(d, d, sumSq[2*i+half])
		}
	}
	c.ADDQ(Imm(64), x)
	c.SUBQ(Imm(16), n)
	c.JMP(LabelRef("loop"))

	c.Label("done")
	for i := range sum {
		c.VMOVUPS(sum[i], Mem{Base: m, Disp: momSum + i*s.lanes*4})
		c.VMOVUPS(sumSq[i], Mem{Base: m, Disp: momSumSq + i*s.lanes*4})
	}
	c.VMOVUPS(lo, Mem{Base: m, Disp: momLo})
	c.VMOVUPS(hi, Mem{Base: m, Disp: momHi})
	for i := range 3 {
		if s.wide() {
			c.VMOVUPS(counts[i], Mem{Base: m, Disp: momNaN + 64*i})
		} else {
			c.ADDL(counters[i].As32(), Mem{Base: m, Disp: momNaN + 64*i})
		}
	}
	c.VZEROUPPER()
	c.RET()
}
