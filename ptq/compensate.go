package ptq

import (
	"context"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	fewInputs     = 48 // how many inputs show the second moments, see inputsFor
	manyInputs    = 256
	someProducts  = 110 << 20 // elements of products, times inputs: less than a tenth of a second
	maxMoments    = 4 << 20   // elements of the matrices that are held at once
	maxRow        = 2048      // longest row that is compensated; beyond, the matrix is too large
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
// The scales must be known. It returns the names of nodes whose rows are too long for that;
// their weights are rounded to nearest.
func compensateWeights(ctx context.Context, net *network, data dataset.Source, threads int) (skipped []string, err error) {
	return roundOnData(ctx, net, data, threads, true)
}

// correctBiases rounds the weights of every affine node to nearest and takes the shift that
// this causes in the mean of each channel, as seen on inputs of data, out of the bias.
// It returns the names of nodes for which that is not known how; those are only rounded.
func correctBiases(ctx context.Context, net *network, data dataset.Source, threads int) (skipped []string, err error) {
	return roundOnData(ctx, net, data, threads, false)
}

// roundOnData rounds the weights of all affine nodes by what their inputs are.
func roundOnData(ctx context.Context, net *network, data dataset.Source, threads int, compensate bool) (skipped []string, err error) {
	plain := net.plan.Graph
	inputs := make(map[string]*graph.Value)
	for _, n := range plain.Nodes {
		inputs[n.Name] = n.In(0)
	}
	var todo []*moments
	for _, n := range net.Nodes {
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
	err := sampleTensors(ctx, plain, values, data, inputsFor(nodes), threads, func(batch []*tensor.Tensor) error {
		return sideBySide(threads, len(nodes), func(_, i int) error {
			nodes[i].add(batch[i])
			return nil
		})
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(nodes, func(a, b *moments) int { return b.size() - a.size() }) // no thread ends with a long one
	rounders := make([]rounder, workersFor(threads))
	return sideBySide(threads, len(nodes), func(worker, i int) error {
		if err := nodes[i].round(&rounders[worker]); err != nil {
			return nodeError(nodes[i].node, err)
		}
		return nil
	})
}

// inputsFor returns how many inputs to look at: as many as some work allows, between a few, which for 8-bit
// weights of a convolution are enough, since they meet each input at many places, and many, which
// is what fewer bits and matrices need.
func inputsFor(nodes []*moments) int {
	work := 0
	for _, m := range nodes {
		if len(m.kernel) == 0 {
			continue
		}
		if weightsOf(m.node).scaling.Bits < 8 {
			return manyInputs
		}
		work += m.groups * m.row * m.row
	}
	if work == 0 {
		return manyInputs // matrices only
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
