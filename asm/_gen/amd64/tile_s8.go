package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of tileArgsS8 (TestArgsLayoutS8 pins them).
const (
	s8Src, s8Weights, s8Weights16, s8Bias, s8Acc, s8Taps = 0, 24, 48, 72, 96, 120
	s8SrcStep, s8Quads, s8Tiles                          = 144, 152, 160
	s8Bytes, s8Dst, s8DstStep                            = 184, 192, 216
	s8Scale, s8Before, s8Half, s8Shift                   = 224, 352, 480, 608
	s8Zero, s8Lo, s8Hi, s8Mask                           = 736, 800, 864, 928
)

// tileS8 emits integer kernels of pixels by vecs vectors of channels, the
// accumulators in registers.
type tileS8 struct {
	simd
	pixels, vecs int
	products     func(t *tileS8, row pixelRow, weights Register)
	wideWeights  bool           // int16
	acc          [][]VecVirtual // [pixel][vec]
	consts       tileS8Consts
	plain        bool // the zero point is 0 and the range that of bytes: packing does all
}

const s8Plain = 4 // plainBytes of package asm

// tileS8Consts are the constants of the kernels in memory.
type tileS8Consts struct {
	pairs            [2]Mem // see pairMasks
	order, halfOrder Mem    // see blockOrder
	ones             Mem    // 16 words
}

// tilesS8 declares kernels of vecs vectors of channels and 1 to pixels pixels.
func tilesS8(c *Context) {
	consts := tileS8Consts{pairMasks(c), blockOrder(c, "tileS8Order", 4), blockOrder(c, "tileS8HalfOrder", 2), wordOnes(c)}
	narrow, vnni, wide := simd{c, 8, "AVX2"}, simd{c, 8, "AVXVNNI"}, simd{c, 16, "AVX512"}
	for _, k := range []struct {
		simd
		name         string
		vecs, pixels int
		products     func(t *tileS8, row pixelRow, weights Register)
	}{
		{wide, "tileS8", 2, 14, (*tileS8).dotProducts}, {wide, "tileS8", 1, 28, (*tileS8).dotProducts},
		{vnni, "tileS8", 2, 6, (*tileS8).dotProducts}, {vnni, "tileS8", 1, 12, (*tileS8).dotProducts},
		{narrow, "tileSafeS8", 2, 6, (*tileS8).safeProducts}, {narrow, "tileSafeS8", 1, 12, (*tileS8).safeProducts},
		{narrow, "tileS8", 2, 6, (*tileS8).wideProducts}, {narrow, "tileS8", 1, 12, (*tileS8).wideProducts},
	} {
		channels := k.vecs * k.lanes
		name := fmt.Sprintf("%sx%d", k.name, channels)
		for m := 1; m <= k.pixels; m++ {
			t := tileS8{simd: k.simd, pixels: m, vecs: k.vecs, products: k.products, consts: consts}
			t.wideWeights = k.simd == narrow && k.name == "tileS8"
			t.declare(fmt.Sprintf("%sx%d", name, m),
				fmt.Sprintf("makes tiles of %d pixels by %d channels (see tileArgsS8).", m, channels), "tileArgsS8")
			t.emit()
		}
	}
}

// declare starts a function, named for the tier too, of a pointer a to a struct of
// package asm.
func (s simd) declare(name, doc, args string) {
	s.Function(name + s.tier)
	s.Attributes(NOSPLIT)
	signature(s.Context, "func(a *"+args+")")
	s.Doc(name + s.tier + " " + doc)
	s.Pragma("noescape")
}

// pixelRow is the addresses of a tile's pixels: every fifth has a register.
type pixelRow struct {
	bases                []Register
	stride, strideThrice Register
}

func (r pixelRow) at(pixel int) Mem {
	m := Mem{Base: r.bases[pixel/5]}
	switch n := pixel % 5; n {
	case 1, 2, 4:
		m.Index, m.Scale = r.stride, uint8(n)
	case 3:
		m.Index, m.Scale = r.strideThrice, 1
	}
	return m
}

