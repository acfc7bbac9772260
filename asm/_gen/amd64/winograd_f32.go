package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of winogradArgs (TestWinogradArgsLayout pins them).
const (
	winogradSrc, winogradDst, winogradBias, winogradAdd = 0, 24, 48, 72
	winogradSrcPos, winogradDstPos, winogradAddPos      = 96, 104, 112
	winogradRow, winogradPix                            = 120, 128
	winogradAddRow, winogradAddPix                      = 136, 144
	winogradPlane, winogradTile                         = 152, 160
	winogradCount, winogradTiles                        = 168, 176
	winogradLo, winogradHi                              = 184, 188
)

// winogradF32 declares the transforms of winogradArgs.
func winogradF32(c *Context) {
	bothTiers(c, func(s simd) {
		w := winograd{simd: s}
		w.declare("Input", "transforms tiles of an image to planes.")
		w.input()
		w = winograd{simd: s}
		w.declare("Output", "transforms tiles of planes to an image.")
		w.output()
	})
}

// winograd emits a transform: tile by tile, in each vector of channels by vector.
type winograd struct {
	simd
	plane, four, twelve GPVirtual // bytes from a plane to the first, fourth and twelfth after it
}

func (w *winograd) declare(name, doc string) {
	w.Function("winograd" + name + "F32" + w.tier)
	w.Attributes(NOSPLIT)
	signature(w.Context, "func(a *winogradArgs)")
	w.Doc("winograd" + name + "F32" + w.tier + " " + doc)
	w.Pragma("noescape")
}

func (w *winograd) args() Register { return w.Load(w.Param("a"), w.GP64()) }

// bytes loads a field that counts elements.
func (w *winograd) bytesOf(at int) GPVirtual {
	r := w.GP64()
	w.MOVQ(field(w.args(), at), r)
	w.SHLQ(Imm(2), r)
	return r
}

// address returns base + 4*position for a slice field and a position field.
func (w *winograd) address(slice, pos int) GPVirtual {
	r := w.bytesOf(pos)
	w.ADDQ(field(w.args(), slice), r)
	return r
}

func (w *winograd) loadPlanes() {
	w.plane = w.bytesOf(winogradPlane)
	w.four, w.twelve = w.GP64(), w.GP64()
	w.MOVQ(w.plane, w.four)
	w.SHLQ(Imm(2), w.four)
	w.LEAQ(Mem{Base: w.four, Index: w.four, Scale: 2}, w.twelve)
}

// column returns the address of row y of the planes of one column, the first at base.
func (w *winograd) column(base Register, y int) Mem {
	switch y {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: w.twelve, Scale: 1}
	}
	return Mem{Base: base, Index: w.four, Scale: uint8(y)}
}

// loops emits body for every vector of channels of every tile; pointers go on by a vector after
// each, and after a tile by what is left to the next, which is a multiple of a step less the channels.
func (w *winograd) loops(body func(), pointers []GPVirtual, next []func() GPVirtual) {
	w.Label("tile")
	left := w.GP64()
	w.MOVQ(field(w.args(), winogradCount), left)
	w.Label("channels")
	body()
	for _, p := range pointers {
		w.ADDQ(Imm(uint64(w.bytes())), p)
	}
	w.SUBQ(Imm(uint64(w.lanes)), left)
	w.JNZ(LabelRef("channels"))
	for i, p := range pointers {
		step := next[i]()
		w.ADDQ(step, p)
		channels := w.bytesOf(winogradCount)
		w.SUBQ(channels, p)
	}
	w.DECQ(field(w.args(), winogradTiles))
	w.JNZ(LabelRef("tile"))
	w.VZEROUPPER()
	w.RET()
}

// twice returns twice the step field, in bytes: from one tile of an image to the next.
func (w *winograd) twice(at int) func() GPVirtual {
	return func() GPVirtual {
		r := w.bytesOf(at)
		w.ADDQ(r, r)
		return r
	}
}

func (w *winograd) once(at int) func() GPVirtual { return func() GPVirtual { return w.bytesOf(at) } }

