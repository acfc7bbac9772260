package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of tileArgs (TestTileArgsLayout pins them).
const (
	tileSrc, tileDst, tileAdd             = 0, 24, 48
	tileW, tileBias, tileTaps             = 72, 96, 120
	tileRun, tileTiles                    = 144, 152
	tileSrcStep, tileDstStep, tileAddStep = 160, 168, 176
	tileSrcPos, tileDstPos, tileAddPos    = 184, 192, 200
	tileLo, tileHi, tileCols              = 208, 212, 216
	sliceLen                              = 8
)

// tile emits kernels of pixels by vecs vectors of channels, the accumulators
// in registers.
type tile struct {
	simd
	pixels, vecs int
	masks        Mem            // see laneMasks
	acc          [][]VecVirtual // [pixel][vec]
}

// tileShapes lists the kernels: vecs vectors of channels, and 1 to pixels
// pixels. AVX-512 has 32 registers and AVX2 has 16.
var tileShapes = map[string][]struct{ vecs, pixels int }{
	"AVX512": {{2, 14}, {1, 24}},
	"AVX2":   {{2, 6}, {1, 12}},
}

func tileF32(c *Context) {
	masks := laneMasks(c, "tileF32Masks")
	bothTiers(c, func(s simd) {
		for _, shape := range tileShapes[s.tier] {
			for m := 1; m <= shape.pixels; m++ {
				t := tile{simd: s, pixels: m, vecs: shape.vecs, masks: masks}
				cols := shape.vecs * s.lanes
				t.declare(fmt.Sprintf("tileF32x%dx%d%s", cols, m, s.tier),
					fmt.Sprintf("makes tiles of %d pixels by %d channels (see tileArgs).", m, cols))
				t.dense()
			}
		}
	})
}

func (t *tile) declare(name, doc string) {
	t.Function(name)
	t.Attributes(NOSPLIT)
	signature(t.Context, "func(a *tileArgs)")
	t.Doc(name + " " + doc)
	t.Pragma("noescape")
}

// args loads the pointer to the arguments: again wherever it is needed, for a
// register less in the loops.
func (t *tile) args() Register { return t.Load(t.Param("a"), t.GP64()) }

func field(a Register, at int) Mem { return Mem{Base: a, Disp: at} }

// load loads a field of the arguments.
func (t *tile) load(at int) GPVirtual {
	r := t.GP64()
	t.MOVQ(field(t.args(), at), r)
	return r
}

// address returns base + 4*position for a slice field and a position field.
func (t *tile) address(slice, pos int) GPVirtual {
	a, p, r := t.args(), t.GP64(), t.GP64()
	t.MOVQ(field(a, slice), r)
	t.MOVQ(field(a, pos), p)
	t.LEAQ(Mem{Base: r, Index: p, Scale: 4}, r)
	return r
}

// stride returns 4 times a step field.
func (t *tile) stride(step int) GPVirtual {
	r := t.load(step)
	t.SHLQ(Imm(2), r)
	return r
}

// row is the addresses of a tile's pixels: every third has a register, the
// others lie one and two strides past it.
type row struct {
	bases  []Register
	stride Register
}

func (t *tile) row(first, stride GPVirtual) row {
	r := row{[]Register{first}, stride}
	if t.pixels > 3 {
		three := t.GP64()
		t.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)
		for i := 3; i < t.pixels; i += 3 {
			next := t.GP64()
			t.LEAQ(Mem{Base: r.bases[len(r.bases)-1], Index: three, Scale: 1}, next)
			r.bases = append(r.bases, next)
		}
	}
	return r
}

func (r row) at(pixel, disp int) Mem {
	m := Mem{Base: r.bases[pixel/3], Disp: disp}
	if pixel%3 > 0 {
		m.Index, m.Scale = r.stride, uint8(pixel%3)
	}
	return m
}

// advance adds bytes to all addresses.
func (t *tile) advance(r row, bytes int) {
	for _, b := range r.bases {
		t.ADDQ(Imm(uint64(bytes)), b)
	}
}

