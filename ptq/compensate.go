package ptq

import (
	"context"
	"fmt"
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
	maxMoments       = 8 << 20 // elements of the matrices that are held at once
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
	var todo []*graph.Node
	for _, n := range g.Nodes {
		if !isAffine(n) {
			continue
		}
		if p := patchesOf(n); p == nil || p.row > maxRow {
			skipped = append(skipped, n.Name)
			weightsOf(n).roundNearest()
			continue
		}
		todo = append(todo, n)
	}
	plain, _ := withoutScaling(g)
	inputs := make(map[string]*graph.Value)
	for _, n := range plain.Nodes {
		inputs[n.Name] = n.In(0)
	}
	for len(todo) > 0 {
		count, size := 0, 0
		for count < len(todo) && (count == 0 || size < maxMoments) {
			p := patchesOf(todo[count])
			size += p.groups * p.row * p.row
			count++
		}
		if err := compensate(ctx, plain, todo[:count], inputs, data, threads); err != nil {
			return nil, err
		}
		todo = todo[count:]
	}
	return skipped, nil
}

// compensate rounds the weights of some nodes, in one pass over the data.
func compensate(ctx context.Context, plain *graph.Graph, nodes []*graph.Node, inputs map[string]*graph.Value, data dataset.Source, threads int) error {
	values := make([]*graph.Value, len(nodes))
	moments := make([]*moments, len(nodes))
	for i, n := range nodes {
		values[i] = inputs[n.Name]
		moments[i] = newMoments(patchesOf(n))
	}
	err := sampleTensors(ctx, plain, values, data, compensateInputs, threads, func(batch []*tensor.Tensor) error {
		for i, t := range batch {
			moments[i].add(t)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(max(threads, 1))
	for i, n := range nodes {
		group.Go(func() error {
			if err := moments[i].round(n); err != nil {
				return nodeError(n, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// moments are the sums of the products of a node's inputs, for each group of
// channels.
type moments struct {
	*patches
	groups []groupMoments
}

type groupMoments struct {
	count    int
	sum      []float64 // of each element of a row
	products []float32 // row x row
	block    []float32 // rows not yet in products
}

// blockRows is how many rows are multiplied at a time.
const blockRows = 64

func newMoments(p *patches) *moments {
	m := &moments{patches: p, groups: make([]groupMoments, p.groups)}
	for i := range m.groups {
		m.groups[i] = groupMoments{
			sum:      make([]float64, p.row),
			products: make([]float32, p.row*p.row),
			block:    make([]float32, 0, blockRows*p.row),
		}
	}
	return m
}

// add takes in a batch of inputs.
func (m *moments) add(t *tensor.Tensor) {
	m.each(t, func(group int, x []float32) {
		g := &m.groups[group]
		for i, v := range x {
			g.sum[i] += float64(v)
		}
		g.count++
		if g.block = append(g.block, x...); len(g.block) == cap(g.block) {
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

// covariance returns the damped covariance of one group's inputs, and their means.
func (m *moments) covariance(group int) (*mat.SymDense, []float64) {
	g := &m.groups[group]
	g.flush()
	mean := slices.Clone(g.sum)
	n := float64(max(g.count, 1))
	for i := range mean {
		mean[i] /= n
	}
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
	return c, mean
}

// round chooses the integers of a node's weights.
func (m *moments) round(n *graph.Node) error {
	w := weightsOf(n)
	rounded := make([]float32, len(w.data))
	outputs := w.channels()
	if w.axis < 0 {
		return fmt.Errorf("its weights have no axis of channels")
	}
	shift := make([]float64, outputs)
	perGroup := outputs / len(m.groups)
	for group := range m.groups {
		c, mean := m.covariance(group)
		solver, err := newRounder(c)
		if err != nil {
			return err
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
			q := solver.round(row, l)
			for k, i := range index {
				rounded[i] = float32(q[k])
				shift[o] += (row[k] - q[k]) * mean[k]
			}
		}
	}
	w.replace(rounded)
	addToBias(n, shift)
	return nil
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
	nearest := make([]float64, len(row))
	for i, w := range row {
		nearest[i] = l.Round(w)
	}
	if r.cost(row, nearest) < r.cost(row, q) {
		q = nearest
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