// emit emits the body: for each tile, for each tap, for each four bytes of the pixels,
// their broadcast times the weights of all channels.
func (t *tileS8) emit() {
	// General registers are few: what the inner loop does not need lives on the stack.
	src, acc, dst, end := t.AllocLocal(8), t.AllocLocal(8), t.AllocLocal(8), t.AllocLocal(8)
	t.MOVQ(t.field(s8Src), src)
	t.MOVQ(t.field(s8Acc), acc)
	t.MOVQ(t.field(s8Dst), dst)
	t.Label("tile")
	bias := t.field(s8Bias)
	t.acc = make([][]VecVirtual, t.pixels)
	for p := range t.acc {
		for v := range t.vecs {
			t.acc[p] = append(t.acc[p], t.vec())
			t.VMOVUPS(Mem{Base: bias, Disp: v * t.bytes()}, t.acc[p][v])
		}
	}
	weights := t.field(s8Weights)
	if t.wideWeights {
		weights = t.field(s8Weights16)
	}
	tap, count := t.field(s8Taps), t.field(s8Taps+sliceLen)
	t.LEAQ(Mem{Base: tap, Index: count, Scale: 8}, count)
	t.MOVQ(count, end)

	t.Label("tap")
	first := t.GP64()
	t.MOVQ(Mem{Base: tap}, first)
	t.ADDQ(src, first)
	row := t.row(first)
	quads := t.field(s8Quads)
	t.Label("quad")
	t.products(t, row, weights)
	for _, b := range row.bases {
		t.ADDQ(Imm(4), b)
	}
	t.DECQ(quads)
	t.JNZ(LabelRef("quad"))
	t.ADDQ(Imm(8), tap)
	t.CMPQ(tap, end)
	t.JNE(LabelRef("tap"))

	mode := t.field(s8Bytes)
	t.CMPQ(mode, Imm(0))
	t.JE(LabelRef("sums"))
	t.CMPQ(mode, Imm(s8Plain))
	t.JE(LabelRef("plain"))
	t.CMPQ(mode, Imm(1))
	t.JNE(LabelRef("shift"))
	t.storeBytes(dst, t.scale)
	t.JMP(LabelRef("next"))
	t.Label("plain")
	t.plain = true
	t.storeBytes(dst, t.scale)
	t.plain = false
	t.JMP(LabelRef("next"))
	t.Label("shift")
	t.storeBytes(dst, t.shift)
	t.JMP(LabelRef("next"))
	t.Label("sums")
	t.storeSums(acc)
	t.Label("next")
	args, step := t.Load(t.Param("a"), t.GP64()), t.GP64()
	t.IMUL3Q(Imm(uint64(t.pixels)), Mem{Base: args, Disp: s8SrcStep}, step)
	t.ADDQ(step, src)
	t.DECQ(Mem{Base: args, Disp: s8Tiles})
	t.JNZ(LabelRef("tile"))
	t.VZEROUPPER()
	t.RET()
}

// storeSums stores the accumulators and goes past them.
func (t *tileS8) storeSums(acc Mem) {
	out := t.GP64()
	t.MOVQ(acc, out)
	for p := range t.acc {
		for v := range t.acc[p] {
			t.VMOVUPS(t.acc[p][v], Mem{Base: out, Disp: (p*t.vecs + v) * t.bytes()})
		}
	}
	t.ADDQ(I32(t.pixels*t.vecs*t.bytes()), acc)
}

// storeBytes rescales the accumulators in place, packs four at once (see blockOrder), and
// stores the pixels' bytes and goes past them.
func (t *tileS8) storeBytes(dst Mem, rescale func(args Register, acc VecVirtual, v int)) {
	args, out, step := t.Load(t.Param("a"), t.GP64()), t.GP64(), t.field(s8DstStep)
	t.MOVQ(dst, out)
	var mask Register // of the channels in use
	if t.wide() {
		mask = t.K()
		t.KMOVD(Mem{Base: args, Disp: s8Mask}, mask)
	}
	order := t.vec()
	if t.wide() {
		t.VMOVDQU32(t.consts.order, order)
	} else {
		t.VMOVDQU(t.consts.halfOrder, order)
	}
	perBlock := 4 / t.vecs
	for first := 0; first < t.pixels; first += perBlock {
		var q []VecVirtual
		pixels := t.acc[first:min(first+perBlock, t.pixels)]
		for _, acc := range pixels {
			for v := range acc {
				rescale(args, acc[v], v)
				q = append(q, acc[v])
			}
		}
		packed := t.pack(args, q)
		t.VPERMD(packed, order, packed)
		for i := range pixels {
			if t.wide() {
				t.VMOVDQU8(t.pixel(packed, i), mask, Mem{Base: out})
			} else {
				t.storePixel(packed, i, Mem{Base: out})
			}
			t.ADDQ(step, out)
		}
	}
	t.MOVQ(out, dst)
}

