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
	wide   *span     // in place of c and factor for long rows; nil for others
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
	r.wide, r.c = nil, grown(r.c, d*d)
	r.sort(d, func(i int) float32 { return c[i*d+i] })
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
	r.pivots = slices.Grow(r.pivots[:0], d)[:d]
	divideColumns(r.factor, r.pivots)
	return nil
}

// sort orders d weights by the spread of their inputs.
func (r *rounder) sort(d int, spread func(i int) float32) {
	r.d, r.order = d, r.order[:0]
	for i := range d {
		r.order = append(r.order, i)
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		switch x, y := spread(a), spread(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// divideColumns divides each column of a factor by its element on the diagonal, and sets pivots to the squares of these.
func divideColumns(factor []float32, pivots []float64) {
	d := len(pivots)
	inverse := make([]float32, d)
	for i := range d {
		row := factor[i*d : i*d+i+1]
		pivots[i], inverse[i] = float64(row[i])*float64(row[i]), 1/row[i]
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

// importance implements [attempt]: what the error of a weight costs that no other takes back.
func (r *rounder) importance() []float64 {
	own := make([]float64, r.d)
	for i, k := range r.order {
		own[k] = r.pivots[i]
	}
	return own
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
	if s := r.wide; s != nil {
		r.takeCheaper(values, plain, s.costs(own, len(rows.levels), d), s.costs(plainErrors, len(rows.levels), d))
		return
	}
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

// takeCheaper replaces rows of values by those rounded to nearest, which are in order, where these cost less.
func (r *rounder) takeCheaper(values, plain []float32, costs, plainCosts []float64) {
	for o := range costs {
		if plainCosts[o] < costs[o] {
			for i, k := range r.order {
				values[o*r.d+k] = plain[o*r.d+i]
			}
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
	r.begin(n)
	for end := d; end > 0; {
		start := (end - 1) / roundBlock * roundBlock
		r.takeBack(left, errors, n, start, end)
		for o, l := range rows.levels {
			row, steps := left[o*d:(o+1)*d], q[o*d:(o+1)*d]
			inverse, top := float32(1/l.Scale), float32(l.Max)
			for k := end - 1; k >= start; k-- {
				steps[k] = toStep(row[k]*inverse, rows.pairs.room(k, d, top, inverse, steps, row))
				v := float32(float64(steps[k]) * l.Scale)
				e := float64(v - row[k])
				costs[o] += e * e * r.pivots[k]
				off := v - rows.weights[o*d+k]
				errors[o*d+k] = off
				to := row[start:k]
				for j, f := range r.within(k, start) {
					to[j] -= off * f
				}
			}
		}
		end = start
	}
	for o, l := range rows.levels {
		for k, steps := range q[o*d : (o+1)*d] {
			q[o*d+k] = float32(float64(steps) * l.Scale)
		}
	}
	return q, costs
}

// begin prepares to cancel the errors of so many rows.
func (r *rounder) begin(rows int) {
	if s := r.wide; s != nil {
		s.seen = grown(s.seen, rows*s.n)
		clear(s.seen)
	}
}

// takeBack lets weights [start, end) of all rows take back the errors of those behind.
func (r *rounder) takeBack(left, errors []float32, rows, start, end int) {
	d := r.d
	if end == d {
		return
	}
	if s := r.wide; s != nil {
		s.see(errors, rows, d, end, min(end+roundBlock, d))
		s.takeBack(left, rows, d, start, end)
		return
	}
	asm.SgemmF32(false, false, rows, end-start, d-end, -1, errors[end:], d, r.factor[end*d+start:], d, 1, left[start:], d)
}

// within returns row k of the factor from column start, that of its block, to k.
func (r *rounder) within(k, start int) []float32 {
	if r.wide != nil {
		return r.wide.local[k*roundBlock : k*roundBlock+k-start]
	}
	return r.factor[k*r.d+start : k*r.d+k]
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
