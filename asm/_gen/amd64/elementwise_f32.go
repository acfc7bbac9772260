package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// elementwise emits kernels that compute each element of dst from the elements
// at its place in the inputs.
type elementwise struct {
	simd
	masks     Mem            // see laneMasks
	constants map[uint32]Mem // vectors of one number, by its bits
	params    []VecVirtual   // the kernel's parameters, in all lanes
}

// op is one such function.
type op struct {
	name   string
	inputs []string // slices
	params []string // numbers
	unroll int
	body   func(e *elementwise, in []VecVirtual) VecVirtual // may overwrite in
}

var (
	twoSlices  = []string{"a", "b"}
	oneSlice   = []string{"x"}
	twoNumbers = []string{"p", "q"}
)

// elementwiseF32 declares the kernels of arithmetic.
func elementwiseF32(c *Context) {
	declareOps(c, "elementwiseF32", []op{
		{"addF32", twoSlices, nil, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.VADDPS(in[1], in[0], in[0])
			return in[0]
		}},
		{"subF32", twoSlices, nil, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.VSUBPS(in[1], in[0], in[0])
			return in[0]
		}},
		{"mulF32", twoSlices, nil, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.VMULPS(in[1], in[0], in[0])
			return in[0]
		}},
		{"divF32", twoSlices, nil, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.VDIVPS(in[1], in[0], in[0])
			return in[0]
		}},
		{"maxF32", twoSlices, nil, 2, func(e *elementwise, in []VecVirtual) VecVirtual {
			return e.extreme(e.VMAXPS, in[0], in[1])
		}},
		{"minF32", twoSlices, nil, 2, func(e *elementwise, in []VecVirtual) VecVirtual {
			return e.extreme(e.VMINPS, in[0], in[1])
		}},
		{"affineF32", oneSlice, twoNumbers, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.VFMADD213PS(e.params[1], e.params[0], in[0])
			return in[0]
		}},
		{"clampF32", oneSlice, twoNumbers, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.clamp(in[0], e.params[0], e.params[1])
			return in[0]
		}},
		{"leakyReluF32", oneSlice, twoNumbers, 4, func(e *elementwise, in []VecVirtual) VecVirtual {
			scaled := e.vec()
			e.VMULPS(in[0], e.params[0], scaled)
			return e.ifNegative(in[0], scaled, in[0])
		}},
		{"mulAddF32", []string{"x", "a", "b"}, nil, 2, func(e *elementwise, in []VecVirtual) VecVirtual {
			e.VFMADD213PS(in[2], in[1], in[0])
			return in[0]
		}},
	})
}

// declareOps declares each function for both tiers.
func declareOps(c *Context, file string, ops []op) {
	constants := map[uint32]Mem{}
	masks := laneMasks(c, file+"Masks")
	bothTiers(c, func(s simd) {
		for _, o := range ops {
			e := &elementwise{simd: s, masks: masks, constants: constants}
			e.declare(file, o)
		}
	})
}

func (e *elementwise) declare(file string, o op) {
	expr := "func(dst"
	for _, in := range o.inputs {
		expr += ", " + in
	}
	expr += " []float32"
	for _, p := range o.params {
		expr += ", " + p + " float32"
	}
	e.Function(o.name + e.tier)
	e.Attributes(NOSPLIT)
	e.SignatureExpr(expr + ")")
	e.Doc(o.name + e.tier + " is " + o.name + " for any length.")
	e.Pragma("noescape")

	dst := e.Load(e.Param("dst").Base(), e.GP64())
	n := e.GP64()
	e.Load(e.Param("dst").Len(), n)
	var in []Register
	for _, name := range o.inputs {
		in = append(in, e.Load(e.Param(name).Base(), e.GP64()))
	}
	for _, name := range o.params {
		at, err := e.Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		v := e.vec()
		e.VBROADCASTSS(at.Addr, v)
		e.params = append(e.params, v)
	}
	at := e.GP64() // bytes done
	e.XORQ(at, at)
	step := func(u int, mask Register) {
		var values []VecVirtual
		for _, base := range in {
			v := e.vec()
			e.loadLanes(Mem{Base: base, Index: at, Scale: 1, Disp: u * e.bytes()}, mask, v)
			values = append(values, v)
		}
		e.storeLanes(o.body(e, values), mask, Mem{Base: dst, Index: at, Scale: 1, Disp: u * e.bytes()})
	}
	e.Label("loop")
	e.SUBQ(I32(o.unroll*e.lanes), n)
	e.JL(LabelRef("rest"))
	for u := range o.unroll {
		step(u, nil)
	}
	e.ADDQ(I32(o.unroll*e.bytes()), at)
	e.JMP(LabelRef("loop"))
	e.Label("rest")
	e.ADDQ(I32(o.unroll*e.lanes), n)
	e.JZ(LabelRef("done"))
	e.Label("vector")
	step(0, e.firstLanes(n, e.masks))
	e.ADDQ(I32(e.bytes()), at)
	e.SUBQ(I32(e.lanes), n)
	e.JG(LabelRef("vector"))
	e.Label("done")
	e.VZEROUPPER()
	e.RET()
}

// number returns the address of a vector with f in all lanes.
func (e *elementwise) number(f float64) Mem { return e.bits(math.Float32bits(float32(f))) }

func (e *elementwise) bits(bits uint32) Mem {
	if m, ok := e.constants[bits]; ok {
		return m
	}
	m := e.StaticGlobal(fmt.Sprintf("f32x16_%08x", bits))
	e.DataAttributes(RODATA | NOPTR)
	for i := range 16 {
		e.AddDatum(4*i, U32(bits))
	}
	e.constants[bits] = m
	return m
}

// clamp limits x to [lo, hi]. x is the second source: NaN passes.
func (e *elementwise) clamp(x VecVirtual, lo, hi Op) {
	e.VMAXPS(x, e.inRegister(lo), x)
	e.VMINPS(x, e.inRegister(hi), x)
}

// inRegister loads o if it is in memory.
func (e *elementwise) inRegister(o Op) VecVirtual {
	if m, ok := o.(Mem); ok {
		v := e.vec()
		e.VMOVUPS(m, v)
		return v
	}
	return o.(VecVirtual)
}

// unordered compares for NaN in either operand.
const unordered = 3

// extreme returns op of a and b, and NaN where either is: the instruction gives
// b there, so a must stand where a is NaN.
func (s simd) extreme(op func(ops ...Op), a, b VecVirtual) VecVirtual {
	r := s.vec()
	op(b, a, r)
	if s.wide() {
		k := s.K()
		s.VCMPPS(Imm(unordered), a, a, k)
		s.VMOVAPS(a, k, r)
		return r
	}
	nan := s.YMM()
	s.VCMPPS(Imm(unordered), a, a, nan)
	s.VBLENDVPS(nan, a, r, r)
	return r
}

// ifNegative returns yes where the sign bit of x is set, and no elsewhere.
func (s simd) ifNegative(x, yes, no VecVirtual) VecVirtual {
	r := s.vec()
	if s.wide() {
		k := s.K()
		s.VPMOVD2M(x, k)
		s.VMOVAPS(no, r)
		s.VMOVAPS(yes, k, r)
		return r
	}
	s.VBLENDVPS(x, yes, no, r)
	return r
}
