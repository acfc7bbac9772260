package asm

import (
	bits "encoding/binary"
	"fmt"
	"slices"
	"unsafe"
)

// ProductS8 multiplies matrices of bytes, each with a zero point, that are both made
// while a network runs. It packs the second one as b - 128; what that differs from b less its zero point
// is made up for row by row. A ProductS8 holds what [ProductS8.Set] packs,
// and so is for one goroutine at a time.
type ProductS8 struct {
	conv  ConvS8
	aZero int32
	rest  int32   // the second matrix's zero point less 128
	less  []int32 // the corrections of rows (memory for them)
}

// NewProductS8 returns the product by k by n matrices. It fails unless k and n are at
// least 1 and k at most [MaxSumLength].
func NewProductS8(k, n int) (*ProductS8, error) {
	return newProductS8(k, n, tilesS8)
}

func newProductS8(k, n int, tiles *tileKernelS8) (*ProductS8, error) {
	if k < 1 || n < 1 || k > MaxSumLength {
		return nil, fmt.Errorf("asm: product by a matrix of %d by %d", k, n)
	}
	p := &ProductS8{conv: ConvS8{spec: ConvSpec{1, 1, 1, 1, 1, 1, 1}, m: n, c: k, passes: 1}}
	packer := packerS8{inner: k, area: 1, passes: 1}
	p.conv.panels = packer.layOut(tiles, n, 1)
	for i := range p.conv.panels {
		panel := &p.conv.panels[i]
		panel.quads = (k + 3) / 4
		panel.bias = aligned[int32](panel.width)
		if size := panel.quads * 4 * panel.width; tiles.wide {
			panel.weights16 = aligned[int16](size)
		} else {
			panel.weights = aligned[int8](size)
		}
	}
	return p, nil
}

// Set packs the second matrix: element (i, j) is b[i*ld+j]. aZero and bZero are the zero points of
// the first one and of this one; sums are in int32, which wraps around beyond it. It panics when b is too short.
func (p *ProductS8) Set(b []uint8, ld int, aZero, bZero uint8) {
	p.aZero, p.rest = int32(aZero), int32(bZero)-128
	k, n := p.conv.c, p.conv.m
	if ld < n || len(b) < (k-1)*ld+n {
		panic(fmt.Sprintf("asm: %d bytes for a matrix of %d by %d, rows %d apart", len(b), k, n, ld))
	}
	readRange(b)
	for i := range p.conv.panels {
		panel := &p.conv.panels[i]
		clear(panel.bias)
		for q := range panel.quads {
			var rows [4][]uint8
			for j := range rows {
				rows[j] = noBytes[:panel.channels]
				if at := 4*q + j; at < k {
					rows[j] = b[at*ld+panel.first:][:panel.channels]
				}
			}
			if panel.weights16 != nil {
				panel.setWideQuad(q, &rows)
			} else {
				panel.setQuad(q, &rows)
			}
		}
		for j := range panel.bias {
			panel.bias[j] *= panel.kernel.offset - int32(aZero)
		}
	}
}

// noBytes stand for the rows behind the last: zeros, as signed bytes are stored.
var noBytes = func() (b [256]uint8) {
	for i := range b {
		b[i] = 128
	}
	return b
}()

// setQuad packs four rows of a matrix and adds them to the bias.
func (p *panelS8) setQuad(q int, rows *[4][]uint8) {
	packQuad(p.weights[q*p.width*4:], p.bias, rows[0], rows[1], rows[2], rows[3])
}

// packQuad interleaves four rows of signed bytes that are stored with their top bit flipped,
// column by column, and adds up each column.
var packQuad = pick[func(out []int8, sums []int32, a, b, c, d []uint8)]("packQuad", active)

func packQuadGeneric(out []int8, sums []int32, a, b, c, d []uint8) {
	if len(a) == 0 {
		return
	}
	sums, b, c, d = sums[:len(a)], b[:len(a)], c[:len(a)], d[:len(a)]
	bytes := unsafe.Slice((*uint8)(unsafe.Pointer(&out[0])), 4*len(a))
	for i, v := range a {
		sums[i] += int32(v) + int32(b[i]) + int32(c[i]) + int32(d[i]) - 4*128
		bits.LittleEndian.PutUint32(bytes[4*i:], (uint32(v)|uint32(b[i])<<8|uint32(c[i])<<16|uint32(d[i])<<24)^0x80808080)
	}
}

// setWideQuad is setQuad for kernels that take weights of 16 bits.
func (p *panelS8) setWideQuad(q int, rows *[4][]uint8) {
	for j, row := range rows {
		for i, v := range row {
			w := int16(v) - 128
			p.weights16[((2*q+j/2)*p.width+i)*2+j%2] = w
			p.bias[i] += int32(w)
		}
	}
}

// Run computes dst, rows by n, from the first matrix a, rows by k (images made
// by [Rows]): the sums of products with what Set packed, requantized by req. a must reach
// [ReadSlack] bytes beyond its last element; dst must not overlap it.
func (p *ProductS8) Run(dst, a Image[uint8], req *Requant) {
	if p.rest == 0 {
		p.conv.Run(dst, a, req, nil, 0, dst.H)
		return
	}
	checkImageS8(&p.conv, dst, a, 0, dst.H)
	checkRequant(&p.conv, req)
	less := p.corrections(a)
	p.conv.each(a, dst.W, dst.gapless(), 0, dst.H, func(sums sumsS8) {
		for i, less := range less[sums.x:][:sums.pixels] {
			acc := sums.acc[i*sums.p.width:][:sums.p.width]
			for j := range acc {
				acc[j] -= less
			}
		}
		req.sums(&sums, dst)
	})
}

// RunF32 is [ProductS8.Run] with float32(sum)*scale[column] as output.
func (p *ProductS8) RunF32(dst Image[float32], a Image[uint8], scale []float32) {
	if p.rest == 0 {
		p.conv.RunF32(dst, a, scale, 0, dst.H)
		return
	}
	checkImageS8(&p.conv, dst, a, 0, dst.H)
	checkScales(&p.conv, scale)
	less := p.corrections(a)
	p.conv.each(a, dst.W, dst.gapless(), 0, dst.H, func(sums sumsS8) { sums.scaled(dst, scale, less[sums.x:]) })
}

// corrections returns what has to be subtracted from the sums of each row: what its
// elements, less their zero point, add up to, times rest.
func (p *ProductS8) corrections(a Image[uint8]) []int32 {
	p.less = slices.Grow(p.less[:0], a.W)[:a.W]
	for i := range p.less {
		row := a.Data[i*a.PixStride:][:p.conv.c]
		p.less[i] = p.rest * (sumBytes(row) - p.aZero*int32(len(row)))
	}
	return p.less
}

// sumBytes adds up bytes, eight at a time: pairs of them in fields of 16 bits, which take 128 pairs.
func sumBytes(x []uint8) (sum int32) {
	const pairs = 0x00ff00ff00ff00ff
	for len(x) >= 8 {
		block := x[:min(len(x)&^7, 8*128)]
		x = x[len(block):]
		var fields uint64
		for ; len(block) > 0; block = block[8:] {
			v := bits.LittleEndian.Uint64(block)
			fields += v&pairs + v>>8&pairs
		}
		sum += int32(fields&0xffff + fields>>16&0xffff + fields>>32&0xffff + fields>>48)
	}
	for _, v := range x {
		sum += int32(v)
	}
	return sum
}
