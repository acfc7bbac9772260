package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// sumsF32 declares sums in 64 lanes (see SumF32).
func sumsF32(c *Context) {
	masks := laneMasks(c, "sumsF32Masks")
	bothTiers(c, func(s simd) {
		sum := summing{simd: s, masks: masks}
		sum.declare("sumF32", "func(x []float32) float32")
		sum.body(func(x VecVirtual, _ Register) VecVirtual { return x })
		sum = summing{simd: s, masks: masks}
		sum.declare("sumSquaresF32", "func(x []float32, center float32) float32")
		center := s.vec()
		at, err := s.Param("center").Resolve()
		if err != nil {
			panic(err)
		}
		s.VBROADCASTSS(at.Addr, center)
		sum.body(func(x VecVirtual, mask Register) VecVirtual {
			switch { // lanes beyond the end stay 0
			case mask == nil:
				s.VSUBPS(center, x, x)
			case s.wide():
				s.VSUBPS_Z(center, x, mask, x)
			default:
				s.VSUBPS(center, x, x)
				s.VANDPS(mask, x, x)
			}
			s.VMULPS(x, x, x)
			return x
		})
	})
}

// summing emits a sum of a function of each element.
type summing struct {
	simd
	masks Mem // see laneMasks
}

func (s *summing) declare(name, signature string) {
	s.Function(name + s.tier)
	s.Attributes(NOSPLIT)
	s.SignatureExpr(signature)
	s.Doc(name + s.tier + " is " + name + " for any length.")
	s.Pragma("noescape")
}

func (s *summing) body(term func(x VecVirtual, mask Register) VecVirtual) {
	const block = 64
	x := s.Load(s.Param("x").Base(), s.GP64())
	n := s.Load(s.Param("x").Len(), s.GP64()).(GPVirtual)
	acc := make([]VecVirtual, block/s.lanes)
	for i := range acc {
		acc[i] = s.vec()
		s.VXORPS(acc[i], acc[i], acc[i])
	}
	add := func(i int, mask Register) {
		v := s.vec()
		s.loadLanes(Mem{Base: x, Disp: i * s.bytes()}, mask, v)
		s.VADDPS(term(v, mask), acc[i], acc[i])
	}
	s.Label("loop")
	s.SUBQ(Imm(block), n)
	s.JL(LabelRef("rest"))
	for i := range acc {
		add(i, nil)
	}
	s.ADDQ(I32(block*4), x)
	s.JMP(LabelRef("loop"))
	s.Label("rest")
	s.ADDQ(Imm(block), n)
	for i := range acc {
		s.CMPQ(n, Imm(0))
		s.JLE(LabelRef("fold"))
		add(i, s.firstLanes(n, s.masks))
		s.SUBQ(Imm(uint64(s.lanes)), n)
	}
	s.Label("fold")
	for half := len(acc) / 2; half > 0; half /= 2 {
		for i := range half {
			s.VADDPS(acc[i+half], acc[i], acc[i])
		}
	}
	y := acc[0].AsY()
	if s.wide() {
		upper := s.YMM()
		s.VEXTRACTF32X8(Imm(1), acc[0], upper)
		s.VADDPS(upper, y, y)
	}
	low, t := acc[0].AsX(), s.XMM()
	s.VEXTRACTF128(Imm(1), y, t)
	s.VADDPS(t, low, low)
	for _, lanes := range []uint64{0x4e, 0xb1} { // the upper two, the second
		s.VPSHUFD(Imm(lanes), low, t)
		s.VADDPS(t, low, low)
	}
	s.Store(low, s.ReturnIndex(0))
	s.VZEROUPPER()
	s.RET()
}
