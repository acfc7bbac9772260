package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// poolF32 declares the reductions of a window of pixels.
func poolF32(c *Context) {
	masks := laneMasks(c, "poolF32Masks")
	bothTiers(c, func(s simd) {
		p := pooling{simd: s, masks: masks, start: 0xff800000} // minus infinity
		p.declare("poolMaxF32", func(x, acc VecVirtual) { s.VMOVAPS(s.extreme(s.VMAXPS, acc, x), acc) })
		p = pooling{simd: s, masks: masks}
		p.declare("poolSumF32", func(x, acc VecVirtual) { s.VADDPS(x, acc, acc) })
	})
}

// pooling emits the reduction of a window, vector of channels by vector.
type pooling struct {
	simd
	masks Mem    // see laneMasks
	start uint32 // what the reduction starts from

	rows, cols, rowStep, colStep, at GPVirtual
	src, dst                         Register
	scale                            VecVirtual
}

func (p *pooling) declare(name string, reduce func(x, acc VecVirtual)) {
	p.Function(name + p.tier)
	p.Attributes(NOSPLIT)
	p.SignatureExpr("func(dst, src []float32, rows, cols, rowStep, colStep int, scale float32)")
	p.Doc(name + p.tier + " is " + name + " for any number of channels.")
	p.Pragma("noescape")
	p.dst = p.Load(p.Param("dst").Base(), p.GP64())
	p.src = p.Load(p.Param("src").Base(), p.GP64())
	n := p.Load(p.Param("dst").Len(), p.GP64()).(GPVirtual)
	load := func(name string) GPVirtual { return p.Load(p.Param(name), p.GP64()).(GPVirtual) }
	p.rows, p.cols, p.rowStep, p.colStep = load("rows"), load("cols"), load("rowStep"), load("colStep")
	p.SHLQ(Imm(2), p.rowStep)
	p.SHLQ(Imm(2), p.colStep)
	scale, err := p.Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	p.scale = p.vec()
	p.VBROADCASTSS(scale.Addr, p.scale)
	p.at = p.GP64()
	p.XORQ(p.at, p.at)

	const many = 4 // vectors at a time
	p.Label("many")
	p.CMPQ(n, I32(many*p.lanes))
	p.JL(LabelRef("one"))
	p.window("Many", many, nil, reduce)
	p.SUBQ(I32(many*p.lanes), n)
	p.JMP(LabelRef("many"))
	p.Label("one")
	p.CMPQ(n, Imm(0))
	p.JLE(LabelRef("done"))
	p.window("One", 1, p.firstLanes(n, p.masks), reduce)
	p.SUBQ(Imm(uint64(p.lanes)), n)
	p.JMP(LabelRef("one"))
	p.Label("done")
	p.VZEROUPPER()
	p.RET()
}

// window reduces vecs vectors of channels over the window and goes past them.
func (p *pooling) window(label string, vecs int, mask Register, reduce func(x, acc VecVirtual)) {
	acc := make([]VecVirtual, vecs)
	bits := p.GP64()
	p.MOVQ(U32(p.start), bits)
	for i := range acc {
		acc[i] = p.vec()
		x := acc[i].AsX()
		p.VMOVD(bits.As32(), x)
		p.VBROADCASTSS(x, acc[i])
	}
	row, y, pixel, x := p.GP64(), p.GP64(), p.GP64(), p.GP64()
	p.LEAQ(Mem{Base: p.src, Index: p.at, Scale: 1}, row)
	p.MOVQ(p.rows, y)
	p.Label("row" + label)
	p.DECQ(y)
	p.JL(LabelRef("store" + label))
	p.MOVQ(row, pixel)
	p.MOVQ(p.cols, x)
	p.Label("col" + label)
	p.DECQ(x)
	p.JL(LabelRef("nextRow" + label))
	for i := range acc {
		v := p.vec()
		p.loadLanes(Mem{Base: pixel, Disp: i * p.bytes()}, mask, v)
		reduce(v, acc[i])
	}
	p.ADDQ(p.colStep, pixel)
	p.JMP(LabelRef("col" + label))
	p.Label("nextRow" + label)
	p.ADDQ(p.rowStep, row)
	p.JMP(LabelRef("row" + label))
	p.Label("store" + label)
	for i := range acc {
		p.VMULPS(p.scale, acc[i], acc[i])
		p.storeLanes(acc[i], mask, Mem{Base: p.dst, Index: p.at, Scale: 1, Disp: i * p.bytes()})
	}
	p.ADDQ(I32(vecs*p.bytes()), p.at)
}
