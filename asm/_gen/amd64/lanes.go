package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// laneMasks declares 16 words of ones followed by 16 of zeros: the mask of the
// first n lanes starts 16-n words in.
func laneMasks(c *Context, name string) Mem {
	table := c.StaticGlobal(name)
	c.DataAttributes(RODATA | NOPTR)
	for i := range 32 {
		word := uint32(0)
		if i < 16 {
			word = 0xffffffff
		}
		c.AddDatum(i*4, U32(word))
	}
	return table
}

// firstLanes returns the mask of the first n >= 0 lanes, of all if there are fewer: a
// mask register for AVX-512, a vector for AVX2.
func (s simd) firstLanes(n GPVirtual, masks Mem) Register {
	if s.wide() {
		all, bits, k := s.GP64(), s.GP64(), s.K()
		s.MOVQ(I64(-1), all)
		s.MOVQ(U32(s.lanes), bits)
		s.CMPQ(n, bits)
		s.CMOVQLT(n, bits)
		s.BZHIQ(bits, all, bits)
		s.KMOVW(bits.As32(), k)
		return k
	}
	at, table, mask := s.GP64(), s.GP64(), s.YMM()
	s.MOVQ(U32(s.lanes), at)
	s.CMPQ(n, at)
	s.CMOVQLT(n, at)
	s.NEGQ(at)
	s.LEAQ(masks, table)
	s.VMOVUPS(Mem{Base: table, Index: at, Scale: 4, Disp: 16 * 4}, mask)
	return mask
}

// loadLanes loads the lanes of mask (nil: all) and zeroes the others.
func (s simd) loadLanes(from Mem, mask Register, to VecVirtual) {
	switch {
	case mask == nil:
		s.VMOVUPS(from, to)
	case s.wide():
		s.VMOVUPS_Z(from, mask, to)
	default:
		s.VMASKMOVPS(from, mask, to)
	}
}

// storeLanes stores the lanes of mask (nil: all).
func (s simd) storeLanes(v VecVirtual, mask Register, to Mem) {
	switch {
	case mask == nil:
		s.VMOVUPS(v, to)
	case s.wide():
		s.VMOVUPS(v, mask, to)
	default:
		s.VMASKMOVPS(v, mask, to)
	}
}
