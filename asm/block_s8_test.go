package asm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// blockMatrix is a random matrix with what it stands for.
type blockMatrix struct {
	codes  [][]uint8
	scales [][]float32
	zeros  [][]uint8
	start  []float32
	packed *BlockWeights
}

func newBlockMatrix(t testing.TB, r *rand.Rand, n, k, bits, block int) *blockMatrix {
	t.Helper()
	m := &blockMatrix{start: make([]float32, n)}
	most := 1<<bits - 1
	blocks := (k + block - 1) / block
	for o := range n {
		m.start[o] = float32(r.NormFloat64())
		m.codes, m.scales, m.zeros = append(m.codes, make([]uint8, k)), append(m.scales, make([]float32, blocks)), append(m.zeros, make([]uint8, blocks))
		for i := range k {
			m.codes[o][i] = uint8(r.IntN(most + 1))
			if o%3 == 0 {
				m.codes[o][i] = uint8(most)
			}
		}
		for b := range blocks {
			m.scales[o][b], m.zeros[o][b] = r.Float32(), uint8(r.IntN(most+1))
		}
	}
	var err error
	m.packed, err = PackBlocks(n, k, bits, block, func(o int, row []uint8) { copy(row, m.codes[o]) },
		func(o, b int) float32 { return m.scales[o][b] }, func(o, b int) uint8 { return m.zeros[o][b] }, m.start)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// want is output o of a row by the contract.
func (m *blockMatrix) want(x []float32, o, block int) float32 {
	sum := m.start[o]
	step := min(block, maxBlock)
	for from := 0; from < len(x); from += step {
		part := x[from:min(from+step, len(x))]
		most := float32(0)
		for _, v := range part {
			most = max(most, float32(math.Abs(float64(v))))
		}
		scale := most / 127
		acc := 0
		if most > 0 {
			inverse := 1 / scale
			for i, v := range part {
				acc += int(math.RoundToEven(float64(v*inverse))) * (int(m.codes[o][from+i]) - int(m.zeros[o][from/block]))
			}
		}
		factor := m.scales[o][from/block] * scale
		sum += float32(float32(acc) * factor)
	}
	return sum
}

// TestBlockProduct holds the kernels of every tier to the contract, bit by bit.
func TestBlockProduct(t *testing.T) {
	forEachKernel(t, "blockProduct", func(t *testing.T, kernels *blockKernels, _ int) {
		defer func(before *blockKernels) { blockProducts = before }(blockProducts)
		blockProducts = kernels
		r := rand.New(rand.NewPCG(1, 9))
		for _, c := range []struct{ n, k, block, rows int }{
			{16, 16, 16, 1}, {1, 5, 16, 2}, {33, 64, 32, 3}, {48, 200, 32, 4}, {20, 130, 64, 5}, {17, 300, 128, 8}, {40, 600, 512, 11}, {32, 96, 16, 7}, {16, 128, 128, 6},
		} {
			for _, bits := range []int{4, 8} {
				m := newBlockMatrix(t, r, c.n, c.k, bits, c.block)
				ld := c.k + 3
				x := make([]float32, c.rows*ld)
				for i := range x {
					if x[i] = float32(r.NormFloat64()); i/ld%3 == 1 {
						x[i] = 2 // the largest sums there can be
					}
				}
				var rows BlockRows
				rows.Set(m.packed, x, c.rows, ld)
				got := make([]float32, c.rows*(c.n+1))
				m.packed.Run(got, c.n+1, &rows, 0, m.packed.Panels())
				for i := range c.rows {
					for o := range c.n {
						if w := m.want(x[i*ld:i*ld+c.k], o, c.block); got[i*(c.n+1)+o] != w {
							t.Fatalf("%+v, %d bits, row %d, output %d: %v, not %v", c, bits, i, o, got[i*(c.n+1)+o], w)
						}
					}
					if got[i*(c.n+1)+c.n] != 0 {
						t.Fatalf("%+v: written behind the outputs", c)
					}
				}
			}
		}
	})
}

// TestBlockRows brings what is no number, infinite or nothing at all to zeros, and the largest magnitude to 127.
func TestBlockRows(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 9))
	m := newBlockMatrix(t, r, 16, 32, 4, 16)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := append(slices.Repeat([]float32{0}, 16), slices.Repeat([]float32{-1, 0.5, nan, 0.25}, 4)...)
	var rows BlockRows
	rows.Set(m.packed, x, 1, 32)
	if q := rows.data[16:20]; !slices.Equal(q, []uint8{129, 64, 0, 32}) || slices.Max(rows.data[:16]) != 0 {
		t.Errorf("integers %v", rows.data[:32])
	}
	x[0], x[16] = inf, 1e-44
	rows.Set(m.packed, x, 1, 32)
	if slices.Max(rows.data[:16]) != 0 {
		t.Errorf("an infinity gives %v", rows.data[:16])
	}
	for _, c := range []struct{ n, k, bits, block int }{{0, 4, 4, 16}, {4, 0, 4, 16}, {4, 4, 3, 16}, {4, 4, 4, 24}, {4, 4, 4, 8}} {
		if _, err := PackBlocks(c.n, c.k, c.bits, c.block, nil, nil, nil, nil); err == nil {
			t.Errorf("%+v was packed", c)
		}
	}
}

// TestBlockArgsLayout pins the offsets that the generated assembly loads from.
func TestBlockArgsLayout(t *testing.T) {
	skipWithoutAssembly(t)
	var a blockArgs
	for i, got := range []uintptr{unsafe.Offsetof(a.codes), unsafe.Offsetof(a.scales), unsafe.Offsetof(a.zeros), unsafe.Offsetof(a.start), unsafe.Offsetof(a.x), unsafe.Offsetof(a.dst),
		unsafe.Offsetof(a.xStep), unsafe.Offsetof(a.meta), unsafe.Offsetof(a.dstStep), unsafe.Offsetof(a.blocks), unsafe.Offsetof(a.pairs)} {
		if want := []uintptr{0, 24, 48, 72, 96, 120, 144, 152, 160, 168, 176}[i]; got != want {
			t.Errorf("field %d is at %d, the assembly reads it at %d", i, got, want)
		}
	}
}

// BenchmarkBlockProduct multiplies a row, as for one token, and 64 of them by a matrix of 4096 by 4096.
func BenchmarkBlockProduct(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 9))
	for _, bits := range []int{4, 8} {
		m := newBlockMatrix(b, r, 4096, 4096, bits, 32)
		for name, count := range map[string]int{"row": 1, "rows": 64} {
			x, y := make([]float32, count*4096), make([]float32, count*4096)
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			b.Run(map[int]string{4: "4bit/", 8: "8bit/"}[bits]+name, func(b *testing.B) {
				var rows BlockRows
				b.SetBytes(int64(len(m.packed.codes) + 4*len(m.packed.scales) + len(m.packed.zeros)))
				for b.Loop() {
					rows.Set(m.packed, x, count, 4096)
					m.packed.Run(y, 4096, &rows, 0, m.packed.Panels())
				}
				b.ReportMetric(float64(count)*4096*4096*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
			})
		}
	}
}
