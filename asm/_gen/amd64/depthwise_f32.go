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
			d := depthwise{tile{simd: s, pixels: m, masks: masks}}
			d.declare(fmt.Sprintf("depthwiseF32x%d%s", m, s.tier),
				fmt.Sprintf("makes tiles of %d pixels of all channels, each by its own weights (see tileArgs).", m))
			d.body()
		}
	})
}

// depthwise is a tile whose channels are those of the source.
type depthwise struct{ tile }

// body emits: for each tile, for each one or two vectors of channels, for each
// tap, the channel's weight times each pixel.
func (d *depthwise) body() {
	d.Label("tile")
	at, left := d.GP64(), d.load(tileRun) // bytes to the vector of channels; how many are left
	d.XORQ(at, at)
	d.Label("channels")
	if d.wide() { // AVX2 has no registers for two
		d.CMPQ(left, I32(2*d.lanes))
		d.JL(LabelRef("one"))
		d.channels("Two", 2, at, nil)
		d.SUBQ(I32(2*d.lanes), left)
		d.JG(LabelRef("channels"))
		d.JMP(LabelRef("next"))
		d.Label("one")
	}
	d.CMPQ(left, I32(d.lanes))
	d.JL(LabelRef("part"))
	d.channels("One", 1, at, nil)
	d.SUBQ(I32(d.lanes), left)
	d.JG(LabelRef("channels"))
	d.JMP(LabelRef("next"))
	d.Label("part")
	d.channels("Part", 1, at, d.firstLanes(left, d.masks))
	d.Label("next")
	d.nextTile()
}

// channels computes vecs vectors of channels of all pixels and goes past them.
// Labels end in the kind.
func (d *depthwise) channels(kind string, vecs int, at GPVirtual, mask Register) {
	d.vecs = vecs
	d.newAccumulators()
	bias := d.load(tileBias)
	for v := range vecs {
		d.loadLanes(Mem{Base: bias, Index: at, Scale: 1, Disp: v * d.bytes()}, mask, d.acc[0][v])
		for _, acc := range d.acc[1:] {
			d.VMOVAPS(d.acc[0][v], acc[v])
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
	for v := range vecs {
		d.multiply(src, v, w, mask)
	}
	d.ADDQ(wStep, w)
	d.ADDQ(Imm(8), tap)
	d.CMPQ(tap, end)
	d.JNE(LabelRef("tap" + kind))
	d.finishChannels(kind, at, mask)
	d.ADDQ(I32(vecs*d.bytes()), at)
}

// multiply adds weights times vector v of each pixel.
func (d *depthwise) multiply(src row, v int, w GPVirtual, mask Register) {
	weights := d.vec()
	d.loadLanes(Mem{Base: w, Disp: v * d.bytes()}, mask, weights)
	for p, acc := range d.acc {
		at := src.at(p, v*d.bytes())
		switch {
		case mask == nil:
			d.VFMADD231PS(at, weights, acc[v])
		case d.wide():
			d.VFMADD231PS(at, weights, mask, acc[v])
		default:
			x := d.YMM()
			d.VMASKMOVPS(at, mask, x)
			d.VFMADD231PS(x, weights, acc[v])
		}
	}
}

// finishChannels adds the residual, clamps and stores.
func (d *depthwise) finishChannels(kind string, at GPVirtual, mask Register) {
	n := d.load(tileAdd + sliceLen)
	d.TESTQ(n, n)
	d.JZ(LabelRef("clamp" + kind))
	first := d.address(tileAdd, tileAddPos)
	d.ADDQ(at, first)
	add := d.row(first, d.stride(tileAddStep))
	for v := range d.vecs {
		d.addPixels(add, v, mask)
	}
	d.Label("clamp" + kind)
	first = d.address(tileDst, tileDstPos)
	d.ADDQ(at, first)
	lo, hi := d.clampBounds()
	dst := d.row(first, d.stride(tileDstStep))
	for v := range d.vecs {
		d.storePixels(dst, v, mask, lo, hi)
	}
}
