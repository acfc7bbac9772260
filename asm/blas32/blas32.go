// Package blas32 lets gonum multiply float32 matrices with narrow's kernels:
//
//	blas32.Use(narrow.Implementation{})
//
// where blas32 is gonum's package and narrow is this one.
package blas32

import (
	"runtime"
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/narrow-ml/narrow/asm"
)

// Implementation is gonum's own pure-Go BLAS with another Sgemm.
type Implementation struct {
	gonum.Implementation
}

var _ blas.Float32 = Implementation{}

// parallelWork is the number of multiply-adds from which on a product is
// shared out to several goroutines.
const parallelWork = 1 << 22

// Sgemm computes c = alpha*op(a)*op(b) + beta*c for row-major matrices: op(a)
// is m by k, op(b) k by n and c m by n. It panics on the arguments that
// gonum's Sgemm panics on. Each element is the same whatever the number of
// goroutines, see [asm.SgemmF32] for the order of the sums.
func (i Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if !valid(tA, m, k, len(a), lda) || !valid(tB, k, n, len(b), ldb) || !valid(blas.NoTrans, m, n, len(c), ldc) {
		i.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	product := func(j, cols int) {
		from := j // of b's columns: its rows, if transposed
		if tB != blas.NoTrans {
			from = j * ldb
		}
		asm.SgemmF32(tA != blas.NoTrans, tB != blas.NoTrans, m, cols, k, alpha, a, lda, b[from:], ldb, beta, c[j:], ldc)
	}
	eachStrip(m, n, k, product)
}

// eachStrip calls product for strips of the n columns, at the same time if
// there is enough to do.
func eachStrip(m, n, k int, product func(j, cols int)) {
	workers := min(runtime.GOMAXPROCS(0), n/64, m*n/parallelWork*k+m*n%parallelWork*k/parallelWork)
	if workers < 2 {
		product(0, n)
		return
	}
	cols := (n/64 + workers - 1) / workers * 64
	var done sync.WaitGroup
	for j := 0; j < n; j += cols {
		done.Go(func() { product(j, min(cols, n-j)) })
	}
	done.Wait()
}

// valid reports whether a matrix of rows by cols, transposed as t says, is one
// that asm takes; others are left to gonum, empty ones and wrong ones.
func valid(t blas.Transpose, rows, cols, length, ld int) bool {
	switch t {
	case blas.Trans, blas.ConjTrans:
		rows, cols = cols, rows
	case blas.NoTrans:
	default:
		return false
	}
	return rows > 0 && cols > 0 && ld >= cols && length >= (rows-1)*ld+cols
}
