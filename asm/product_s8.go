package asm

import (
	bits "encoding/binary"
	"fmt"
	"unsafe"
)

// ProductS8 multiplies matrices of bytes that are both made while a network
// runs. The second one is signed, without a zero point: like all signed bytes it comes
// with its top bit flipped, so that b stands for b - 128. A ProductS8 holds
// what [ProductS8.Set] packs, and so is for one goroutine at a time.
type ProductS8 struct {
	conv ConvS8
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
	p := &ProductS8{ConvS8{spec: ConvSpec{1, 1, 1, 1, 1, 1, 1}, m: n, c: k, passes: 1}}
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

// Set packs the second matrix: element (i, j) is b[i*ld+j]. aZero is the zero point of the first one. It panics
// when b is too short.
func (p *ProductS8) Set(b []uint8, ld int, aZero uint8) {
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
	out, bias := p.weights[q*p.width*4:][:p.width*4], p.bias[:len(rows[0])]
	a, b, c, d := rows[0], rows[1][:len(bias)], rows[2][:len(bias)], rows[3][:len(bias)]
	bytes := unsafe.Slice((*uint8)(unsafe.Pointer(&out[0])), len(out))
	for i, v := range a[:len(bias)] {
		bias[i] += int32(v) + int32(b[i]) + int32(c[i]) + int32(d[i]) - 4*128
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
	p.conv.Run(dst, a, req, nil, 0, dst.H)
}

// RunF32 is [ProductS8.Run] with float32(sum)*scale[column] as output.
func (p *ProductS8) RunF32(dst Image[float32], a Image[uint8], scale []float32) {
	p.conv.RunF32(dst, a, scale, 0, dst.H)
}
