package ptq

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
)

// choleskyBlock is how many columns are factored between two matrix products.
const choleskyBlock = 32

// cholesky replaces the symmetric d x d matrix a, of which the part above the
// diagonal is not looked at, by its lower factor: a = L * transpose(L). It reports
// whether a is positive definite, as far as float32 can tell; if not, a is of no use.
//
// All but the blocks on the diagonal is done by matrix products (Golub and Van
// Loan, Matrix Computations, 4.2): ten times faster than the library's
// float64, which would be a third of the time of compensation.
func cholesky(a []float32, d int) bool {
	var inverse [choleskyBlock * choleskyBlock]float32
	panel := make([]float32, d*choleskyBlock)
	for k := 0; k < d; k += choleskyBlock {
		n := min(choleskyBlock, d-k)
		rows := a[k*d:]
		if k > 0 {
			asm.SgemmF32(false, true, d-k, n, k, -1, rows, d, rows, d, 1, rows[k:], d)
		}
		if !factorBlock(rows[k:], d, n, inverse[:]) {
			return false
		}
		below := d - k - n
		if below == 0 {
			break
		}
		rows = rows[n*d+k:]
		for i := range below {
			copy(panel[i*n:(i+1)*n], rows[i*d:])
		}
		asm.SgemmF32(false, true, below, n, n, 1, panel, n, inverse[:], n, 0, rows, d)
	}
	return true
}

// factorBlock is cholesky for the first n rows of a matrix with rows of stride elements, with
// the inverse of the factor, n x n, zeros above the diagonal.
func factorBlock(a []float32, stride, n int, inverse []float32) bool {
	dot := func(x, y []float32) float64 {
		sum := 0.0
		for i, v := range x {
			sum += float64(v) * float64(y[i])
		}
		return sum
	}
	for j := range n {
		row := a[j*stride:]
		square := float64(row[j]) - dot(row[:j], row)
		if !(square > 0) {
			return false
		}
		root := math.Sqrt(square)
		row[j] = float32(root)
		for i := j + 1; i < n; i++ {
			below := a[i*stride:]
			below[j] = float32((float64(below[j]) - dot(below[:j], row)) / root)
		}
	}
	clear(inverse[:n*n])
	for j := range n {
		inverse[j*n+j] = 1 / a[j*stride+j]
		for i := j + 1; i < n; i++ {
			sum := 0.0
			for t := j; t < i; t++ {
				sum += float64(a[i*stride+t]) * float64(inverse[t*n+j])
			}
			inverse[i*n+j] = float32(-sum / float64(a[i*stride+i]))
		}
	}
	return true
}
