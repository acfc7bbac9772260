package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

var gemmSizes = [][3]int{{1, 1, 1}, {1, 10, 64}, {2, 3, 4}, {7, 9, 5}, {15, 33, 17}, {31, 40, 64}, {64, 24, 65}, {127, 65, 129}, {130, 520, 40}, {3, 5, 1031}, {33, 200, 512}}

// at returns element (i, j) of the matrix.
func (x matrixF32) at(i, j int) float64 {
	if x.trans {
		i, j = j, i
	}
	return float64(x.data[i*x.ld+j])
}

// checkProduct compares got with a*b+init in float64, within the bound of a
// float32 sum of k+1 terms.
func checkProduct(t *testing.T, name string, got, a, b matrixF32, m, n, k int, alpha float64, init func(i, j int) float64) {
	t.Helper()
	for i := range m {
		for j := range n {
			want := init(i, j)
			mag := math.Abs(want)
			for d := range k {
				v := alpha * a.at(i, d) * b.at(d, j)
				want += v
				mag += math.Abs(v)
			}
			if bound := mag * 2 * float64(k+3) * 0x1p-24; !(math.Abs(got.at(i, j)-want) <= bound) {
				t.Fatalf("%s: (%d,%d) is %v, want %v within %g", name, i, j, got.at(i, j), want, bound)
			}
		}
	}
}

func TestGemmF32(t *testing.T) {
	forEachKernel(t, "tileF32", func(t *testing.T, tiles tileSet, _ int) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, size := range gemmSizes {
			m, n, k := size[0], size[1], size[2]
			for _, transB := range []bool{false, true} {
				lda, ldd := k+rng.IntN(3), n+rng.IntN(3)
				if k == 512 {
					lda = k // rows that collide are packed
				}
				a, _ := guardedCopies(t, randomF32(rng, (m-1)*lda+k))
				dst, _ := guarded[float32](t, (m-1)*ldd+n)
				b, bias := matrixF32{randomF32(rng, k*n), n, transB}, randomF32(rng, n)
				if transB {
					b.ld = k
				}
				g := packGemmF32(b.data, k, n, transB, bias, tiles)
				g.Run(dst, a, m, lda, ldd, negInfF32, posInfF32)
				name := fmt.Sprintf("%dx%dx%d transB %v", m, n, k, transB)
				checkProduct(t, name, matrixF32{dst, ldd, false}, matrixF32{a, lda, false}, b, m, n, k, 1,
					func(_, j int) float64 { return float64(bias[j]) })
				row := make([]float32, n)
				for p := range g.Panels() {
					g.RunPanels(row, a[(m-1)*lda:], 1, lda, n, negInfF32, posInfF32, p, p+1)
				}
				for j, v := range row {
					if v != dst[(m-1)*ldd+j] {
						t.Fatalf("%s: one row and panel at a time gives %v, not %v", name, v, dst[(m-1)*ldd+j])
					}
				}
			}
		}
	})
}

func TestSgemmF32(t *testing.T) {
	forEachKernel(t, "tileF32", func(t *testing.T, tiles tileSet, _ int) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, size := range gemmSizes {
			for variant := range 8 {
				testSgemmF32(t, rng, tiles, size, variant&1 != 0, variant&2 != 0, variant&4 != 0)
			}
		}
	})
}

func testSgemmF32(t *testing.T, rng *rand.Rand, tiles tileSet, size [3]int, transA, transB, scaled bool) {
	t.Helper()
	m, n, k := size[0], size[1], size[2]
	matrix := func(rows, cols int, trans bool) matrixF32 {
		if trans {
			rows, cols = cols, rows
		}
		ld := cols + rng.IntN(4)
		data, _ := guardedCopies(t, randomF32(rng, (rows-1)*ld+cols))
		return matrixF32{data, ld, trans}
	}
	a, b, c := matrix(m, k, transA), matrix(k, n, transB), matrix(m, n, false)
	alpha, beta := float32(1), float32(0)
	if scaled {
		alpha, beta = 0.5, -2
	}
	before := matrixF32{append([]float32(nil), c.data...), c.ld, false}
	if !scaled {
		c.data[0] = float32(math.NaN())
	}
	sgemmF32(tiles, transA, transB, m, n, k, alpha, a.data, a.ld, b.data, b.ld, beta, c.data, c.ld)
	name := fmt.Sprintf("%v transA %v transB %v scaled %v", size, transA, transB, scaled)
	checkProduct(t, name, c, a, b, m, n, k, float64(alpha), func(i, j int) float64 { return float64(beta) * before.at(i, j) })
	for i := range m - 1 {
		for j := n; j < c.ld; j++ {
			if c.at(i, j) != before.at(i, j) {
				t.Fatalf("%s: wrote past row %d", name, i)
			}
		}
	}
}

func TestSgemmF32Panics(t *testing.T) {
	x := make([]float32, 8)
	for name, run := range map[string]func(){
		"short a":  func() { SgemmF32(false, false, 3, 3, 3, 1, x, 3, make([]float32, 9), 3, 0, make([]float32, 9), 3) },
		"ldb":      func() { SgemmF32(false, false, 2, 3, 2, 1, x, 2, x, 2, 0, x, 3) },
		"negative": func() { SgemmF32(false, false, -1, 3, 2, 1, x, 2, x, 3, 0, x, 3) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			run()
		}()
	}
}

// BenchmarkSgemmF32 measures a product of 512 by 512 matrices beside gonum's.
func BenchmarkSgemmF32(b *testing.B) {
	const n = 512
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, z := randomF32(rng, n*n), randomF32(rng, n*n), aligned[float32](n*n) // gonum skips zeros
	for _, k := range kernels {
		if k.op != "tileF32" || !active.Has(k.needs) {
			continue
		}
		b.Run(k.needs.String(), func(b *testing.B) {
			r := newBestRate(b)
			for b.Loop() {
				r.time(func() { sgemmF32(k.fn.(tileSet), false, false, n, n, n, 1, x, n, y, n, 0, z, n) })
			}
			r.report(2 * n * n * n)
		})
	}
	b.Run("gonum", func(b *testing.B) {
		r := newBestRate(b)
		r.threads = true
		for b.Loop() {
			r.time(func() {
				gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, n, n, n, 1, x, n, y, n, 0, z, n)
			})
		}
		r.report(2 * n * n * n)
	})
}

func TestProductsDoNotAllocate(t *testing.T) {
	const n = 64
	a, b, c := aligned[float32](n*n), aligned[float32](n*n), aligned[float32](n*n)
	g := PackGemmF32(b, n, n, false, nil)
	for name, run := range map[string]func(){
		"GemmF32":  func() { g.Run(c, a, n, n, n, 0, 6) },
		"SgemmF32": func() { SgemmF32(true, true, n, n, n, 2, a, n, b, n, 1, c, n) },
	} {
		checkNoAllocation(t, name, run)
	}
}
