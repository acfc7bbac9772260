package engine

import (
	"iter"

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
	for inputs, err := range source.Batches(1) {
		if err != nil {
			break // who reads on finds out
		}
		types := make([]op.Type, len(inputs))
		for i, t := range inputs {
			types[i] = op.TypeOf(t)
			if t.Rank() == 0 {
				why = "an input is a single number"
			}
		}
		if why == "" {
			why = program.MixesBatch(net.graph, types)
		}
		break
	}
	if why == "" {
		return source, ""
	}
	return oneByOne{source}, why
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
