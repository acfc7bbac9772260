package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// depthwisePixels is how many pixels a kernel has at most.
var depthwisePixels = map[string]int{"AVX512": 14, "AVX2": 12}

func depthwiseF32(c *Context) {
	masks := laneMasks(c, "depthwiseF32Masks")
	bothTiers(c, func(s simd) {
		for m := 1; m <= depthwisePixels[s.tier]; m++ {
			d := depthwise{tile{simd: s, pixels: m, vecs: 1, masks: masks}}
			d.declare(fmt.Sprintf("depthwiseF32x%d%s", m, s.tier),
				fmt.Sprintf("makes tiles of %d pixels of all channels, each by its own weights (see tileArgs).", m))
			d.body()
		}
	})
}

// depthwise is a tile whose channels are those of the source.
type depthwise struct{ tile }

// body emits: for each tile, for each vector of channels, for each tap, the
// channel's weight times each pixel.
func (d *depthwise) body() {
	d.Label("tile")
	at, left := d.GP64(), d.load(tileRun) // bytes to the vector of channels; how many are left
	d.XORQ(at, at)
	d.Label("channels")
	if d.wide() {
		d.channels(at, d.firstLanes(left, d.masks))
	} else {
		d.CMPQ(left, Imm(uint64(d.lanes)))
		d.JL(LabelRef("part"))
		d.channels(at, nil)
		d.JMP(LabelRef("done"))
		d.Label("part")
		d.channels(at, d.firstLanes(left, d.masks))
		d.Label("done")
	}
	d.ADDQ(Imm(uint64(d.bytes())), at)
	d.SUBQ(Imm(uint64(d.lanes)), left)
	d.JG(LabelRef("channels"))
	d.nextTile()
}

// channels sums one vector of channels of all pixels.
func (d *depthwise) channels(at GPVirtual, mask Register) {
	kind := "Whole"
	if mask != nil && !d.wide() {
		kind = "Part"
	}
	d.newAccumulators()
	bias := d.load(tileBias)
	for p := range d.acc {
		if p == 0 {
			d.loadLanes(Mem{Base: bias, Index: at, Scale: 1}, mask, d.acc[0][0])
		} else {
			d.VMOVAPS(d.acc[0][0], d.acc[p][0])
		}
	}
	w := d.load(tileW)
	d.ADDQ(at, w)
	wStep := d.stride(tileRun)
	tap := d.load(tileTaps)
	end := d.GP64()
	d.MOVQ(field(d.args(), tileTaps+sliceLen), end)
	d.LEAQ(Mem{Base: tap, Index: end, Scale: 8}, end)
	base := d.address(tileSrc, tileSrcPos)
	d.ADDQ(at, base)
	stride := d.stride(tileSrcStep)

	d.Label("tap" + kind)
	first := d.GP64()
	d.MOVQ(Mem{Base: tap}, first)
	d.LEAQ(Mem{Base: base, Index: first, Scale: 4}, first)
	src := d.row(first, stride)
	weights := d.vec()
	d.loadLanes(Mem{Base: w}, mask, weights)
	for p := range d.pixels {
		switch {
		case mask == nil:
			d.VFMADD231PS(src.at(p, 0), weights, d.acc[p][0])
		case d.wide():
			d.VFMADD231PS(src.at(p, 0), weights, mask, d.acc[p][0])
		default:
			x := d.YMM()
			d.VMASKMOVPS(src.at(p, 0), mask, x)
			d.VFMADD231PS(x, weights, d.acc[p][0])
		}
	}
	d.ADDQ(wStep, w)
	d.ADDQ(Imm(8), tap)
	d.CMPQ(tap, end)
	d.JNE(LabelRef("tap" + kind))
	d.finishChannels(kind, at, mask)
}

// finishChannels adds the residual, clamps and stores.
func (d *depthwise) finishChannels(kind string, at GPVirtual, mask Register) {
	n := d.load(tileAdd + sliceLen)
	d.TESTQ(n, n)
	d.JZ(LabelRef("clamp" + kind))
	first := d.address(tileAdd, tileAddPos)
	d.ADDQ(at, first)
	d.addPixels(d.row(first, d.stride(tileAddStep)), 0, mask)
	d.Label("clamp" + kind)
	first = d.address(tileDst, tileDstPos)
	d.ADDQ(at, first)
	lo, hi := d.clampBounds()
	d.storePixels(d.row(first, d.stride(tileDstStep)), 0, mask, lo, hi)
}
