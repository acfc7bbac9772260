package ptq

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/mapped"
)

// moments are what the weights of some affine nodes meet that read one value in one way: some places of it, and the sums over
// these, before and after it is brought to integers, and of the products of the latter within each group of channels.
type moments struct {
	*patches
	nodes      []*graph.Node
	input      *graph.Value // in the graph that is run
	compensate bool         // whether products are needed
	biased     bool         // whether the nodes have biases, into which a mean error can go
	scaling    *Scaling     // of the input
	grid       asm.Grid[int32]
	runs       [][]pickedPlaces // by run and part, what is not in the sums yet
	block      []float32        // likewise, after those
	picked     int              // places so far
	count      int              // places
	sum        []float64        // of each element of a place
	sumInt     []float64        // the same after rounding and clipping
	products   [][]float32      // by group: row x row, below the diagonal and on it
}

// pickedPlaces are those of a part of a value.
type pickedPlaces struct {
	count  int
	ints   []uint8   // counted from the least integer; of grids of up to 8 bits
	floats []float32 // rounded, of others
	sum    []float32 // of the elements as they were
}

const (
	blockPlaces  = 128 // how many places are taken into the sums at a time
	productPanel = 96  // rows of products that are computed up to the same column
)

func newMoments(n *graph.Node, p *patches, input *graph.Value, compensate bool) (*moments, error) {
	m := &moments{patches: p, nodes: []*graph.Node{n}, input: input, compensate: compensate, biased: n.In(2) != nil, scaling: scalingOf(n.Inputs[0].Node)}
	l := m.scaling.levels(0)
	var err error
	if m.grid, err = asm.NewGrid(float32(l.Scale), int32(l.Zero), int32(l.Min), int32(l.Max)); err != nil {
		return nil, nodeError(n, err)
	}
	return m, nil
}

// serves reports whether a node's weights meet the same.
func (m *moments) serves(n *graph.Node, p *patches) bool {
	q := m.patches
	return m.scaling == scalingOf(n.Inputs[0].Node) && m.biased == (n.In(2) != nil) && q.groups == p.groups && q.row == p.row &&
		slices.Equal(q.kernel, p.kernel) && slices.Equal(q.stride, p.stride) && slices.Equal(q.dilation, p.dilation) && slices.Equal(q.pads, p.pads)
}

// width returns how many elements a place has.
func (m *moments) width() int { return m.groups * m.row }

// pack keeps places, one after another in x, which it changes.
func (m *moments) pack(x []float32) pickedPlaces {
	sum := make([]float64, m.width())
	addRows(sum, x)
	k := pickedPlaces{count: len(x) / m.width(), sum: make([]float32, m.width())}
	for i, v := range sum {
		k.sum[i] = float32(v)
	}
	if m.scaling.Bits > 8 {
		k.floats = make([]float32, len(x))
		m.grid.QuantizeDequantize(k.floats, x)
		return k
	}
	k.ints = make([]uint8, len(x))
	var ints [1024]int32
	least := int32(m.scaling.Min())
	for at := 0; at < len(x); at += len(ints) {
		to := k.ints[at:min(at+len(ints), len(x))]
		m.grid.Quantize(ints[:len(to)], x[at:at+len(to)])
		for i := range to {
			to[i] = uint8(ints[i] - least)
		}
	}
	return k
}

// unpack writes the elements of places, rounded, to x.
func (m *moments) unpack(x []float32, k pickedPlaces) {
	if k.ints == nil {
		copy(x, k.floats)
		return
	}
	var ints [1024]int32
	least := int32(m.scaling.Min())
	for at := 0; at < len(k.ints); at += len(ints) {
		from := k.ints[at:min(at+len(ints), len(k.ints))]
		for i, q := range from {
			ints[i] = int32(q) + least
		}
		m.grid.Dequantize(x[at:at+len(from)], ints[:len(from)])
	}
}

// absorb takes what was picked so far into the sums if those take less memory than the places of so many inputs will.
func (m *moments) absorb(inputs int) {
	places := m.picked / max(len(m.runs)*sampleBatch, 1) * inputs
	if m.products != nil || !m.compensate || 4*m.row < places {
		m.sumUp(m.compensate)
	}
}

// sumUp takes the places in m.runs into the sums, with or without products.
func (m *moments) sumUp(products bool) {
	if m.sum == nil {
		m.sum, m.sumInt = make([]float64, m.width()), make([]float64, m.width())
		m.block = make([]float32, 0, blockPlaces*m.width())
	}
	for _, parts := range m.runs {
		for _, k := range parts {
			m.count += k.count
			for i, v := range k.sum {
				m.sum[i] += float64(v)
			}
		}
	}
	if products && m.products == nil {
		m.products = make([][]float32, m.groups)
		for i := range m.products {
			m.products[i] = make([]float32, m.row*m.row)
		}
	}
	m.eachBlock(m.flush)
	if m.products != nil || !m.compensate {
		clear(m.runs)
	}
}

