package blas32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"
)

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// TestSgemm compares with gonum's Sgemm: shapes around the tiles, all
// transpositions, gaps between rows.
func TestSgemm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		m, n, k := 1+r.IntN(70), 1+r.IntN(150), 1+r.IntN(70)
		tA, tB := pick(r), pick(r)
		rowsA, lda := m, k
		if tA != blas.NoTrans {
			rowsA, lda = k, m
		}
		rowsB, ldb := k, n
		if tB != blas.NoTrans {
			rowsB, ldb = n, k
		}
		lda, ldb = lda+r.IntN(3), ldb+r.IntN(3)
		ldc := n + r.IntN(3)
		a, b, c := random(r, rowsA*lda), random(r, rowsB*ldb), random(r, m*ldc)
		alpha, beta := float32(r.NormFloat64()), float32(r.IntN(3))/2
		if beta == 0 {
			c[0] = float32(math.NaN()) // takes no part
		}
		want, got := slices.Clone(c), slices.Clone(c)
		gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
		Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, got, ldc)
		for i := range want {
			// Each of k products, of size 1 to 10, is off by up to 6e-8 of it.
			if d := math.Abs(float64(got[i] - want[i])); !(d <= 2e-6*float64(k+1)*math.Abs(float64(alpha))+1e-6*math.Abs(float64(want[i]))+1e-6) {
				t.Fatalf("%c%c %dx%dx%d: element %d is %v, gonum has %v", tA, tB, m, n, k, i, got[i], want[i])
			}
		}
	}
}

func pick(r *rand.Rand) blas.Transpose {
	return []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}[r.IntN(3)]
}

func TestStripsChangeNoBit(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, s := range [][3]int{{200, 200, 200}, {3, 1000, 2000}, {500, 129, 90}} {
		m, n, k := s[0], s[1], s[2]
		a, b := random(r, m*k), random(r, k*n)
		whole, strips := make([]float32, m*n), make([]float32, m*n)
		Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, a, k, b, n, 0, whole, n)
		for j := 0; j < n; j += 64 {
			Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, m, min(64, n-j), k, 1, a, k, b[j:], n, 0, strips[j:], n)
		}
		if !slices.Equal(whole, strips) {
			t.Errorf("%v: strips give other bits", s)
		}
	}
}

// TestSgemmPanics checks that wrong arguments panic as they do in gonum.
func TestSgemmPanics(t *testing.T) {
	message := func(i blas.Float32, lda int, length int) (text string) {
		defer func() { text = fmt.Sprint(recover()) }()
		i.Sgemm(blas.NoTrans, blas.NoTrans, 2, 2, 2, 1, make([]float32, length), lda, make([]float32, 4), 2, 0, make([]float32, 4), 2)
		return ""
	}
	for _, c := range [][2]int{{1, 4}, {2, 3}, {2, 4}} {
		want, got := message(gonum.Implementation{}, c[0], c[1]), message(Implementation{}, c[0], c[1])
		if got != want {
			t.Errorf("leading dimension %d, length %d: %q, gonum says %q", c[0], c[1], got, want)
		}
	}
}

func ExampleImplementation() {
	blas32.Use(Implementation{})
	defer blas32.Use(gonum.Implementation{})
	a := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 2, 3, 4}}
	c := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: make([]float32, 4)}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, a, a, 0, c)
	fmt.Println(c.Data)
	// Output: [7 10 15 22]
}

func BenchmarkSgemm(b *testing.B) {
	for _, n := range []int{64, 512} {
		for name, impl := range map[string]blas.Float32{"narrow": Implementation{}, "gonum": gonum.Implementation{}} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				r := rand.New(rand.NewPCG(3, 3))
				x, y, z := random(r, n*n), random(r, n*n), make([]float32, n*n)
				for b.Loop() {
					impl.Sgemm(blas.NoTrans, blas.NoTrans, n, n, n, 1, x, n, y, n, 0, z, n)
				}
				b.ReportMetric(2*float64(n)*float64(n)*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