// pack saturates one to four vectors to bytes, adds the zero point and clamps.
func (t *tileS8) pack(args Register, q []VecVirtual) VecVirtual {
	last := len(q) - 1
	for i := 0; i <= last; i += 2 {
		t.VPACKSSDW(q[min(i+1, last)], q[i], q[i])
		if !t.plain {
			t.VPADDSW(Mem{Base: args, Disp: s8Zero}, q[i], q[i])
		}
	}
	t.VPACKUSWB(q[last&^1], q[0], q[0])
	if t.plain {
		return q[0]
	}
	t.VPMAXUB(Mem{Base: args, Disp: s8Lo}, q[0], q[0])
	t.VPMINUB(Mem{Base: args, Disp: s8Hi}, q[0], q[0])
	return q[0]
}

// pixel returns the bytes of pixel i of a packed block of 512 bits.
func (t *tileS8) pixel(packed VecVirtual, i int) Register {
	switch {
	case t.vecs == 2 && i == 0:
		return packed.AsY()
	case t.vecs == 2:
		y := t.YMM()
		t.VEXTRACTI64X4(Imm(uint64(i)), packed, y)
		return y
	case i == 0:
		return packed.AsX()
	}
	x := t.XMM()
	t.VEXTRACTI32X4(Imm(uint64(i)), packed, x)
	return x
}

// storePixel stores the bytes of pixel i of a packed block of 256 bits.
func (t *tileS8) storePixel(packed VecVirtual, i int, to Mem) {
	switch {
	case t.vecs == 2 && i == 0:
		t.VMOVDQU(packed.AsX(), to)
	case t.vecs == 2:
		t.VEXTRACTI128(Imm(1), packed, to)
	case i < 2:
		t.storeHalf(packed.AsX(), i, to)
	default:
		upper := t.XMM()
		t.VEXTRACTI128(Imm(1), packed, upper)
		t.storeHalf(upper, i%2, to)
	}
}

func (t *tileS8) storeHalf(x Register, i int, to Mem) {
	if i == 0 {
		t.VMOVQ(x, to)
	} else {
		t.VMOVHPS(x, to)
	}
}

// scale is the arithmetic of ByFloat for scales below 1.
func (t *tileS8) scale(args Register, acc VecVirtual, v int) {
	t.VCVTDQ2PS(acc, acc)
	t.VMULPS(Mem{Base: args, Disp: s8Scale + t.bytes()*v}, acc, acc)
	t.VCVTPS2DQ(acc, acc)
}

// shift is the arithmetic of ByShift (see rescaler.shift).
func (t *tileS8) shift(args Register, acc VecVirtual, v int) {
	rounding := t.vec()
	t.VPSRAVD(Mem{Base: args, Disp: s8Before + t.bytes()*v}, acc, rounding)
	half := Mem{Base: args, Disp: s8Half + t.bytes()*v}
	if t.evex() {
		t.VPANDD(half, rounding, rounding)
	} else {
		t.VPAND(half, rounding, rounding)
	}
	t.VPSRAVD(Mem{Base: args, Disp: s8Shift + t.bytes()*v}, acc, acc)
	t.VPADDD(rounding, acc, acc)
}

func (t *tileS8) field(at int) Register {
	r := t.GP64()
	t.MOVQ(Mem{Base: t.Load(t.Param("a"), t.GP64()), Disp: at}, r)
	return r
}

// row returns the addresses of pixels of which the first is at an address.
func (t *tileS8) row(first Register) pixelRow {
	r := pixelRow{bases: []Register{first}, stride: t.field(s8SrcStep)}
	if t.pixels > 3 {
		r.strideThrice = t.GP64()
		t.LEAQ(Mem{Base: r.stride, Index: r.stride, Scale: 2}, r.strideThrice)
	}
	for i := 5; i < t.pixels; i += 5 {
		next := t.GP64()
		t.LEAQ(Mem{Base: r.bases[len(r.bases)-1], Index: r.stride, Scale: 4}, next)
		t.ADDQ(r.stride, next)
		r.bases = append(r.bases, next)
	}
	return r
}

