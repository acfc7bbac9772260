package ptq

import (
	"context"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	fewInputs     = 48 // how many inputs show the second moments, see inputsFor
	manyInputs    = 256
	someProducts  = 110 << 20 // elements of products, times inputs: less than a tenth of a second
	damping       = 0.01      // added to the diagonal, as a share of its mean
	sumError      = 1e-6      // relative error of sums in float32, added as well
	maxDampings   = 12        // how often more is added until the covariance can be inverted
	descentSweeps = 4
)

// compensateWeights chooses the integers of the weights so that the results of each
// affine node, not the weights themselves, come closest to the float ones on inputs
// of data. Rounding one weight makes an error that the weights not yet rounded can take back as far as their inputs
// are correlated (optimal brain quantization, Frantar et al. 2022, with the
// covariance of the layer's inputs); then each integer is moved up or down as long as that
// brings the result closer. What is left of the mean error goes into the bias.
//
// The scales must be known. It returns the names of nodes for which that is not known how;
// their weights are rounded to nearest.
func compensateWeights(ctx context.Context, j *Job) (skipped []string, err error) {
	return roundOnData(ctx, j, true)
}

// correctBiases rounds the weights of every affine node to nearest and takes the shift that
// this causes in the mean of each channel, as seen on inputs of data, out of the bias.
// It returns the names of nodes for which that is not known how; those are only rounded.
func correctBiases(ctx context.Context, j *Job) (skipped []string, err error) {
	return roundOnData(ctx, j, false)
}

// roundOnData rounds the weights of all affine nodes by what their inputs are: those are seen in one pass over some of the data.
func roundOnData(ctx context.Context, j *Job, compensate bool) (skipped []string, err error) {
	todo, other, err := j.net.moments(compensate)
	if err != nil {
		return nil, err
	}
	for _, n := range other {
		skipped = append(skipped, n.Name)
	}
	if len(todo) > 0 {
		if err := j.pickPlaces(ctx, todo); err != nil {
			return nil, err
		}
	}
	j.observer = nil                                                                    // its packed weights make room
	slices.SortStableFunc(todo, func(a, b *moments) int { return b.work() - a.work() }) // no thread ends with a long one
	rounders := make([]rounder, workersFor(j.c.threads))
	return skipped, sideBySide(j.c.threads, len(todo)+len(other), func(worker, i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i >= len(todo) {
			weightsOf(other[i-len(todo)]).roundNearest()
			return nil
		}
		m := todo[i]
		todo[i] = nil // what is done may be freed
		return m.round(&rounders[worker])
	})
}

// moments returns what the weights of the network's affine nodes meet, still empty, and the nodes of which that is not known.
func (net *network) moments(compensate bool) (todo []*moments, other []*graph.Node, err error) {
	inputs := make(map[string]*graph.Value)
	for _, n := range net.plan.Graph.Nodes {
		inputs[n.Name] = n.In(0)
	}
	for _, n := range net.Nodes {
		if !isAffine(n) {
			continue
		}
		p := patchesOf(n)
		if p == nil || weightsOf(n).axis < 0 {
			other = append(other, n)
			continue
		}
		if k := slices.IndexFunc(todo, func(m *moments) bool { return m.serves(n, p) }); k >= 0 {
			todo[k].nodes = append(todo[k].nodes, n)
			continue
		}
		m, err := newMoments(n, p, inputs[n.Name], compensate)
		if err != nil {
			return nil, nil, err
		}
		todo = append(todo, m)
	}
	return todo, other, nil
}

// inputsFor returns how many inputs to look at: as many as some work allows, between a few, which for 8-bit
// weights of a convolution are enough, since they meet each input at many places, and many, which
// is what fewer bits and matrices need.
func inputsFor(all []*moments) int {
	work := 0
	for _, m := range all {
		if slices.ContainsFunc(m.nodes, func(n *graph.Node) bool { return weightsOf(n).scaling.Bits < 8 }) {
			return manyInputs
		}
		if len(m.kernel) > 0 {
			work += m.groups * m.row * m.row
		}
	}
	if work == 0 {
		return manyInputs // matrices only, unless [enough] are seen before
	}
	return min(max(someProducts/work, fewInputs), manyInputs)
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
