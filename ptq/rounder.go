package ptq

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// rounder rounds rows of weights for one covariance of their inputs.
type rounder struct {
	c     *mat.SymDense
	order []int         // in which weights are rounded: those with the largest inputs first
	u     *mat.TriDense // upper factor of the inverse of c, in that order
}

func newRounder(c *mat.SymDense) (*rounder, error) {
	d := c.SymmetricDim()
	r := &rounder{c: c, order: make([]int, d)}
	for i := range r.order {
		r.order[i] = i
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		switch x, y := c.At(a, a), c.At(b, b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	ordered := mat.NewSymDense(d, nil)
	for i, a := range r.order {
		for j, b := range r.order[:i+1] {
			ordered.SetSym(i, j, c.At(a, b))
		}
	}
	// The sums are of float32: where the mean is much larger than the spread,
	// their difference may be below zero by rounding, and needs more damping.
	var chol mat.Cholesky
	extra := damping * mat.Trace(c) / float64(d)
	for tries := 0; !chol.Factorize(ordered); tries++ {
		if tries == maxDampings || math.IsNaN(extra) {
			return nil, fmt.Errorf("the covariance of its inputs is not positive")
		}
		extra *= 8
		for i := range d {
			ordered.SetSym(i, i, ordered.At(i, i)+extra)
			c.SetSym(i, i, c.At(i, i)+extra)
		}
	}
	inverse := mat.NewSymDense(d, nil)
	if err := chol.InverseTo(inverse); err != nil {
		if _, ill := err.(mat.Condition); !ill {
			return nil, err
		}
	}
	if !chol.Factorize(inverse) {
		return nil, fmt.Errorf("the covariance of its inputs is not positive")
	}
	r.u = mat.NewTriDense(d, mat.Upper, nil)
	chol.UTo(r.u)
	return r, nil
}

// round returns the values of the grid l that stand for the weights of a row.
func (r *rounder) round(row []float64, l Levels) []float64 {
	left := make([]float64, len(row)) // what the weights should be by now, in order
	for k, i := range r.order {
		left[k] = row[i]
	}
	q := make([]float64, len(row))
	for k, i := range r.order {
		u := r.u.RawTriangular()
		urow := u.Data[k*u.Stride : k*u.Stride+len(row)]
		q[i] = l.Round(left[k])
		e := (left[k] - q[i]) / urow[k]
		for j := k + 1; j < len(row); j++ {
			left[j] -= e * urow[j]
		}
	}
	if plain := nearest(row, l); r.cost(row, plain) < r.cost(row, q) {
		q = plain
	}
	r.descend(row, q, l)
	return q
}

// cost returns the square error of the results for weights q in place of row.
func (r *rounder) cost(row, q []float64) float64 {
	sum := 0.0
	c := r.c.RawSymmetric()
	for i := range row {
		e := row[i] - q[i]
		sum += e * e * c.Data[i*c.Stride+i]
		for j := i + 1; j < len(row); j++ {
			sum += 2 * e * (row[j] - q[j]) * c.Data[i*c.Stride+j]
		}
	}
	return sum
}

// descend moves single integers as long as that makes the error smaller.
func (r *rounder) descend(row, q []float64, l Levels) {
	d := len(row)
	gradient := make([]float64, d) // of half the error, by q
	for i := range d {
		for j := range d {
			gradient[i] += r.c.At(i, j) * (q[j] - row[j])
		}
	}
	for range descentSweeps {
		moved := false
		for i := range d {
			to := l.Round(q[i] - gradient[i]/r.c.At(i, i))
			step := to - q[i]
			if math.Abs(step) < l.Scale/2 {
				continue
			}
			q[i], moved = to, true
			for j := range d {
				gradient[j] += r.c.At(i, j) * step
			}
		}
		if !moved {
			break
		}
	}
}
