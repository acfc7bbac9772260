package ptq

import (
	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// moments are the sums of what an affine node's weights meet, before and after it
// is brought to integers, and of the products of the latter within each group of channels.
type moments struct {
	*patches
	node       *graph.Node
	input      *graph.Value // in the graph that is run
	compensate bool         // whether products are needed
	grid       asm.Grid[int32]
	samples    int         // inputs seen
	count      int         // places
	sum        []float64   // of each element of a place
	sumInt     []float64   // the same after rounding and clipping
	products   [][]float32 // by group: row x row, below the diagonal and on it; nil if they are not needed
	block      []float32   // places not yet in the sums
}

const (
	blockPlaces  = 128 // how many places are taken into the sums at a time
	productPanel = 96  // rows of products that are computed up to the same column
)

// size returns how many elements will be allocated.
func (m *moments) size() int {
	width := m.groups * m.row
	if !m.compensate {
		return width * blockPlaces
	}
	return width * (m.row + blockPlaces)
}

func (m *moments) allocate() error {
	l := scalingOf(m.node.Inputs[0].Node).levels(0)
	var err error
	if m.grid, err = asm.NewGrid(float32(l.Scale), int32(l.Zero), int32(l.Min), int32(l.Max)); err != nil {
		return nodeError(m.node, err)
	}
	width := m.groups * m.row
	m.block = make([]float32, 0, blockPlaces*width)
	m.sum, m.sumInt = make([]float64, width), make([]float64, width)
	if m.compensate {
		m.products = make([][]float32, m.groups)
		for i := range m.products {
			m.products[i] = make([]float32, m.row*m.row)
		}
	}
	return nil
}

// add takes in a batch of inputs.
func (m *moments) add(t *tensor.Tensor) {
	m.each(t, m.samples, func(x []float32) {
		if m.block = append(m.block, x...); len(m.block) == cap(m.block) {
			m.flush()
		}
	})
	m.samples += t.Shape()[0]
}

// flush takes the places of the block into the sums.
func (m *moments) flush() {
	width := m.groups * m.row
	places := len(m.block) / width
	if places == 0 {
		return
	}
	addRows(m.sum, m.block)
	m.grid.QuantizeDequantize(m.block, m.block)
	addRows(m.sumInt, m.block)
	for group, p := range m.products {
		x := m.block[group*m.row:]
		for i := 0; i < m.row; i += productPanel {
			rows := min(productPanel, m.row-i)
			asm.SgemmF32(true, false, rows, i+rows, places, 1, x[i:], width, x, width, 1, p[i*m.row:], m.row)
		}
	}
	m.count += places
	m.block = m.block[:0]
}

// addRows adds rows, one after another in x, to sums.
func addRows(sums []float64, x []float32) {
	for len(x) > 0 {
		for i, v := range x[:len(sums)] {
			sums[i] += float64(v)
		}
		x = x[len(sums):]
	}
}

// means returns the mean of one group's inputs, before and after rounding: zeros for a
// node without a bias, into which a mean error could go.
func (m *moments) means(group int) (before, after []float64) {
	before, after = make([]float64, m.row), make([]float64, m.row)
	if m.node.In(2) != nil && m.count > 0 {
		for i := range before {
			k := group*m.row + i
			before[i], after[i] = m.sum[k]/float64(m.count), m.sumInt[k]/float64(m.count)
		}
	}
	return before, after
}

// covariance makes the damped covariance of one group's inputs, row x row, of their products c.
func (m *moments) covariance(c []float32, mean []float64) {
	d, n := m.row, float64(max(m.count, 1))
	energy := 0.0
	for i := range d {
		energy += float64(c[i*d+i]) / n
		row := c[i*d : i*d+i+1]
		for j, p := range row {
			row[j] = float32(float64(p)*(1/n) - mean[i]*mean[j])
		}
	}
	mirror(c, d)
	spread := 0.0
	for i := range d {
		c[i*d+i] = max(c[i*d+i], 0)
		spread += float64(c[i*d+i])
	}
	extra := float32((damping*spread+sumError*energy)/float64(d) + 1e-12)
	for i := range d {
		c[i*d+i] += extra
	}
}

// mirror copies what is below the diagonal of a d x d matrix to above.
func mirror(c []float32, d int) {
	const block = 32 // the rows at hand stay in the cache
	for i := 0; i < d; i += block {
		end := min(i+block, d)
		for k := i; k < end; k++ {
			for j := k + 1; j < end; j++ {
				c[k*d+j] = c[j*d+k]
			}
		}
		if end < d {
			asm.TransposeF32(c[i*d+end:], c[end*d+i:], d-end, end-i, d, d)
		}
	}
}

// round chooses the integers of the node's weights, and their scale where neighbours limit each
// other.
func (m *moments) round(r *rounder) error {
	w := weightsOf(m.node)
	rounded := make([]float32, len(w.data))
	shift := make([]float64, w.channels())
	perGroup := w.channels() / m.groups
	m.flush()
	for group, p := range m.products {
		_, after := m.means(group)
		m.covariance(p, after)
	}
	by := func(group int) (attempt, error) {
		if !m.compensate {
			return toNearest{}, nil
		}
		return r, r.setUp(m.products[group])
	}
	if err := w.chooseShared(m.groups, by); err != nil {
		return err
	}
	for group := range m.groups {
		rows := w.rows(group*perGroup, perGroup)
		before, after := m.means(group)
		try, err := by(group)
		if err != nil {
			return err
		}
		q := w.settle(rows, group*perGroup, try)
		if m.compensate {
			r.refine(rows, q)
		}
		for i, k := range rows.index {
			rounded[k] = q[i]
			o, e := i/m.row, i%m.row
			shift[group*perGroup+o] += float64(rows.weights[i])*before[e] - float64(q[i])*after[e]
		}
	}
	w.replace(rounded)
	addToBias(m.node, shift)
	scaleBias(m.node)
	return nil
}
