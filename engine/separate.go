package engine

import (
	"iter"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// Separate returns source so that no result depends on how its inputs are put into
// batches: as it is if the network is proved to keep the inputs of a batch apart, else
// one at a time. why says then what stands in the way of a proof.
func (net *Net) Separate(source dataset.Source) (separate dataset.Source, why string) {
	if net.fixedBatch() {
		return source, ""
	}
	if types := firstTypes(source); types != nil {
		why = program.MixesBatch(net.graph, types)
		if slices.ContainsFunc(types, func(t op.Type) bool { return len(t.Shape) == 0 }) {
			why = "an input is a single number"
		}
	}
	if why == "" {
		return source, ""
	}
	return oneByOne{source}, why
}

// SampleAxes returns the axis of each output along which the results of several inputs lie, nil where that cannot be
// told: the file fixes the batch, or the network is not proved to keep the inputs of a batch apart.
func (net *Net) SampleAxes(source dataset.Source) []int {
	types := firstTypes(source)
	if types == nil || net.fixedBatch() {
		return nil
	}
	return program.SampleAxes(net.graph, types)
}

// firstTypes returns the types of the first inputs, nil if there are none or they cannot be read, which who reads on finds out.
func firstTypes(source dataset.Source) []op.Type {
	for inputs, err := range source.Batches(1) {
		if err != nil {
			return nil
		}
		types := make([]op.Type, len(inputs))
		for i, t := range inputs {
			types[i] = op.TypeOf(t)
		}
		return types
	}
	return nil
}

// fixedBatch reports whether the file says of every input how long its axis 0 is: then
// a batch is what it takes.
func (net *Net) fixedBatch() bool {
	for _, v := range net.graph.Inputs {
		if !v.Type.Known || len(v.Type.Shape) == 0 || v.Type.Shape[0] < 0 {
			return false
		}
	}
	return true
}

// oneByOne is a source whose batches are of one input, or of what the network fixes.
type oneByOne struct{ dataset.Source }

// Batches implements [dataset.Source].
func (s oneByOne) Batches(int) iter.Seq2[[]*tensor.Tensor, error] { return s.Source.Batches(1) }

// Count implements [dataset.Counter].
func (s oneByOne) Count(batch []*tensor.Tensor) int { return dataset.Count(s.Source, batch) }
