package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of depthwiseArgsS8 (TestArgsLayoutS8 pins them).
const (
	dwSrc, dwWeights, dwWeights16, dwBias, dwAcc, dwTaps = 0, 24, 48, 72, 96, 120
	dwSrcStep, dwPixels, dwDst, dwDstStep, dwChannels    = 144, 152, 160, 184, 192
)

var dwFields = rescaleFields{zero: 200, lo: 204, hi: 208, scale: 212, mul: 340, shift: 468}

// depthwiseS8 emits kernels for a row of pixels and a panel of vecs vectors of eight channels.
//
// Interleaving the bytes of four taps within the 128-bit lanes leaves the
// channels in another order, which packing at the end undoes: vector v holds channels
// 4v to 4v+3 of each half of the panel.
type depthwiseS8 struct {
	rescaler
	vecs int
	out  Register // sums or bytes
	mask Register // of the channels in use; avx512 only

	zero           VecVirtual   // in each 16-bit lane
	floor, ceiling VecVirtual   // the range, in each byte
	scales         []VecVirtual // of the panel's vectors, where there are registers to keep them in
}

func depthwiseS8s(c *Context) {
	for _, k := range []struct {
		simd
		vecs int
	}{{simd{c, 8, "AVX2"}, 2}, {simd{c, 8, "AVXVNNI"}, 2}, {simd{c, 8, "AVX512"}, 4}} {
		d := newDepthwiseS8(k.simd, k.vecs, "depthwiseS8Sums", "makes sums (see depthwiseKernelS8).")
		d.general(d.storeSums)
		for _, m := range modes {
			d := newDepthwiseS8(k.simd, k.vecs, "depthwiseS8"+m.name, "makes bytes (see depthwiseKernelS8).")
			d.prepare(m.prepare)
			d.general(d.storeBytes)
		}
	}
	for stride := 1; stride <= 2; stride++ {
		for _, m := range modes {
			name := fmt.Sprintf("depthwiseS8Rolling%d%s", stride, m.name)
			tiers := []simd{{c, 8, "AVX2"}, {c, 8, "AVXVNNI"}, {c, 8, "AVX512"}}
			if m.name == "Multiplier" { // takes too many registers
				tiers = tiers[2:]
			}
			for _, s := range tiers {
				d := newDepthwiseS8(s, 2, name, "makes bytes (see depthwiseKernelS8).")
				if s.evex() {
					d.vecs = 4
				}
				d.prepare(m.prepare)
				if m.name == "Float" && d.dot() {
					d.keepScales()
				}
				d.rolling(stride)
			}
		}
	}
}

// dot reports whether there are instructions that add four products of bytes: weights are bytes then.
func (d *depthwiseS8) dot() bool { return d.tier != "AVX2" }

func newDepthwiseS8(s simd, vecs int, name, doc string) *depthwiseS8 {
	s.declare(name, doc, "depthwiseArgsS8")
	d := &depthwiseS8{vecs: vecs}
	d.rescaler = rescaler{simd: s, args: s.Load(s.Param("a"), s.GP64()), at: dwFields}
	d.out = d.field(dwAcc)
	return d
}

// prepare readies the kernel for bytes as output.
func (d *depthwiseS8) prepare(mode func(*rescaler)) {
	d.out = d.field(dwDst)
	d.zero, d.floor, d.ceiling = d.YMM(), d.YMM(), d.YMM()
	d.VPBROADCASTW(Mem{Base: d.args, Disp: dwFields.zero}, d.zero)
	d.VPBROADCASTB(Mem{Base: d.args, Disp: dwFields.lo}, d.floor)
	d.VPBROADCASTB(Mem{Base: d.args, Disp: dwFields.hi}, d.ceiling)
	d.clamps = true
	if d.evex() {
		bits := d.GP64()
		d.MOVQ(I64(-1), bits)
		d.BZHIQ(d.field(dwChannels), bits, bits)
		d.mask = d.K()
		d.KMOVD(bits.As32(), d.mask)
	}
	mode(&d.rescaler)
}

func (d *depthwiseS8) keepScales() {
	for v := range d.vecs {
		d.scales = append(d.scales, d.YMM())
		d.VMOVUPS(Mem{Base: d.args, Disp: d.at.scale + 32*v}, d.scales[v])
	}
}

// newSums returns accumulators that hold the bias.
func (d *depthwiseS8) newSums() []VecVirtual {
	bias := d.field(dwBias)
	acc := make([]VecVirtual, d.vecs)
	for v := range acc {
		acc[v] = d.YMM()
		d.VMOVUPS(Mem{Base: bias, Disp: 32 * v}, acc[v])
	}
	return acc
}

