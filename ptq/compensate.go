package ptq

import (
	"context"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	compensateInputs = 256     // how many inputs show the second moments
	maxMoments       = 3 << 20 // elements of the matrices that are held at once
	maxRow           = 2048    // longest row that is compensated; beyond, the matrix is too large
	damping          = 0.01    // added to the diagonal, as a share of its mean
	sumError         = 1e-6    // relative error of sums in float32, added as well
	maxDampings      = 12      // how often more is added until the covariance can be inverted
	descentSweeps    = 4
)

// CompensateWeights chooses the integers of the weights so that the results of each
// affine node, not the weights themselves, come closest to the float ones on inputs
// of data. Rounding one weight makes an error that the weights not yet rounded can take back as far as their inputs
// are correlated (optimal brain quantization, Frantar et al. 2022, with the
// covariance of the layer's inputs); then each integer is moved up or down as long as that
// brings the result closer. What is left of the mean error goes into the bias.
//
// The scales must be known. It returns the names of nodes whose rows are too long for that;
// their weights are rounded to nearest.
func CompensateWeights(ctx context.Context, g *graph.Graph, data dataset.Source, threads int) (skipped []string, err error) {
	return roundOnData(ctx, g, data, threads, true)
}

// CorrectBiases rounds the weights of every affine node to nearest and takes the shift that
// this causes in the mean of each channel, as seen on inputs of data, out of the bias.
// It returns the names of nodes for which that is not known how; those are only rounded.
func CorrectBiases(ctx context.Context, g *graph.Graph, data dataset.Source, threads int) (skipped []string, err error) {
	return roundOnData(ctx, g, data, threads, false)
}

// roundOnData rounds the weights of all affine nodes by what their inputs are.
func roundOnData(ctx context.Context, g *graph.Graph, data dataset.Source, threads int, compensate bool) (skipped []string, err error) {
	plain, _ := withoutScaling(g)
	inputs := make(map[string]*graph.Value)
	for _, n := range plain.Nodes {
		inputs[n.Name] = n.In(0)
	}
	var todo []*moments
	for _, n := range g.Nodes {
		if !isAffine(n) {
			continue
		}
		p := patchesOf(n)
		if p == nil || weightsOf(n).axis < 0 || compensate && p.row > maxRow {
			skipped = append(skipped, n.Name)
			weightsOf(n).roundNearest()
			continue
		}
		todo = append(todo, &moments{patches: p, node: n, input: inputs[n.Name], compensate: compensate})
	}
	for len(todo) > 0 {
		count, size := 0, 0
		for count < len(todo) && (count == 0 || size < maxMoments) {
			size += todo[count].size()
			count++
		}
		if err := roundTogether(ctx, plain, todo[:count], data, threads); err != nil {
			return nil, err
		}
		todo = slices.Clone(todo[count:]) // what is done may be freed
	}
	return skipped, nil
}

