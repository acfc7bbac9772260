package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of blockArgs (TestBlockArgsLayout pins them).
const (
	bkCodes, bkScales, bkZeros, bkStart, bkX, bkDst = 0, 24, 48, 72, 96, 120
	bkXStep, bkMeta, bkDstStep, bkBlocks, bkPairs   = 144, 152, 160, 168, 176
)

const (
	blockOutputs = 16 // of a panel
	blockLine    = 64 // bytes of codes that are loaded together
)

// blockS8 emits kernels of rows of bytes by a panel of weights of a few bits, with a scale for each block of them.
type blockS8 struct {
	simd
	rows, bits     int
	acc, sum       []VecVirtual // by row: of the block, of all blocks
	x, meta        [2]GPVirtual // of rows 0 and 4
	step, thrice   GPVirtual    // from a row to the next, in bytes
	mask, ones, by VecVirtual   // of the low four bits; words of 1 and of 16, for machines without dot products of bytes
}

func blocksS8(c *Context) {
	for _, k := range []struct {
		simd
		rows int
	}{{simd{c, 16, "AVX512"}, 8}, {simd{c, 8, "AVXVNNI"}, 4}, {simd{c, 8, "AVX2"}, 4}} {
		for _, bits := range []int{4, 8} {
			for rows := 1; rows <= k.rows; rows++ {
				b := &blockS8{simd: k.simd, rows: rows, bits: bits}
				b.declare(fmt.Sprintf("blockS%dx%d", bits, rows), fmt.Sprintf("makes %d rows of a panel (see blockArgs).", rows), "blockArgs")
				b.emit()
			}
		}
	}
}

// field loads a field of the arguments.
func (b *blockS8) field(args Register, at int) GPVirtual {
	x := b.GP64()
	b.MOVQ(Mem{Base: args, Disp: at}, x)
	return x
}

// row returns the address of a row's data.
func (b *blockS8) row(bases [2]GPVirtual, row, disp int) Mem {
	m := Mem{Base: bases[row/4], Disp: disp}
	switch row % 4 {
	case 1:
		m.Index, m.Scale = b.step, 1
	case 2:
		m.Index, m.Scale = b.step, 2
	case 3:
		m.Index, m.Scale = b.thrice, 1
	}
	return m
}

// emit goes through the blocks, twice if a vector holds half of the outputs.
func (b *blockS8) emit() {
	args := b.Load(b.Param("a"), b.GP64())
	b.step, b.thrice = b.field(args, bkXStep), b.GP64()
	b.LEAQ(Mem{Base: b.step, Index: b.step, Scale: 2}, b.thrice)
	b.constants()
	half := b.GP64() // outputs that are done, in bytes of a vector of 32 bits
	b.XORQ(half, half)
	b.Label("half")
	codes, scales, zeros := b.field(args, bkCodes), b.field(args, bkScales), b.field(args, bkZeros)
	if !b.wide() {
		b.ADDQ(half, codes)
		b.ADDQ(half, scales)
		quarter := b.GP64()
		b.MOVQ(half, quarter)
		b.SHRQ(Imm(2), quarter)
		b.ADDQ(quarter, zeros)
	}
	b.setRows(args, half)
	blocks := b.field(args, bkBlocks)
	b.Label("block")
	for r := range b.rows {
		b.clear(b.acc[r])
	}
	pairs := b.field(args, bkPairs)
	b.Label("pair")
	b.products(codes)
	for i := 0; i < b.rows; i += 4 {
		b.ADDQ(Imm(8), b.x[i/4])
	}
	b.ADDQ(Imm(uint64(blockLine*b.bits/4)), codes)
	b.DECQ(pairs)
	b.JNZ(LabelRef("pair"))
	b.endBlock(scales, zeros)
	b.ADDQ(Imm(4*blockOutputs), scales)
	b.ADDQ(Imm(blockOutputs), zeros)
	b.DECQ(blocks)
	b.JNZ(LabelRef("block"))
	b.store(args, half)
	if !b.wide() {
		b.ADDQ(Imm(32), half)
		b.CMPQ(half, Imm(64))
		b.JL(LabelRef("half"))
	}
	b.VZEROUPPER()
	b.RET()
}

// constants fills vectors that do not change.
func (b *blockS8) constants() {
	fill := func(pattern uint32) VecVirtual {
		x, v := b.GP32(), b.vec()
		b.MOVL(U32(pattern), x)
		b.VMOVD(x, v.AsX())
		b.VPBROADCASTD(v.AsX(), v)
		return v
	}
	if b.bits == 4 || b.tier == "AVX2" {
		b.mask = fill(0x0f0f0f0f)
	}
	if b.tier == "AVX2" {
		b.ones = fill(0x00010001)
		if b.bits == 8 {
			b.by = fill(0x00100010)
		}
	}
}

// setRows sets the rows to their first block and the sums to the start.
func (b *blockS8) setRows(args Register, half GPVirtual) {
	b.acc, b.sum = nil, nil
	x, meta, start := b.field(args, bkX), b.field(args, bkMeta), b.field(args, bkStart)
	b.ADDQ(x, meta)
	b.x[0], b.meta[0] = x, meta
	if b.rows > 4 {
		b.x[1], b.meta[1] = b.GP64(), b.GP64()
		b.LEAQ(Mem{Base: x, Index: b.step, Scale: 4}, b.x[1])
		b.LEAQ(Mem{Base: meta, Index: b.step, Scale: 4}, b.meta[1])
	}
	for range b.rows {
		v := b.vec()
		b.VMOVUPS(Mem{Base: start, Index: half, Scale: 1}, v)
		b.sum, b.acc = append(b.sum, v), append(b.acc, b.vec())
	}
}