func (w *winograd) input() {
	w.loadPlanes()
	pix, three := w.bytesOf(winogradPix), w.GP64()
	w.LEAQ(Mem{Base: pix, Index: pix, Scale: 2}, three)
	var rows [4]GPVirtual
	rows[0] = w.address(winogradSrc, winogradSrcPos)
	for y := 1; y < 4; y++ {
		rows[y] = w.bytesOf(winogradRow)
		w.ADDQ(rows[y-1], rows[y])
	}
	dst := w.address(winogradDst, winogradDstPos)
	pixel := func(y, x int) Mem {
		switch x {
		case 0:
			return Mem{Base: rows[y]}
		case 3:
			return Mem{Base: rows[y], Index: three, Scale: 1}
		}
		return Mem{Base: rows[y], Index: pix, Scale: uint8(x)}
	}
	body := func() {
		column := w.GP64()
		w.MOVQ(dst, column)
		for x, of := range [4][2]int{{0, 2}, {1, 2}, {2, 1}, {1, 3}} {
			var v [4]VecVirtual
			for y := range v {
				v[y] = w.vec()
				w.VMOVUPS(pixel(y, of[0]), v[y])
				if x == 1 {
					w.VADDPS(pixel(y, of[1]), v[y], v[y])
				} else {
					w.VSUBPS(pixel(y, of[1]), v[y], v[y])
				}
			}
			sum := w.vec()
			w.VSUBPS(v[2], v[0], v[0])
			w.VMOVUPS(v[0], w.column(column, 0))
			w.VADDPS(v[2], v[1], sum)
			w.VMOVUPS(sum, w.column(column, 1))
			w.VSUBPS(v[1], v[2], v[2])
			w.VMOVUPS(v[2], w.column(column, 2))
			w.VSUBPS(v[3], v[1], v[1])
			w.VMOVUPS(v[1], w.column(column, 3))
			if x < 3 {
				w.ADDQ(w.plane, column)
			}
		}
	}
	image := w.twice(winogradPix)
	w.loops(body, append(rows[:], dst), []func() GPVirtual{image, image, image, image, w.once(winogradTile)})
}

func (w *winograd) output() {
	w.loadPlanes()
	src := w.address(winogradSrc, winogradSrcPos)
	pix := w.bytesOf(winogradPix)
	top, below := w.address(winogradDst, winogradDstPos), w.bytesOf(winogradRow)
	w.ADDQ(top, below)
	addTop, addBelow := w.address(winogradAdd, winogradAddPos), w.bytesOf(winogradAddRow)
	w.ADDQ(addTop, addBelow)
	bias := w.GP64()
	w.MOVQ(field(w.args(), winogradBias), bias)
	lo, hi := w.vec(), w.vec()
	w.VBROADCASTSS(field(w.args(), winogradLo), lo)
	w.VBROADCASTSS(field(w.args(), winogradHi), hi)
	body := func() {
		var s [2][4]VecVirtual
		column := w.GP64()
		w.MOVQ(src, column)
		for x := range 4 {
			v1, v2 := w.vec(), w.vec()
			s[0][x], s[1][x] = w.vec(), v1
			w.VMOVUPS(w.column(column, 1), v1)
			w.VMOVUPS(w.column(column, 2), v2)
			w.VADDPS(v2, v1, s[0][x])
			w.VADDPS(w.column(column, 0), s[0][x], s[0][x])
			w.VSUBPS(v2, v1, v1)
			w.VSUBPS(w.column(column, 3), v1, v1)
			if x < 3 {
				w.ADDQ(w.plane, column)
			}
		}
		var out [2][2]VecVirtual
		for y, v := range s {
			left, right := v[0], v[1]
			sum := w.vec()
			w.VADDPS(v[2], v[1], sum)
			w.VADDPS(v[0], sum, left)
			w.VSUBPS(v[2], v[1], right)
			w.VSUBPS(v[3], right, right)
			out[y] = [2]VecVirtual{left, right}
			for _, o := range out[y] {
				w.VADDPS(Mem{Base: bias}, o, o)
			}
		}
		w.CMPQ(field(w.args(), winogradAdd+sliceLen), Imm(0))
		w.JE(LabelRef("clamp"))
		addPix := w.bytesOf(winogradAddPix)
		for y, row := range []GPVirtual{addTop, addBelow} {
			w.VADDPS(Mem{Base: row}, out[y][0], out[y][0])
			w.VADDPS(Mem{Base: row, Index: addPix, Scale: 1}, out[y][1], out[y][1])
		}
		w.Label("clamp")
		for y, row := range []GPVirtual{top, below} {
			for x, o := range out[y] {
				w.VMAXPS(o, lo, o)
				w.VMINPS(o, hi, o)
				to := Mem{Base: row}
				if x == 1 {
					to.Index, to.Scale = pix, 1
				}
				w.VMOVUPS(o, to)
			}
		}
	}
	image, add := w.twice(winogradPix), w.twice(winogradAddPix)
	zero := func() GPVirtual { // the bias starts again
		r := w.GP64()
		w.XORQ(r, r)
		return r
	}
	w.loops(body, []GPVirtual{src, top, below, addTop, addBelow, bias},
		[]func() GPVirtual{w.once(winogradTile), image, image, add, add, zero})
}
