package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// simd is a vector width to write a kernel for, when the code is much the same
// for both.
type simd struct {
	*Context
	lanes int    // 32-bit lanes: 8 or 16
	tier  string // the suffix of the kernel's name
}

// bothTiers calls declare for AVX2 and AVX-512.
func bothTiers(c *Context, declare func(s simd)) {
	declare(simd{c, 8, "AVX2"})
	declare(simd{c, 16, "AVX512"})
}

func (s simd) wide() bool { return s.lanes == 16 }

// evex reports whether masks, 32 registers and the other instructions of AVX-512 are at hand.
func (s simd) evex() bool { return s.tier == "AVX512" }

// bytes is the size of a vector.
func (s simd) bytes() int { return 4 * s.lanes }

// vec returns a new register of the full width.
func (s simd) vec() VecVirtual {
	if s.wide() {
		return s.ZMM()
	}
	return s.YMM()
}

// halfVec returns a new register of half the width.
func (s simd) halfVec() VecVirtual {
	if s.wide() {
		return s.YMM()
	}
	return s.XMM()
}

// half returns the lower half of v.
func (s simd) half(v VecVirtual) Register {
	if s.wide() {
		return v.AsY()
	}
	return v.AsX()
}

// halfOf returns the lower (0) or upper (1) half of v; a new register if upper.
func (s simd) halfOf(v VecVirtual, half int) Register {
	if half == 0 {
		return s.half(v)
	}
	upper := s.halfVec()
	if s.wide() {
		s.VEXTRACTF64X4(Imm(1), v, upper)
	} else {
		s.VEXTRACTF128(Imm(1), v, upper)
	}
	return upper
}