// dense emits the body: for each tile, for each tap, for each k, one
// broadcast of each pixel times the weights of all channels.
func (t *tile) dense() {
	t.Label("tile")
	t.startFromBias()
	w := t.load(tileW)
	tap := t.load(tileTaps)
	end := t.GP64()
	t.MOVQ(field(t.args(), tileTaps+sliceLen), end)
	t.LEAQ(Mem{Base: tap, Index: end, Scale: 8}, end)

	t.Label("tap")
	first, offset := t.address(tileSrc, tileSrcPos), t.GP64()
	t.MOVQ(Mem{Base: tap}, offset)
	t.LEAQ(Mem{Base: first, Index: offset, Scale: 4}, first)
	src := t.row(first, t.stride(tileSrcStep))
	const unroll = 4
	k := t.load(tileRun)
	t.SUBQ(Imm(unroll), k)
	t.JL(LabelRef("rest"))
	t.Label("run")
	t.products(src, w, unroll)
	t.SUBQ(Imm(unroll), k)
	t.JGE(LabelRef("run"))
	t.Label("rest")
	t.ADDQ(Imm(unroll), k)
	t.JZ(LabelRef("next"))
	t.Label("one")
	t.products(src, w, 1)
	t.DECQ(k)
	t.JNZ(LabelRef("one"))
	t.Label("next")
	t.ADDQ(Imm(8), tap)
	t.CMPQ(tap, end)
	t.JNE(LabelRef("tap"))

	t.finish()
}

// products multiplies unroll elements of each pixel by their weights and goes
// past them.
func (t *tile) products(src row, w Register, unroll int) {
	for u := range unroll {
		weights := make([]VecVirtual, t.vecs)
		for v := range weights {
			weights[v] = t.vec()
			t.VMOVUPS(Mem{Base: w, Disp: (u*t.vecs + v) * t.bytes()}, weights[v])
		}
		for p := range t.pixels {
			if t.vecs == 1 && t.wide() {
				t.VFMADD231PS_BCST(src.at(p, 4*u), weights[0], t.acc[p][0])
				continue
			}
			x := t.vec()
			t.VBROADCASTSS(src.at(p, 4*u), x)
			for v := range weights {
				t.VFMADD231PS(x, weights[v], t.acc[p][v])
			}
		}
	}
	t.advance(src, 4*unroll)
	t.ADDQ(I32(unroll*t.vecs*t.bytes()), w)
}

func (t *tile) startFromBias() {
	bias := t.load(tileBias)
	t.newAccumulators()
	for p := range t.acc {
		for v := range t.acc[p] {
			t.VMOVUPS(Mem{Base: bias, Disp: v * t.bytes()}, t.acc[p][v])
		}
	}
}

func (t *tile) newAccumulators() {
	t.acc = make([][]VecVirtual, t.pixels)
	for p := range t.acc {
		for range t.vecs {
			t.acc[p] = append(t.acc[p], t.vec())
		}
	}
}

// finish adds the residual, clamps, stores and goes on to the next tile.
func (t *tile) finish() {
	if t.wide() {
		t.finishPixels(t.masks512())
	} else {
		cols := t.load(tileCols)
		t.CMPQ(cols, Imm(uint64(t.vecs*t.lanes)))
		t.JNE(LabelRef("part"))
		t.finishPixels(nil)
		t.JMP(LabelRef("done"))
		t.Label("part")
		t.finishPixels(t.masks256(cols))
		t.Label("done")
	}
	t.nextTile()
}

// nextTile goes on to the next tile, and returns after the last.
func (t *tile) nextTile() {
	a, n := t.args(), t.GP64()
	for _, f := range [][2]int{{tileSrcPos, tileSrcStep}, {tileDstPos, tileDstStep}, {tileAddPos, tileAddStep}} {
		t.IMUL3Q(Imm(uint64(t.pixels)), field(a, f[1]), n)
		t.ADDQ(n, field(a, f[0]))
	}
	t.DECQ(field(a, tileTiles))
	t.JNZ(LabelRef("tile"))
	t.VZEROUPPER()
	t.RET()
}