// products adds the products of eight weights of each output.
func (b *blockS8) products(codes GPVirtual) {
	if b.bits == 4 {
		low, high := b.vec(), b.vec()
		b.load(Mem{Base: codes}, low)
		b.VPSRLW(Imm(4), low, high)
		b.and(b.mask, low)
		b.and(b.mask, high)
		b.quads4(low, high)
		return
	}
	for q := range 2 {
		v := b.vec()
		b.load(Mem{Base: codes, Disp: blockLine * q}, v)
		if b.tier == "AVX2" {
			b.quad8(v, 4*q)
			continue
		}
		for r := range b.rows {
			b.dot(b.row(b.x, r, 4*q), v, b.acc[r])
		}
	}
}

func (b *blockS8) clear(v VecVirtual) {
	if b.wide() {
		b.VPXORD(v, v, v)
	} else {
		b.VPXOR(v, v, v)
	}
}

func (b *blockS8) load(m Mem, v VecVirtual) {
	if b.wide() {
		b.VMOVDQU64(m, v)
	} else {
		b.VMOVDQU(m, v)
	}
}

func (b *blockS8) and(mask, v VecVirtual) {
	if b.wide() {
		b.VPANDD(mask, v, v)
	} else {
		b.VPAND(mask, v, v)
	}
}

// dot adds the products of four signed bytes at m and those of each lane of u.
func (b *blockS8) dot(m Mem, u, acc VecVirtual) {
	if b.wide() {
		b.VPDPBUSD_BCST(m, u, acc)
		return
	}
	x := b.vec()
	b.VPBROADCASTD(m, x)
	b.VPDPBUSD(x, u, acc)
}

// quads4 adds the products of two quads of codes of four bits. Without dot products of bytes sums of four
// products of at most 15*127 fit in 16 bits.
func (b *blockS8) quads4(low, high VecVirtual) {
	for r := range b.rows {
		if b.tier != "AVX2" {
			b.dot(b.row(b.x, r, 0), low, b.acc[r])
			b.dot(b.row(b.x, r, 4), high, b.acc[r])
			continue
		}
		p, q := b.vec(), b.vec()
		b.VPBROADCASTD(b.row(b.x, r, 0), p)
		b.VPBROADCASTD(b.row(b.x, r, 4), q)
		b.VPMADDUBSW(p, low, p)
		b.VPMADDUBSW(q, high, q)
		b.VPADDW(p, q, p)
		b.VPMADDWD(b.ones, p, p)
		b.VPADDD(p, b.acc[r], b.acc[r])
	}
}

// quad8 adds the products of a quad of bytes by their halves of four bits, so that sums fit in 16 bits.
func (b *blockS8) quad8(v VecVirtual, disp int) {
	high := b.vec()
	b.VPSRLW(Imm(4), v, high)
	b.and(b.mask, v)
	b.and(b.mask, high)
	for r := range b.rows {
		p, q := b.vec(), b.vec()
		b.VPBROADCASTD(b.row(b.x, r, disp), p)
		b.VPMADDUBSW(p, high, q)
		b.VPMADDUBSW(p, v, p)
		b.VPMADDWD(b.by, q, q)
		b.VPMADDWD(b.ones, p, p)
		b.VPADDD(q, b.acc[r], b.acc[r])
		b.VPADDD(p, b.acc[r], b.acc[r])
	}
}

// endBlock takes the zero points off and adds the block to the sums.
func (b *blockS8) endBlock(scales, zeros GPVirtual) {
	scale, zero := b.vec(), b.vec()
	b.VMOVUPS(Mem{Base: scales}, scale)
	b.VPMOVZXBD(Mem{Base: zeros}, zero)
	for r := range b.rows {
		step, sum := b.vec(), b.vec()
		b.VBROADCASTSS(b.row(b.meta, r, 0), step)
		b.VPBROADCASTD(b.row(b.meta, r, 4), sum)
		b.VPMADDWD(sum, zero, sum) // the upper words of zero are 0
		b.VPSUBD(sum, b.acc[r], b.acc[r])
		b.VCVTDQ2PS(b.acc[r], b.acc[r])
		b.VMULPS(step, scale, step)
		b.VMULPS(step, b.acc[r], step)
		b.VADDPS(step, b.sum[r], b.sum[r])
	}
	for i := 0; i < b.rows; i += 4 {
		b.ADDQ(Imm(8), b.meta[i/4])
	}
}

// store writes the sums.
func (b *blockS8) store(args Register, half GPVirtual) {
	dst, step := b.field(args, bkDst), b.field(args, bkDstStep)
	b.ADDQ(half, dst)
	b.SHLQ(Imm(2), step)
	for r := range b.rows {
		b.VMOVUPS(b.sum[r], Mem{Base: dst})
		if r+1 < b.rows {
			b.ADDQ(step, dst)
		}
	}
}