// eachBlock calls f with the places, some at a time; what is left over is in m.block.
func (m *moments) eachBlock(f func()) {
	var x []float32
	for _, parts := range m.runs {
		for _, k := range parts {
			x = grown(x, k.count*m.width())
			m.unpack(x, k)
			for rest := x; len(rest) > 0; {
				n := min(len(rest), cap(m.block)-len(m.block))
				if m.block, rest = append(m.block, rest[:n]...), rest[n:]; len(m.block) == cap(m.block) {
					f()
				}
			}
		}
	}
}

// flush takes the block into the sums.
func (m *moments) flush() {
	addRows(m.sumInt, m.block)
	for group, p := range m.products {
		m.addProducts(p, m.block[group*m.row:], len(m.block)/m.width())
	}
	m.block = m.block[:0]
}

// addProducts adds the products of a group's elements at some places to p.
func (m *moments) addProducts(p, x []float32, places int) {
	for i := 0; i < m.row; i += productPanel {
		rows := min(productPanel, m.row-i)
		asm.SgemmF32(true, false, rows, i+rows, places, 1, x[i:], m.width(), x, m.width(), 1, p[i*m.row:], m.row)
	}
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
	if m.biased && m.count > 0 {
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

// centred returns the places, rounded, one after another, less their mean and divided by the square root of their number, and
// what is added to the diagonal of their covariance to damp it.
func (m *moments) centred() (x []float32, extra float64) {
	_, mean := m.means(0)
	x = make([]float32, 0, m.count*m.row)
	take := func() { x, m.block = append(x, m.block...), m.block[:0] }
	m.eachBlock(take)
	take()
	m.runs = nil
	energy, spread := 0.0, 0.0
	root := 1 / math.Sqrt(float64(m.count))
	for at := 0; at < len(x); at += m.row {
		for i, v := range x[at : at+m.row] {
			c := (float64(v) - mean[i]) * root
			energy, spread = energy+float64(v)*float64(v), spread+c*c
			x[at+i] = float32(c)
		}
	}
	return x, (damping*spread+sumError*energy/float64(m.count))/float64(m.row) + 1e-12
}

// work is about how long rounding takes.
func (m *moments) work() int {
	weights := 0
	for _, n := range m.nodes {
		weights += len(weightsOf(n).data)
	}
	return (weights + m.groups*m.row*m.row) * min(m.row, m.picked)
}

// wide reports whether there are so many more elements than places that what the places span is less work than products.
func (m *moments) wide() bool {
	return m.products == nil && m.groups == 1 && 2*m.row > 3*m.picked
}

// round chooses the integers of the nodes' weights, and their scale where neighbours limit each
// other.
func (m *moments) round(r *rounder) error {
	m.sumUp(m.compensate && !m.wide())
	if len(m.block) > 0 {
		m.flush()
	}
	for group, p := range m.products {
		_, after := m.means(group)
		m.covariance(p, after)
	}
	current := -1
	by := func(group int) (attempt, error) {
		if !m.compensate {
			return toNearest{}, nil
		}
		if group == current {
			return r, nil
		}
		current = group
		if m.wide() {
			x, extra := m.centred()
			return r, r.span(x, m.row, extra)
		}
		return r, r.setUp(m.products[group])
	}
	for _, n := range m.nodes {
		if err := m.roundNode(n, by); err != nil {
			return nodeError(n, err)
		}
	}
	return nil
}

// roundNode does so for one of them.
func (m *moments) roundNode(n *graph.Node, by func(group int) (attempt, error)) error {
	w := weightsOf(n)
	rounded := make([]float32, len(w.data))
	shift := make([]float64, w.channels())
	perGroup := w.channels() / m.groups
	if err := w.chooseShared(m.groups, by); err != nil {
		return err
	}
	for group := range m.groups {
		before, after := m.means(group)
		try, err := by(group)
		if err != nil {
			return err
		}
		for first := group * perGroup; first < (group+1)*perGroup; first += channelsTogether {
			rows := w.rows(first, min(channelsTogether, (group+1)*perGroup-first))
			q := w.settle(rows, first, try)
			if r, ok := try.(*rounder); ok {
				r.refine(rows, q)
			}
			for i, k := range rows.index {
				rounded[k] = q[i]
				o, e := i/m.row, i%m.row
				shift[first+o] += float64(rows.weights[i])*before[e] - float64(q[i])*after[e]
			}
		}
	}
	mapped.Release(w.value.Const.Bytes())
	w.replace(rounded)
	addToBias(n, shift)
	scaleBias(n)
	return nil
}

// channelsTogether is how many channels are rounded at a time, which bounds the memory that takes.
const channelsTogether = 256
