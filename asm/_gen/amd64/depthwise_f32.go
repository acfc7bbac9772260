package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// depthwiseShapes lists the kernels: 1 to pixels pixels, a vector of channels
// at a time.
var depthwiseShapes = []struct {
	isa    isa
	pixels int
}{
	{avx512, 14}, {avx2, 12},
}

func depthwiseF32(c *Context) {
	masks := laneMasks(c, "depthwiseF32Masks")
	for _, s := range depthwiseShapes {
		for m := 1; m <= s.pixels; m++ {
			d := depthwise{tile{Context: c, isa: s.isa, pixels: m, vecs: 1, masks: masks}}
			d.declare(fmt.Sprintf("depthwiseF32x%d%s", m, s.isa.name),
				fmt.Sprintf("makes tiles of %d pixels of all channels, each by its own weights (see tileArgs).", m))
			d.body()
		}
	}
}

// depthwise is a tile whose channels are those of the source.
type depthwise struct{ tile }

// body emits: for each tile, for each vector of channels, for each tap, the
// channel's weight times each pixel.
func (d *depthwise) body() {
	bytes := d.isa.bytes
	d.Label("tile")
	at, left := d.GP64(), d.load(tileRun) // bytes to the vector of channels; how many are left
	d.XORQ(at, at)
	d.Label("channels")
	if d.isa == avx512 {
		d.channels(at, d.maskOf(left))
	} else {
		d.CMPQ(left, Imm(uint64(d.isa.lanes())))
		d.JL(LabelRef("part"))
		d.channels(at, nil)
		d.JMP(LabelRef("done"))
		d.Label("part")
		d.channels(at, d.maskOf(left))
		d.Label("done")
	}
	d.ADDQ(Imm(uint64(bytes)), at)
	d.SUBQ(Imm(uint64(d.isa.lanes())), left)
	d.JG(LabelRef("channels"))
	d.nextTile()
}

// maskOf returns the mask of the first left lanes: a mask register, or a
// vector in AVX2.
func (d *depthwise) maskOf(left GPVirtual) Register {
	if d.isa == avx512 {
		bits, k := d.GP64(), d.K()
		d.MOVQ(I64(-1), bits)
		d.BZHIQ(left, bits, bits) // counts from 64 on leave all bits
		d.KMOVW(bits.As32(), k)
		return k
	}
	n, table, mask := d.GP64(), d.GP64(), d.YMM()
	d.MOVQ(left, n)
	d.NEGQ(n)
	d.LEAQ(d.masks, table)
	d.VMOVUPS(Mem{Base: table, Index: n, Scale: 4, Disp: 16 * 4}, mask)
	return mask
}

// channels sums one vector of channels of all pixels.
func (d *depthwise) channels(at GPVirtual, mask Register) {
	kind := "Whole"
	if mask != nil && d.isa == avx2 {
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
	weights := d.isa.vec(d.Context)
	d.loadLanes(Mem{Base: w}, mask, weights)
	for p := range d.pixels {
		switch {
		case mask == nil:
			d.VFMADD231PS(src.at(p, 0), weights, d.acc[p][0])
		case d.isa == avx512:
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

// loadLanes loads the lanes of mask and zeroes the others.
func (d *depthwise) loadLanes(from Mem, mask Register, to VecVirtual) {
	switch {
	case mask == nil:
		d.VMOVUPS(from, to)
	case d.isa == avx512:
		d.VMOVUPS_Z(from, mask, to)
	default:
		d.VMASKMOVPS(from, mask, to)
	}
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
