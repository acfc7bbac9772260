package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is a vector instruction set, to be had as a value.
type isa struct {
	name  string
	bytes int // in a vector
}

var (
	avx2   = isa{"AVX2", 32}
	avx512 = isa{"AVX512", 64}
)

// lanes is how many 32-bit lanes a vector has.
func (s isa) lanes() int { return s.bytes / 4 }

// vec returns a new register of the full width.
func (s isa) vec(c *Context) VecVirtual { return simd{c, s.lanes(), s.name}.vec() }
