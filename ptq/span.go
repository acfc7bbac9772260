package ptq

import (
	"fmt"

	"github.com/narrow-ml/narrow/asm"
)

// span is what a [rounder] has in place of the covariance of inputs and its factor where few places were seen of long rows: with
// the covariance being C = V*transpose(V) + extra*I, V d x n, element i, k of its factor, i > k, is the product of row i of V
// and row k of another d x n matrix. So all work grows with d*n and not with d*d.
type span struct {
	n     int // places
	extra float32
	v, p  []float32 // d x n; p divided by the diagonal elements of the factor
	local []float32 // d x roundBlock: of row k of the factor, from the first column of k's block on
	seen  []float32 // of the rows that are being rounded: n sums of errors times v each
}

// span makes r the rounder for the places in x, each a row of d elements, where extra is added to the diagonal of the
// covariance.
func (r *rounder) span(x []float32, d int, extra float64) error {
	n := len(x) / d
	s := &span{n: n, extra: float32(extra), v: make([]float32, d*n), p: make([]float32, d*n), local: make([]float32, d*roundBlock)}
	r.wide, r.pivots = s, grown(r.pivots, d)
	r.arrange(x, d)
	rest := make([]float32, n*n) // what the rows so far leave of the space of places
	for i := range n {
		rest[i*n+i] = 1
	}
	var inverse [roundBlock * roundBlock]float32
	block, t := make([]float32, roundBlock*roundBlock), make([]float32, roundBlock*n)
	for k := 0; k < d; k += roundBlock {
		b := min(roundBlock, d-k)
		v, p := s.v[k*n:(k+b)*n], s.p[k*n:(k+b)*n]
		asm.SgemmF32(false, false, b, n, n, 1, v, n, rest, n, 0, t, n)
		asm.SgemmF32(false, true, b, b, n, 1, t, n, v, n, 0, block, b)
		for i := range b {
			block[i*b+i] += s.extra
		}
		if !factorBlock(block, b, b, inverse[:]) {
			return fmt.Errorf("the covariance of its inputs is not positive")
		}
		asm.SgemmF32(false, false, b, n, b, 1, inverse[:], b, t, n, 0, p, n)
		asm.SgemmF32(true, false, n, n, b, -1, p, n, p, n, 1, rest, n)
		for i := range b {
			root := block[i*b+i]
			r.pivots[k+i] = float64(root) * float64(root)
			for j := range p[i*n : (i+1)*n] {
				p[i*n+j] /= root
			}
			for j := range i {
				s.local[(k+i)*roundBlock+j] = block[i*b+j] / block[j*b+j]
			}
		}
	}
	return nil
}

// arrange orders the weights by what meets them at the places.
func (r *rounder) arrange(x []float32, d int) {
	s := r.wide
	squares := make([]float32, d)
	for at := 0; at < len(x); at += d {
		for i, v := range x[at : at+d] {
			squares[i] += v * v
		}
	}
	r.sort(d, func(i int) float32 { return squares[i] })
	place := make([]int, d)
	for i, k := range r.order {
		place[k] = i
	}
	for at := range s.n {
		for k, v := range x[at*d : (at+1)*d] {
			s.v[place[k]*s.n+at] = v
		}
	}
}

// takeBack lets weights [start, end) of all rows take back the errors of those behind, of which s.seen has the sums.
func (s *span) takeBack(left []float32, rows, d, start, end int) {
	asm.SgemmF32(false, true, rows, end-start, s.n, -1, s.seen, s.n, s.p[start*s.n:], s.n, 1, left[start:], d)
}

// see adds the errors of weights [start, end) of all rows to the sums.
func (s *span) see(errors []float32, rows, d, start, end int) {
	asm.SgemmF32(false, false, rows, s.n, end-start, 1, errors[start:], d, s.v[start*s.n:], s.n, 1, s.seen, s.n)
}

// costs returns the square errors of rows from the errors of their values.
func (s *span) costs(errors []float32, rows, d int) []float64 {
	s.seen = grown(s.seen, rows*s.n)
	asm.SgemmF32(false, false, rows, s.n, d, 1, errors, d, s.v, s.n, 0, s.seen, s.n)
	costs := make([]float64, rows)
	for o := range costs {
		costs[o] = energy(s.seen[o*s.n:(o+1)*s.n]) + float64(s.extra)*energy(errors[o*d:(o+1)*d])
	}
	return costs
}

func energy(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}