// dotProducts multiplies unsigned activations by signed weights and adds four
// products to each accumulator, without intermediate saturation.
func (t *tileS8) dotProducts(row pixelRow, weights Register) {
	w := t.loadWeights(weights, 0)
	for p := range t.pixels {
		x := t.vec()
		t.VPBROADCASTD(row.at(p), x)
		for v := range w {
			t.VPDPBUSD(w[v], x, t.acc[p][v])
		}
	}
	t.ADDQ(I32(t.vecs*t.bytes()), weights)
}

// safeProducts does the same by VPMADDUBSW, which adds two products in 16 bits: with weights
// that saturates says no of, they fit.
func (t *tileS8) safeProducts(row pixelRow, weights Register) {
	w := t.loadWeights(weights, 0)
	for p := range t.pixels {
		x := t.YMM()
		t.VPBROADCASTD(row.at(p), x)
		for v := range w {
			product := x
			if v < len(w)-1 {
				product = t.YMM()
			}
			t.VPMADDUBSW(w[v], x, product)
			t.VPMADDWD(t.consts.ones, product, product)
			t.VPADDD(product, t.acc[p][v], t.acc[p][v])
		}
	}
	t.ADDQ(I32(t.vecs*32), weights)
}

// wideProducts widens to 16 bits, two pairs of bytes in turn.
func (t *tileS8) wideProducts(row pixelRow, weights Register) {
	for i, mask := range t.consts.pairs {
		w := t.loadWeights(weights, i)
		for p := range t.pixels {
			x := t.YMM()
			t.VPBROADCASTD(row.at(p), x)
			t.VPSHUFB(mask, x, x)
			t.addPairs(w, x, t.acc[p])
		}
	}
	t.ADDQ(I32(2*t.vecs*32), weights)
}

// addPairs adds the products of pairs, which it overwrites, and weights to the accumulators.
func (t *tileS8) addPairs(w []VecVirtual, x VecVirtual, acc []VecVirtual) {
	for v := range w {
		product := x
		if v < len(w)-1 {
			product = t.YMM()
		}
		t.VPMADDWD(w[v], x, product)
		t.VPADDD(product, acc[v], acc[v])
	}
}

// loadWeights loads row i of the weights of all channels.
func (t *tileS8) loadWeights(weights Register, i int) []VecVirtual {
	w := make([]VecVirtual, t.vecs)
	for v := range w {
		w[v] = t.vec()
		t.VMOVUPS(Mem{Base: weights, Disp: (i*t.vecs + v) * t.bytes()}, w[v])
	}
	return w
}

// pairMasks declares the two byte shuffles that widen bytes 0 and 1, or 2 and
// 3, of each four to 16 bits.
func pairMasks(c *Context) [2]Mem {
	var masks [2]Mem
	for i := range masks {
		masks[i] = c.StaticGlobal(fmt.Sprintf("tileS8Pair%d", i))
		c.DataAttributes(RODATA | NOPTR)
		for j := range 8 {
			lane := uint32(4 * (j % 4))
			c.AddDatum(4*j, U32(0x80008000|lane+uint32(2*i)|(lane+uint32(2*i)+1)<<16))
		}
	}
	return masks
}

// blockOrder undoes what packing does: of the groups of four bytes of a block of four
// vectors, of so many 128-bit lanes each, group 4*lane+vector is channels 4*lane to 4*lane+3 of a vector.
func blockOrder(c *Context, name string, lanes int) Mem {
	order := c.StaticGlobal(name)
	c.DataAttributes(RODATA | NOPTR)
	for i := range 4 * lanes {
		c.AddDatum(4*i, U32(uint32(i%lanes*4+i/lanes)))
	}
	return order
}

func wordOnes(c *Context) Mem {
	ones := c.StaticGlobal("tileS8Ones")
	c.DataAttributes(RODATA | NOPTR)
	for i := range 8 {
		c.AddDatum(4*i, U32(0x00010001))
	}
	return ones
}
