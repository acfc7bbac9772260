package ptq

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"

	"github.com/narrow-ml/narrow/asm"
)

// rounder rounds rows of weights for one covariance C of their inputs: so that the
// square error of the results, e*C*transpose(e) for the errors e of a row, is small.
// All its matrices are in an order of its own, weights with the smallest inputs first.
type rounder struct {
	d      int
	c      []float32 // d x d
	factor []float32 // L of C = L*transpose(L), each column divided by its element on the diagonal
	order  []int     // which weight is where
	pivots []float64 // squares of the elements on the diagonal
	buf    []float32 // for the rows that are being rounded
	used   int       // elements of buf
}

// floats returns n numbers of unspecified content, to be used until the next call of try or refine.
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
	r.pivots = slices.Grow(r.pivots[:0], r.d)[:r.d]
	for i := range inverse {
		root := r.factor[i*r.d+i]
		r.pivots[i], inverse[i] = float64(root)*float64(root), 1/root
	}
	for i := range r.d {
		row := r.factor[i*r.d : i*r.d+i+1]
		for j := range row {
			row[j] *= inverse[j]
		}
	}
}

// try implements [attempt]: with the values of cancel, and in the end by refine.
func (r *rounder) try(rows *weightRows) (q []float32, costs []float64) {
	d := r.d
	r.used = 0
	ordered := rows.permuted(r.order, r.floats(len(rows.weights)))
	values, costs := r.cancel(ordered)
	q = r.floats(len(values))
	for o := range rows.levels {
		for i, k := range r.order {
			q[o*d+k] = values[o*d+i]
		}
	}
	return q, costs
}

// refine brings values that try returned closer, in place: where rounding to nearest makes a smaller
// error, its values take their place, and then single values move as long as that helps.
func (r *rounder) refine(rows *weightRows, values []float32) {
	d := r.d
	r.used = 0
	ordered := rows.permuted(r.order, r.floats(len(rows.weights)))
	q := (&weightRows{weights: values, levels: rows.levels}).permuted(r.order, r.floats(len(values))).weights
	errors := func(q []float32) []float32 {
		e := r.floats(len(q))
		for i, w := range ordered.weights {
			e[i] = q[i] - w
		}
		return e
	}
	plain := r.floats(len(q))
	ordered.nearest(plain)
	own, plainErrors := errors(q), errors(plain)
	gradients, plainGradients := r.gradients(own), r.gradients(plainErrors)
	for o, l := range rows.levels {
		from, to := o*d, (o+1)*d
		best, gradient := q[from:to], gradients[from:to]
		if cost(plainErrors[from:to], plainGradients[from:to]) < cost(own[from:to], gradient) {
			best, gradient = plain[from:to], plainGradients[from:to]
		}
		r.descend(best, gradient, l, ordered.pairs)
		for i, k := range r.order {
			values[from+k] = best[i]
		}
	}
}

// roundBlock is how many weights of all rows are rounded between two matrix products.
const roundBlock = 32

// cancel rounds one weight of each row after the other, from the last to the first, each to
// what cancels best the errors of those before: with L the factor of the covariance, the error is
// the square of transpose(L)*e, whose element k only depends on e from k on. It returns
// the values and the square error of each row.
func (r *rounder) cancel(rows *weightRows) (q []float32, costs []float64) {
	d, n := r.d, len(rows.levels)
	left := r.floats(n * d) // what the weights should be by now
	copy(left, rows.weights)
	q, costs = r.floats(n*d), make([]float64, n)
	errors := r.floats(n * d)
	for end := d; end > 0; end -= roundBlock {
		start := max(end-roundBlock, 0)
		if end < d {
			asm.SgemmF32(false, false, n, end-start, d-end, -1, errors[end:], d, r.factor[end*d+start:], d, 1, left[start:], d)
		}
		for o, l := range rows.levels {
			row, to := left[o*d:(o+1)*d], q[o*d:(o+1)*d]
			for k := end - 1; k >= start; k-- {
				to[k] = float32(rows.pairs.limit(l, k, to, row).Round(float64(row[k])))
				e := float64(to[k] - row[k])
				costs[o] += e * e * r.pivots[k]
				off := to[k] - rows.weights[o*d+k]
				errors[o*d+k] = off
				for j, f := range r.factor[k*d+start : k*d+k] {
					row[start+j] -= off * f
				}
			}
		}
	}
	return q, costs
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
func (r *rounder) descend(q, gradient []float32, l Levels, pairs pairing) {
	d := r.d
	all := blas32.Vector{N: d, Inc: 1, Data: gradient}
	for range descentSweeps {
		moved := false
		for i := range d {
			to := float32(pairs.limitAmong(l, i, q).Round(float64(q[i] - gradient[i]/r.c[i*d+i])))
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