// general emits the loop over pixels and, in each, over fours of taps.
func (d *depthwiseS8) general(store func(acc []VecVirtual)) {
	src, pixels := d.field(dwSrc), d.field(dwPixels)
	d.Label("pixel")
	acc := d.newSums()
	weights := d.weights()
	tap, count := d.field(dwTaps), d.field(dwTaps+sliceLen)
	d.Label("taps")
	var rows [4]Mem
	for i := range rows {
		at := d.GP64()
		d.MOVQ(Mem{Base: tap, Disp: 8 * i}, at)
		rows[i] = Mem{Base: src, Index: at, Scale: 1}
	}
	d.products(rows[:], weights, acc)
	d.ADDQ(U32(uint32(d.fourTaps())), weights)
	d.ADDQ(Imm(32), tap)
	d.SUBQ(Imm(4), count)
	d.JNZ(LabelRef("taps"))
	store(acc)
	d.ADDQ(d.field(dwSrcStep), src)
	d.DECQ(pixels)
	d.JNZ(LabelRef("pixel"))
	d.VZEROUPPER()
	d.RET()
}

// weights returns the address of the weights, of which those of four taps take so many bytes.
func (d *depthwiseS8) weights() GPVirtual {
	if d.dot() {
		return d.field(dwWeights)
	}
	return d.field(dwWeights16)
}

func (d *depthwiseS8) fourTaps() int {
	if d.dot() {
		return 32 * d.vecs
	}
	return 64 * d.vecs
}

// products adds the products of three or four taps: with the first four of the weights to sums[0],
// with the next four to sums[1], and so on, where they are not nil.
func (d *depthwiseS8) products(rows []Mem, weights Register, sums ...[]VecVirtual) {
	if !d.dot() {
		d.products256(rows, weights, sums)
		return
	}
	for v, x := range d.interleave(rows) {
		for i, acc := range sums {
			if acc == nil {
				continue
			}
			at := Mem{Base: weights, Disp: d.fourTaps()*i + 32*v}
			if d.evex() {
				d.VPDPBUSD(at, x, acc[v])
				continue
			}
			w := d.YMM()
			d.VMOVDQU(at, w)
			d.VPDPBUSD(w, x, acc[v])
		}
	}
}

// interleave16 is interleave for 16 channels.
func (d *depthwiseS8) interleave16(rows []Mem) []VecVirtual {
	x := make([]VecVirtual, len(rows))
	for i := range x {
		x[i] = d.YMM()
		d.VPMOVZXBW(rows[i], x[i])
	}
	for i := 1; i < len(x); i += 2 {
		d.VPSLLW(Imm(8), x[i], x[i])
		d.VPOR(x[i], x[i-1], x[i-1])
	}
	low := d.YMM()
	d.VPUNPCKLWD(x[2], x[0], low)
	d.VPUNPCKHWD(x[2], x[0], x[0])
	return []VecVirtual{low, x[0]}
}

// interleave loads 32 channels of three or four taps and returns, for each vector, the
// taps' bytes of its channels side by side; or 16 channels in two vectors.
func (d *depthwiseS8) interleave(rows []Mem) []VecVirtual {
	if !d.evex() {
		return d.interleave16(rows)
	}
	x := make([]VecVirtual, 4)
	for i := range x {
		x[i] = d.YMM()
		if i < len(rows) {
			d.VMOVDQU8(rows[i], x[i])
		} else {
			d.VPXORD(x[i], x[i], x[i])
		}
	}
	var halves [2][2]VecVirtual // [taps 0 and 1, taps 2 and 3][lower, upper half of each lane]
	for i := range halves {
		halves[i] = [2]VecVirtual{d.YMM(), d.YMM()}
		d.VPUNPCKLBW(x[2*i+1], x[2*i], halves[i][0])
		d.VPUNPCKHBW(x[2*i+1], x[2*i], halves[i][1])
	}
	out := make([]VecVirtual, 4)
	for i := range 2 {
		out[2*i], out[2*i+1] = d.YMM(), d.YMM()
		d.VPUNPCKLWD(halves[1][i], halves[0][i], out[2*i])
		d.VPUNPCKHWD(halves[1][i], halves[0][i], out[2*i+1])
	}
	return out
}

