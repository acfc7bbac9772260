package asm

import (
	"fmt"
	"math"
	"unsafe"
)

const (
	blockOutputs = 16  // of a panel
	maxBlock     = 128 // weights that share a scale to the kernels: a block of more is several with the same scale
)

// BlockWeights is a matrix of n outputs by k weights of 4 or 8 bits, w = scale*(code-zero) with a scale and a zero point
// for each block of weights of an output, packed for products with rows of floats that are brought to 8 bits on the way.
//
// With q the integers of a row and s their scales, both from [BlockRows], output o is start[o] plus, block b after block,
// float32(sum of q*(code-zero)) * (scale[o][b]*s[b]), every operation rounded to float32. It is the same on every machine.
type BlockWeights struct {
	n, k, bits int
	block      int // of the kernels
	blocks     int
	codes      []uint8   // by panel, block, four weights: those of 16 outputs; of 4 bits the next four are in the upper halves
	scales     []float32 // by panel, block, output
	zeros      []uint8   // likewise
	start      []float32 // by output
}

// PackBlocks packs a matrix. A block is a power of two from 16 up. codes writes the codes of an output, a byte each; scale and zero tell those of block b
// of output o. start is what sums begin with, nil for zeros.
func PackBlocks(n, k, bits, block int, codes func(o int, row []uint8), scale func(o, b int) float32, zero func(o, b int) uint8, start []float32) (*BlockWeights, error) {
	if n < 1 || k < 1 || bits != 4 && bits != 8 || block < 16 || block&(block-1) != 0 || start != nil && len(start) != n {
		return nil, fmt.Errorf("asm: a matrix of %d by %d weights of %d bits in blocks of %d", n, k, bits, block)
	}
	w := &BlockWeights{n: n, k: k, bits: bits, block: min(block, maxBlock)}
	w.blocks = (k + w.block - 1) / w.block
	w.codes = aligned[uint8](w.Panels() * w.panelCodes())
	w.scales = aligned[float32](w.Panels() * w.blocks * blockOutputs)
	w.zeros = aligned[uint8](w.Panels() * w.blocks * blockOutputs)
	w.start = make([]float32, w.Panels()*blockOutputs)
	copy(w.start, start)
	row := make([]uint8, w.blocks*w.block)
	for o := range n {
		codes(o, row[:k])
		w.setRow(o, row)
		for b := range w.blocks {
			at := (o/blockOutputs*w.blocks+b)*blockOutputs + o%blockOutputs
			of := b * w.block / block
			w.scales[at], w.zeros[at] = scale(o, of), zero(o, of)
		}
	}
	return w, nil
}

// Panels returns into how many parts the outputs can be cut.
func (w *BlockWeights) Panels() int { return (w.n + blockOutputs - 1) / blockOutputs }

// Outputs returns the outputs of panels [p0, p1): those from the first to before the last.
func (w *BlockWeights) Outputs(p0, p1 int) (from, to int) {
	return min(p0*blockOutputs, w.n), min(p1*blockOutputs, w.n)
}

// panelCodes returns the bytes of a panel's codes.
func (w *BlockWeights) panelCodes() int { return w.blocks * w.block * blockOutputs * w.bits / 8 }

// setRow packs the codes of an output.
func (w *BlockWeights) setRow(o int, row []uint8) {
	panel := w.codes[o/blockOutputs*w.panelCodes():]
	lane := o % blockOutputs * 4
	for i, code := range row {
		quad := i / 4
		if w.bits == 4 {
			panel[quad/2*64+lane+i%4] |= code & 15 << (quad % 2 * 4)
		} else {
			panel[quad*64+lane+i%4] = code
		}
	}
}

// BlockRows are rows of floats brought to 8 bits, block by block: q = round(x/s), to even, with s the largest magnitude of the
// block by 127; what is no number becomes 0. The zero value is ready for use.
type BlockRows struct {
	count int
	step  int     // bytes of a row
	meta  int     // where its blocks' scales and sums are
	data  []uint8 // by row: the integers, then a scale and a sum of integers for each block
}

// Set takes count rows of the matrix' k elements, ld apart.
func (r *BlockRows) Set(w *BlockWeights, x []float32, count, ld int) {
	r.count, r.meta = count, w.blocks*w.block
	r.step = r.meta + 8*w.blocks
	if n := count * r.step; cap(r.data) < n {
		r.data = aligned[uint8](n)
	} else {
		r.data = r.data[:n]
	}
	for i := range count {
		row := r.data[i*r.step:][:r.step]
		for b := range w.blocks {
			from := b * w.block
			q := row[from : from+w.block]
			scale, sum := quantizeBlock(q, x[i*ld+from:i*ld+min(from+w.block, w.k)])
			meta := row[r.meta+8*b:]
			*(*float32)(unsafe.Pointer(&meta[0])) = scale
			*(*int32)(unsafe.Pointer(&meta[4])) = sum
		}
	}
}

