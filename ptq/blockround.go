package ptq

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"gonum.org/v1/gonum/blas/blas32"
)

// blockRounder rounds rows of weights whose scales lie in blocks along the row, so that e*C*transpose(e) is small for the
// errors e of a row and the second moments C of the inputs. Blocks are taken one after the other, those that meet the
// largest inputs first, and get their scale when they are reached: when they hold the errors of those before.
// Within a block as in [rounder].
type blockRounder struct {
	d      int
	order  []int     // which weight of the row is where
	c      []float32 // d x d, in that order
	factor []float32 // L of C = L*transpose(L), each column divided by its element on the diagonal
	pivots []float64 // squares of the elements on the diagonal
	blocks [][2]int  // where each block is, in that order
}

// newBlockRounder takes the second moments c of a row's inputs, d x d, which it changes, and the block that each weight is in.
func newBlockRounder(c []float32, block []int) (*blockRounder, error) {
	d := len(block)
	r := &blockRounder{d: d, c: make([]float32, d*d), pivots: make([]float64, d)}
	r.arrange(c, block)
	trace := 0.0
	for i, a := range r.order {
		for j, b := range r.order {
			r.c[i*d+j] = c[a*d+b]
		}
		trace += float64(r.c[i*d+i])
	}
	extra := damping*trace/float64(d) + 1e-12
	for tries := 0; ; tries++ {
		for i := range d {
			r.c[i*d+i] += float32(extra)
		}
		copy(c, r.c)
		if cholesky(c, d) {
			break
		}
		if tries == maxDampings || math.IsNaN(extra) {
			return nil, fmt.Errorf("the second moments of its inputs are not positive")
		}
		extra *= 8
	}
	r.factor = c
	divideColumns(c, r.pivots)
	return r, nil
}

// arrange orders blocks, and the weights in each, by their second moments.
func (r *blockRounder) arrange(c []float32, block []int) {
	d := len(block)
	energy, first := make([]float64, slices.Max(block)+1), 0
	for i, b := range block {
		energy[b] += float64(c[i*d+i])
	}
	r.order = make([]int, d)
	for i := range r.order {
		r.order[i] = i
	}
	slices.SortStableFunc(r.order, func(i, j int) int {
		a, b := block[i], block[j]
		return cmp.Or(cmp.Compare(energy[a], energy[b]), a-b, cmp.Compare(c[i*d+i], c[j*d+j]))
	})
	for i := 1; i <= d; i++ {
		if i == d || block[r.order[i]] != block[r.order[first]] {
			r.blocks = append(r.blocks, [2]int{first, i})
			first = i
		}
	}
}

// blockRows are rows that are being rounded, in the order of a blockRounder.
type blockRows struct {
	n               int
	weights, values []float32 // what is to be rounded, and the values of the grids
	left            []float32 // what the weights should be, given the errors so far
	errors          []float32 // values - weights
	levels          []Levels  // by row and block
}

// round rounds n rows. fit lays the grid for a block's weights, the errors of which count as much as their importance.
func (r *blockRounder) round(weights []float32, n int, fit func(x []float32, importance []float64) Levels) *blockRows {
	d := r.d
	b := &blockRows{n: n, weights: make([]float32, n*d), values: make([]float32, n*d), errors: make([]float32, n*d), levels: make([]Levels, n*len(r.blocks))}
	for o := range n {
		for i, k := range r.order {
			b.weights[o*d+i] = weights[o*d+k]
		}
	}
	b.left = slices.Clone(b.weights)
	for k := len(r.blocks) - 1; k >= 0; k-- {
		from, to := r.blocks[k][0], r.blocks[k][1]
		r.takeBack(b, from, to, to, d)
		for o := range n {
			b.levels[o*len(r.blocks)+k] = fit(b.left[o*d+from:o*d+to], r.pivots[from:to])
		}
		for end := to; end > from; end -= roundBlock {
			start := max(end-roundBlock, from)
			r.takeBack(b, start, end, end, to)
			r.cancel(b, k, start, end)
		}
	}
	r.descend(b)
	return b
}

// takeBack lets weights [from, to) of all rows take back the errors of those from first to last.
func (r *blockRounder) takeBack(b *blockRows, from, to, first, last int) {
	if d := r.d; first < last {
		asm.SgemmF32(false, false, b.n, to-from, last-first, -1, b.errors[first:], d, r.factor[first*d+from:], d, 1, b.left[from:], d)
	}
}

// cancel rounds weights [start, end), which are in block k, from the last to the first.
func (r *blockRounder) cancel(b *blockRows, k, start, end int) {
	d := r.d
	for o := range b.n {
		l := b.levels[o*len(r.blocks)+k]
		row := b.left[o*d : (o+1)*d]
		for i := end - 1; i >= start; i-- {
			at := o*d + i
			b.values[at] = float32(l.Round(float64(row[i])))
			off := b.values[at] - b.weights[at]
			b.errors[at] = off
			for j, f := range r.factor[i*d+start : i*d+i] {
				row[start+j] -= off * f
			}
		}
	}
}

// descend moves single values as long as that makes the errors of the results smaller.
func (r *blockRounder) descend(b *blockRows) {
	d := r.d
	gradients := b.left // not needed any more
	asm.SgemmF32(false, false, b.n, d, d, 1, b.errors, d, r.c, d, 0, gradients, d)
	for o := range b.n {
		values, gradient := b.values[o*d:(o+1)*d], gradients[o*d:(o+1)*d]
		all := blas32.Vector{N: d, Inc: 1, Data: gradient}
		for range descentSweeps {
			moved := false
			for k, block := range r.blocks {
				l := b.levels[o*len(r.blocks)+k]
				for i := block[0]; i < block[1]; i++ {
					to := float32(l.Round(float64(values[i] - gradient[i]/r.c[i*d+i])))
					step := to - values[i]
					if math.Abs(float64(step)) < l.Scale/2 {
						continue
					}
					values[i], moved = to, true
					blas32.Axpy(step, blas32.Vector{N: d, Inc: 1, Data: r.c[i*d : (i+1)*d]}, all)
				}
			}
			if !moved {
				break
			}
		}
	}
}