// products256 widens to 16 bits, interleaves two taps, and adds pairs of products. The third of three taps
// makes a pair with itself: the second weight is zero.
func (d *depthwiseS8) products256(rows []Mem, weights Register, sums [][]VecVirtual) {
	for i := 0; i < len(rows); i += 2 {
		x, low, high := d.YMM(), d.YMM(), d.YMM()
		d.VPMOVZXBW(rows[i], x)
		y := x
		if i+1 < len(rows) {
			y = d.YMM()
			d.VPMOVZXBW(rows[i+1], y)
		}
		d.VPUNPCKLWD(y, x, low)
		d.VPUNPCKHWD(y, x, high)
		for v, pairs := range []VecVirtual{low, high} {
			for j, acc := range sums {
				if acc != nil {
					product := d.YMM()
					d.VPMADDWD(Mem{Base: weights, Disp: d.fourTaps()*j + 32*i + 32*v}, pairs, product)
					d.VPADDD(product, acc[v], acc[v])
				}
			}
		}
	}
}

// rolling emits the loop for 3x3 kernels of stride 1 or 2: each interleaved column
// adds to all the pixels that see it.
func (d *depthwiseS8) rolling(stride int) {
	src, pixels, step := d.field(dwSrc), d.field(dwPixels), d.field(dwSrcStep)
	weights, taps := d.weights(), d.field(dwTaps)
	if stride == 2 {
		d.SHRQ(Imm(1), step)
	}
	var rows []Mem
	for i := range 3 {
		at := d.GP64()
		d.MOVQ(Mem{Base: taps, Disp: 8 * i}, at)
		d.ADDQ(src, at)
		rows = append(rows, Mem{Base: at})
	}
	// column adds the next column to accumulators: as kernel column i to sums[i].
	column := func(sums ...[]VecVirtual) {
		d.products(rows, weights, sums...)
		for _, r := range rows {
			d.ADDQ(step, r.Base)
		}
	}
	// Stride 1 has three pixels under way, stride 2 has two: they take turns.
	var sums [][]VecVirtual
	for range 4 - stride {
		sums = append(sums, d.newSums())
	}
	column(sums[0])
	if stride == 1 {
		column(sums[1], sums[0])
	}
	d.Label("pixel")
	for i, first := range sums {
		if next := sums[(i+1)%len(sums)]; stride == 1 {
			column(sums[(i+2)%3], next, first)
		} else {
			column(nil, first)
			column(next, nil, first)
		}
		d.storeBytes(first)
		d.DECQ(pixels)
		d.JZ(LabelRef("done"))
		bias := d.field(dwBias)
		for v := range first {
			d.VMOVUPS(Mem{Base: bias, Disp: 32 * v}, first[v])
		}
	}
	d.JMP(LabelRef("pixel"))
	d.Label("done")
	d.VZEROUPPER()
	d.RET()
}

// storeSums stores the sums in the order of the channels and goes on to the next pixel.
func (d *depthwiseS8) storeSums(acc []VecVirtual) {
	for v, x := range acc {
		d.VMOVDQU(x.AsX(), Mem{Base: d.out, Disp: 16 * v})
		d.VEXTRACTI128(Imm(1), x, Mem{Base: d.out, Disp: 16 * (d.vecs + v)})
	}
	d.ADDQ(U32(uint32(32*d.vecs)), d.out)
}

// storeBytes requantizes the sums, overwriting them, stores the bytes and goes on to the next pixel.
func (d *depthwiseS8) storeBytes(acc []VecVirtual) {
	q := make([]VecVirtual, d.vecs)
	for v, x := range acc {
		d.params = func(at int) VecVirtual {
			if at == d.at.scale && d.scales != nil {
				return d.scales[v]
			}
			p := d.YMM()
			d.VMOVUPS(Mem{Base: d.args, Disp: at + 32*v}, p)
			return p
		}
		d.load()
		q[v] = d.rescale(x)
	}
	for v := 0; v < d.vecs; v += 2 {
		d.VPACKSSDW(q[v+1], q[v], q[v])
		d.VPADDSW(d.zero, q[v], q[v])
	}
	if d.evex() {
		d.VPACKUSWB(q[2], q[0], q[0])
		d.clampBytes(q[0])
		d.VMOVDQU8(q[0], d.mask, Mem{Base: d.out})
	} else {
		d.VPACKUSWB(q[0], q[0], q[0])
		d.VPERMQ(Imm(0b1000), q[0], q[0])
		d.clampBytes(q[0])
		d.VMOVDQU(q[0].AsX(), Mem{Base: d.out})
	}
	d.ADDQ(d.field(dwDstStep), d.out)
}

func (d *depthwiseS8) clampBytes(v VecVirtual) {
	d.VPMAXUB(d.floor, v, v)
	d.VPMINUB(d.ceiling, v, v)
}