// quantizeBlock sets q to the integers of x, zeros behind them, and returns their scale and their sum.
func quantizeBlock(q []uint8, x []float32) (scale float32, sum int32) {
	lo, hi, _ := MinMaxF32(x)
	most := max(-lo, hi)
	clear(q[len(x):])
	if !(most > 0) || math.IsInf(float64(most), 0) {
		clear(q)
		return 0, 0
	}
	scale = most / 127
	if scale < math.SmallestNonzeroFloat32*(1<<23) { // a denormal has too few digits
		clear(q)
		return 0, 0
	}
	inverse := 1 / scale
	for i, v := range x {
		n := int32(math.RoundToEven(float64(v * inverse)))
		if v != v {
			n = 0
		}
		q[i] = uint8(int8(n))
		sum += n
	}
	return scale, sum
}

// Run computes panels [p0, p1) of the outputs of rows that were set for this matrix: those of row i begin at dst[i*ld].
func (w *BlockWeights) Run(dst []float32, ld int, rows *BlockRows, p0, p1 int) {
	kernels := blockProducts.bits4
	if w.bits == 8 {
		kernels = blockProducts.bits8
	}
	most := len(kernels) - 1
	a := blockArgs{xStep: rows.step, meta: rows.meta, blocks: w.blocks, pairs: w.block / 8}
	var spare [8 * blockOutputs]float32
	per := w.blocks * blockOutputs
	for p := p0; p < p1; p++ {
		a.codes, a.scales, a.zeros, a.start = w.codes[p*w.panelCodes():][:w.panelCodes()], w.scales[p*per:][:per], w.zeros[p*per:][:per], w.start[p*blockOutputs:][:blockOutputs]
		width := min(blockOutputs, w.n-p*blockOutputs)
		for i := 0; i < rows.count; i += a.rows {
			a.rows = min(most, rows.count-i)
			a.x = rows.data[i*rows.step:][:a.rows*rows.step]
			if to := dst[i*ld+p*blockOutputs:]; width == blockOutputs {
				a.dst, a.dstStep = to[:(a.rows-1)*ld+width], ld
				kernels[a.rows](&a)
				continue
			}
			a.dst, a.dstStep = spare[:], blockOutputs
			kernels[a.rows](&a)
			for r := range a.rows {
				copy(dst[(i+r)*ld+p*blockOutputs:][:width], spare[r*blockOutputs:])
			}
		}
	}
}

// blockArgs is what kernels make of rows and a panel: see [BlockWeights].
type blockArgs struct {
	codes   []uint8
	scales  []float32
	zeros   []uint8
	start   []float32
	x       []uint8   // rows as [BlockRows] has them
	dst     []float32 // 16 outputs of a row
	xStep   int       // bytes from a row of x to the next
	meta    int       // from a row's integers to its scales and sums
	dstStep int       // elements from a row of dst to the next
	blocks  int
	pairs   int // times eight weights in a block
	rows    int
}

// blockKernels are kernels by the number of rows they do; entry 0 is unused.
type blockKernels struct{ bits4, bits8 []func(*blockArgs) }

var blockProducts = pick[*blockKernels]("blockProduct", active)

var blockGeneric = blockKernels{
	bits4: []func(*blockArgs){nil, func(a *blockArgs) { blockProductGeneric(a, 4) }},
	bits8: []func(*blockArgs){nil, func(a *blockArgs) { blockProductGeneric(a, 8) }},
}

func blockProductGeneric(a *blockArgs, bits int) {
	line := 2 * 64 * bits / 8 // bytes of eight weights of all outputs
	for r := range a.rows {
		x := a.x[r*a.xStep:]
		for o, sum := range a.start {
			for b := range a.blocks {
				acc := int32(0)
				for p := range a.pairs {
					codes, q := a.codes[(b*a.pairs+p)*line:], x[(b*a.pairs+p)*8:]
					for i := range 4 {
						low, high := codes[4*o+i], codes[(line-64+4*o+i)%line]
						if bits == 4 {
							low, high = low&15, low>>4
						}
						acc += int32(low)*int32(int8(q[i])) + int32(high)*int32(int8(q[4+i]))
					}
				}
				meta := x[a.meta+8*b:]
				scale := a.scales[b*blockOutputs+o] * *(*float32)(unsafe.Pointer(&meta[0]))
				acc -= int32(a.zeros[b*blockOutputs+o]) * *(*int32)(unsafe.Pointer(&meta[4]))
				sum += float32(float32(acc) * scale)
			}
			a.dst[r*a.dstStep+o] = sum
		}
	}
}