// roundTogether rounds the weights of some nodes, in one pass over the data.
func roundTogether(ctx context.Context, plain *graph.Graph, nodes []*moments, data dataset.Source, threads int) error {
	values := make([]*graph.Value, len(nodes))
	for i, m := range nodes {
		values[i] = m.input
		if err := m.allocate(); err != nil {
			return err
		}
	}
	err := sampleTensors(ctx, plain, values, data, compensateInputs, threads, func(batch []*tensor.Tensor) error {
		for i, t := range batch {
			nodes[i].add(t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(max(threads, 1))
	for _, m := range nodes {
		group.Go(func() error {
			if err := m.round(); err != nil {
				return nodeError(m.node, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// moments are the sums of a node's inputs, before and after they are brought to
// integers, and of the products of the latter, for each group of channels.
type moments struct {
	*patches
	node       *graph.Node
	input      *graph.Value // in the graph that is run
	compensate bool         // whether products are needed
	grid       asm.Grid[int32]
	rounded    []float32 // scratch: a row after the rounding of activations
	groups     []groupMoments
}

type groupMoments struct {
	count    int
	sum      []float64 // of each element of a row
	sumInt   []float64 // the same after rounding and clipping
	products []float32 // row x row; nil if they are not needed
	block    []float32 // rows not yet in products
}

// blockRows is how many rows are multiplied at a time.
const blockRows = 64

// size returns how many elements will be allocated.
func (m *moments) size() int {
	if !m.compensate {
		return m.patches.groups * m.row
	}
	return m.patches.groups * m.row * (m.row + blockRows)
}

func (m *moments) allocate() error {
	l := scalingOf(m.node.Inputs[0].Node).levels(0)
	var err error
	if m.grid, err = asm.NewGrid(float32(l.Scale), int32(l.Zero), int32(l.Min), int32(l.Max)); err != nil {
		return nodeError(m.node, err)
	}
	m.rounded = make([]float32, m.row)
	m.groups = make([]groupMoments, m.patches.groups)
	for i := range m.groups {
		m.groups[i].sum, m.groups[i].sumInt = make([]float64, m.row), make([]float64, m.row)
		if m.compensate {
			m.groups[i].products = make([]float32, m.row*m.row)
			m.groups[i].block = make([]float32, 0, blockRows*m.row)
		}
	}
	return nil
}

// add takes in a batch of inputs.
func (m *moments) add(t *tensor.Tensor) {
	m.each(t, func(group int, x []float32) {
		g := &m.groups[group]
		m.grid.QuantizeDequantize(m.rounded, x)
		for i, v := range x {
			g.sum[i] += float64(v)
			g.sumInt[i] += float64(m.rounded[i])
		}
		g.count++
		if g.products == nil {
			return
		}
		if g.block = append(g.block, m.rounded...); len(g.block) == cap(g.block) {
			g.flush()
		}
	})
}

// flush adds the products of the rows in the block.
func (g *groupMoments) flush() {
	row := len(g.sum)
	if n := len(g.block) / row; n > 0 {
		asm.SgemmF32(true, false, row, row, n, 1, g.block, row, g.block, row, 1, g.products, row)
	}
	g.block = g.block[:0]
}

// means returns the mean of one group's inputs, before and after rounding: zeros for a
// node without a bias, into which a mean error could go.
func (m *moments) means(group int) (before, after []float64) {
	before, after = make([]float64, m.row), make([]float64, m.row)
	if g := &m.groups[group]; m.node.In(2) != nil && g.count > 0 {
		for i := range g.sum {
			before[i], after[i] = g.sum[i]/float64(g.count), g.sumInt[i]/float64(g.count)
		}
	}
	return before, after
}

// covariance returns the damped covariance of one group's inputs.
func (m *moments) covariance(group int, mean []float64) *mat.SymDense {
	g := &m.groups[group]
	g.flush()
	n := float64(max(g.count, 1))
	c := mat.NewSymDense(m.row, nil)
	spread, energy := 0.0, 0.0
	for i := range m.row {
		for j := range i + 1 {
			c.SetSym(i, j, float64(g.products[i*m.row+j])/n-mean[i]*mean[j])
		}
		spread += math.Max(c.At(i, i), 0)
		energy += float64(g.products[i*m.row+i]) / n
	}
	extra := (damping*spread+sumError*energy)/float64(m.row) + 1e-12
	for i := range m.row {
		c.SetSym(i, i, math.Max(c.At(i, i), 0)+extra)
	}
	return c
}

// round chooses the integers of the node's weights.
func (m *moments) round() error {
	w := weightsOf(m.node)
	rounded := make([]float32, len(w.data))
	shift := make([]float64, w.channels())
	perGroup := w.channels() / len(m.groups)
	for group := range m.groups {
		before, after := m.means(group)
		solve := nearest
		if m.compensate {
			r, err := newRounder(m.covariance(group, after))
			if err != nil {
				return err
			}
			solve = r.round
		}
		for o := group * perGroup; o < (group+1)*perGroup; o++ {
			var index []int
			w.each(o, func(i int) { index = append(index, i) })
			row := make([]float64, len(index))
			for k, i := range index {
				row[k] = float64(w.data[i])
			}
			l := w.scaling.levels(o)
			l.Min = -l.Max
			for k, q := range solve(row, l) {
				rounded[index[k]] = float32(q)
				shift[o] += row[k]*before[k] - q*after[k]
			}
		}
	}
	w.replace(rounded)
	addToBias(m.node, shift)
	return nil
}

// nearest returns the values of the grid l that are nearest to the weights of a row.
func nearest(row []float64, l Levels) []float64 {
	q := make([]float64, len(row))
	for i, w := range row {
		q[i] = l.Round(w)
	}
	return q
}

// addToBias adds to the bias of an affine node, if it has one.
func addToBias(n *graph.Node, shift []float64) {
	b := n.In(2)
	if b == nil {
		return
	}
	old := b.Node.Inputs[0]
	data := slices.Clone(old.Const.Float32s())
	for i := range data {
		data[i] = float32(float64(data[i]) + shift[i])
	}
	b.Node.Inputs[0] = graph.NewConst(old.Name, tensor.From(data, old.Const.Shape()...))
}
