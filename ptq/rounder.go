package ptq

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"

	"github.com/narrow-ml/narrow/asm"
)

// weightRows are the weights of some output channels, a row for each.
type weightRows struct {
	weights []float32
	index   []int    // where in the node's weights each is
	levels  []Levels // by row
}

// rows returns the weights of count channels from first on.
func (w *weights) rows(first, count int) *weightRows {
	size := count * len(w.data) / max(w.channels(), 1)
	r := &weightRows{weights: make([]float32, 0, size), index: make([]int, 0, size)}
	for o := first; o < first+count; o++ {
		w.each(o, func(i int) {
			r.index = append(r.index, i)
			r.weights = append(r.weights, w.data[i])
		})
		l := w.scaling.levels(o)
		l.Min = -l.Max
		r.levels = append(r.levels, l)
	}
	return r
}

// nearest sets q to the values of the grids that are nearest to the weights.
func (r *weightRows) nearest(q []float32) {
	row := len(q) / max(len(r.levels), 1)
	for i, w := range r.weights {
		q[i] = float32(r.levels[i/row].Round(float64(w)))
	}
}

// rounder rounds rows of weights for one covariance C of their inputs: so that the
// square error of the results, e*C*transpose(e) for the errors e of a row, is small.
// All its matrices are in an order of its own, weights with the smallest inputs first.
type rounder struct {
	d      int
	c      []float32 // d x d
	factor []float32 // L of C = L*transpose(L), each column divided by its element on the diagonal
	order  []int     // which weight is where
	buf    []float32 // for the rows that are being rounded
	used   int       // elements of buf
}

// floats returns n numbers of unspecified content, to be used until the next call of round.
func (r *rounder) floats(n int) []float32 {
	if r.used+n > len(r.buf) {
		r.buf, r.used = make([]float32, max(8*n, 2*len(r.buf))), 0
	}
	r.used += n
	return r.buf[r.used-n : r.used]
}

// setUp makes r the rounder for the covariance c, d x d. Where c is not
// positive definite it is damped until it is.
func (r *rounder) setUp(c []float32) error {
	d := int(math.Sqrt(float64(len(c))))
	r.d, r.order = d, r.order[:0]
	for i := range d {
		r.order = append(r.order, i)
	}
	r.c = slices.Grow(r.c[:0], d*d)[:d*d]
	slices.SortStableFunc(r.order, func(a, b int) int {
		switch x, y := c[a*d+a], c[b*d+b]; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	trace := 0.0
	for i, a := range r.order {
		row, from := r.c[i*d:(i+1)*d], c[a*d:(a+1)*d]
		for j, b := range r.order {
			row[j] = from[b]
		}
		trace += float64(row[i])
	}
	// The sums are of float32: where the mean is much larger than the spread,
	// their difference may be below zero by rounding, and needs more damping.
	extra := damping * trace / float64(d)
	for tries := 0; ; tries++ {
		r.factor = append(r.factor[:0], r.c...)
		if cholesky(r.factor, d) {
			break
		}
		if tries == maxDampings || math.IsNaN(extra) {
			return fmt.Errorf("the covariance of its inputs is not positive")
		}
		extra *= 8
		for i := range d {
			r.c[i*d+i] += float32(extra)
		}
	}
	r.divideColumns()
	return nil
}

func (r *rounder) divideColumns() {
	inverse := make([]float32, r.d)
	for i := range inverse {
		inverse[i] = 1 / r.factor[i*r.d+i]
	}
	for i := range r.d {
		row := r.factor[i*r.d : i*r.d+i+1]
		for j := range row {
			row[j] *= inverse[j]
		}
	}
}

// round returns the values of the grids that stand for the weights, until it is called again.
func (r *rounder) round(rows *weightRows) []float32 {
	d := r.d
	r.used = 0
	ordered := &weightRows{weights: r.floats(len(rows.weights)), levels: rows.levels}
	for o := range rows.levels {
		for i, k := range r.order {
			ordered.weights[o*d+i] = rows.weights[o*d+k]
		}
	}
	q, errors := r.cancel(ordered)
	gradients := r.gradients(errors)
	plain, plainErrors := r.floats(len(q)), r.floats(len(q))
	ordered.nearest(plain)
	for i, w := range ordered.weights {
		plainErrors[i] = plain[i] - w
	}
	plainGradients := r.gradients(plainErrors)
	out := r.floats(len(q))
	for o, l := range rows.levels {
		from, to := o*d, (o+1)*d
		best, gradient := q[from:to], gradients[from:to]
		if cost(plainErrors[from:to], plainGradients[from:to]) < cost(errors[from:to], gradient) {
			best, gradient = plain[from:to], plainGradients[from:to]
		}
		r.descend(best, gradient, l)
		for i, k := range r.order {
			out[from+k] = best[i]
		}
	}
	return out
}

// roundBlock is how many weights of all rows are rounded between two matrix products.
const roundBlock = 32

// cancel rounds one weight of each row after the other, from the last to the first, each to
// what cancels best the errors of those before: with L the factor of the covariance, the error is
// the square of transpose(L)*e, whose element k only depends on e from k on. It returns
// the values and their errors.
func (r *rounder) cancel(rows *weightRows) (q, errors []float32) {
	d, n := r.d, len(rows.levels)
	left := r.floats(n * d) // what the weights should be by now
	copy(left, rows.weights)
	q, errors = r.floats(n*d), r.floats(n*d)
	for end := d; end > 0; end -= roundBlock {
		start := max(end-roundBlock, 0)
		if end < d {
			asm.SgemmF32(false, false, n, end-start, d-end, -1, errors[end:], d, r.factor[end*d+start:], d, 1, left[start:], d)
		}
		for o, l := range rows.levels {
			for k := end - 1; k >= start; k-- {
				i := o*d + k
				q[i] = float32(l.Round(float64(left[i])))
				errors[i] = q[i] - rows.weights[i]
				for j, f := range r.factor[k*d+start : k*d+k] {
					left[o*d+start+j] -= errors[i] * f
				}
			}
		}
	}
	return q, errors
}

// gradients returns half the derivative of each row's square error by its values, whose
// errors are given.
func (r *rounder) gradients(errors []float32) []float32 {
	out := r.floats(len(errors))
	asm.SgemmF32(false, false, len(errors)/r.d, r.d, r.d, 1, errors, r.d, r.c, r.d, 0, out, r.d)
	return out
}

// cost returns the square error of a row's results from the errors of its values.
func cost(errors, gradient []float32) float64 {
	sum := 0.0
	for i, g := range gradient {
		sum += float64(errors[i]) * float64(g)
	}
	return sum
}

// descend moves single values of a row as long as that makes the error smaller.
func (r *rounder) descend(q, gradient []float32, l Levels) {
	d := r.d
	all := blas32.Vector{N: d, Inc: 1, Data: gradient}
	for range descentSweeps {
		moved := false
		for i := range d {
			to := float32(l.Round(float64(q[i] - gradient[i]/r.c[i*d+i])))
			step := to - q[i]
			if math.Abs(float64(step)) < l.Scale/2 {
				continue
			}
			q[i], moved = to, true
			blas32.Axpy(step, blas32.Vector{N: d, Inc: 1, Data: r.c[i*d : (i+1)*d]}, all)
		}
		if !moved {
			break
		}
	}
}
