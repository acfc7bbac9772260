package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peaks declares loops of independent multiply-adds on registers alone.
func peaks(c *Context) {
	narrow, vnni, wide := simd{c, 8, "AVX2"}, simd{c, 8, "AVXVNNI"}, simd{c, 16, "AVX512"}
	for _, s := range []simd{narrow, wide} {
		s.peak("peakFMAF32", func(x, acc VecVirtual) { c.VFMADD231PS(x, x, acc) })
	}
	narrow.peak("peakMulAddS16", func(x, acc VecVirtual) {
		t := c.YMM()
		c.VPMADDWD(x, x, t)
		c.VPADDD(t, acc, acc)
	})
	narrow.peak("peakSafeS8", func(x, acc VecVirtual) {
		t := c.YMM()
		c.VPMADDUBSW(x, x, t)
		c.VPMADDWD(x, t, t)
		c.VPADDD(t, acc, acc)
	})
	vnni.peak("peakDotS8", func(x, acc VecVirtual) { c.VPDPBUSD(x, x, acc) })
	wide.peak("peakDotS8", func(x, acc VecVirtual) { c.VPDPBUSD(x, x, acc) })
}

func (s simd) peak(name string, multiplyAdd func(x, acc VecVirtual)) {
	s.Function(name + s.tier)
	s.Attributes(NOSPLIT)
	s.SignatureExpr("func(n int)")
	s.Doc(name + s.tier + " does n times 12 multiply-adds of vectors.")
	n := s.Load(s.Param("n"), s.GP64())
	var acc [12]VecVirtual
	for i := range acc {
		acc[i] = s.vec()
		s.VXORPS(acc[i], acc[i], acc[i])
	}
	x := s.vec()
	s.VXORPS(x, x, x)
	s.Label("loop")
	for i := range acc {
		multiplyAdd(x, acc[i])
	}
	s.DECQ(n)
	s.JNZ(LabelRef("loop"))
	s.VZEROUPPER()
	s.RET()
}