// masks512 returns a mask register for each vector of channels.
func (t *tile) masks512() []Register {
	bits := t.GP64()
	t.MOVQ(I64(-1), bits)
	t.BZHIQ(t.load(tileCols), bits, bits)
	var masks []Register
	for range t.vecs {
		k := t.K()
		t.KMOVW(bits.As32(), k)
		t.SHRQ(Imm(uint64(t.lanes)), bits)
		masks = append(masks, k)
	}
	return masks
}

// masks256 returns the addresses of a mask vector for each vector of channels.
func (t *tile) masks256(cols GPVirtual) []Register {
	at := t.GP64()
	t.LEAQ(t.masks, at)
	t.NEGQ(cols)
	t.LEAQ(Mem{Base: at, Index: cols, Scale: 4, Disp: 16 * 4}, at)
	masks := []Register{at}
	for v := 1; v < t.vecs; v++ {
		next := t.GP64()
		t.LEAQ(Mem{Base: at, Disp: v * t.bytes()}, next)
		masks = append(masks, next)
	}
	return masks
}

// finishPixels adds, clamps and stores with one mask for each vector (see
// masks512 and masks256), or whole vectors without. Labels end in the kind.
func (t *tile) finishPixels(masks []Register) {
	kind := "Whole"
	if masks != nil {
		kind = "Part"
	}
	n := t.load(tileAdd + sliceLen)
	t.TESTQ(n, n)
	t.JZ(LabelRef("clamp" + kind))
	add := t.row(t.address(tileAdd, tileAddPos), t.stride(tileAddStep))
	t.eachVector(masks, func(v int, mask Register) { t.addPixels(add, v, mask) })
	t.Label("clamp" + kind)
	lo, hi := t.clampBounds()
	dst := t.row(t.address(tileDst, tileDstPos), t.stride(tileDstStep))
	t.eachVector(masks, func(v int, mask Register) { t.storePixels(dst, v, mask, lo, hi) })
}

// addPixels adds vector v of the residual's pixels.
func (t *tile) addPixels(add row, v int, mask Register) {
	for p := range t.pixels {
		at, acc := add.at(p, v*t.bytes()), t.acc[p][v]
		switch {
		case mask == nil:
			t.VADDPS(at, acc, acc)
		case t.wide():
			t.VADDPS(at, acc, mask, acc)
		default:
			x := t.YMM()
			t.VMASKMOVPS(at, mask, x)
			t.VADDPS(x, acc, acc)
		}
	}
}

func (t *tile) clampBounds() (lo, hi VecVirtual) {
	lo, hi = t.vec(), t.vec()
	a := t.args()
	t.VBROADCASTSS(field(a, tileLo), lo)
	t.VBROADCASTSS(field(a, tileHi), hi)
	return lo, hi
}

// storePixels clamps and stores vector v of the pixels. The accumulator is the
// second source of minimum and maximum: NaN passes.
func (t *tile) storePixels(dst row, v int, mask Register, lo, hi VecVirtual) {
	for p := range t.pixels {
		at, acc := dst.at(p, v*t.bytes()), t.acc[p][v]
		t.VMAXPS(acc, lo, acc)
		t.VMINPS(acc, hi, acc)
		t.storeLanes(acc, mask, at)
	}
}

// eachVector calls do for each vector of channels with its mask in a register,
// or nil without masks.
func (t *tile) eachVector(masks []Register, do func(v int, mask Register)) {
	for v := range t.vecs {
		switch {
		case masks == nil:
			do(v, nil)
		case t.wide():
			do(v, masks[v])
		default:
			mask := t.YMM()
			t.VMOVUPS(Mem{Base: masks[v]}, mask)
			do(v, mask)
		}
	}
}
