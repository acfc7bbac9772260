package ptq

import (
	"context"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// sampleBatch is how many inputs are run at once where all tensors are kept.
const sampleBatch = 8

// sampleTensors runs g over the first count inputs of data and hands every batch's
// values of some tensors to f, in the order of the data.
func sampleTensors(ctx context.Context, g *graph.Graph, values []*graph.Value, data dataset.Source, count, threads int, f func([]*tensor.Tensor) error) error {
	part := *g
	part.Outputs = values
	net, err := engine.Compile(&part, engine.WithThreads(threads))
	if err != nil {
		return err
	}
	done := 0
	for inputs, err := range data.Batches(sampleBatch) {
		if err != nil {
			return fmt.Errorf("ptq: calibration data: %w", err)
		}
		outputs, err := net.Run(ctx, inputs...)
		if err != nil {
			return err
		}
		if err := f(outputs); err != nil {
			return err
		}
		if done += inputs[0].Shape()[0]; done >= count {
			break
		}
	}
	return nil
}

// channelStats are the largest magnitude and mean square of each channel.
type channelStats struct {
	max, square []float64
	count       float64
}

// add takes in a tensor whose axis 1, or last axis if its channels are there, has
// the given number of channels.
func (s *channelStats) add(t *tensor.Tensor, channels int) {
	shape := t.Shape()
	inner := 1
	if len(shape) > 2 && shape[1] == channels {
		inner = tensor.Volume(shape[2:])
	}
	if s.max == nil {
		s.max, s.square = make([]float64, channels), make([]float64, channels)
	}
	for i, v := range t.F32() {
		c := i / inner % channels
		x := float64(v)
		if x > s.max[c] || -x > s.max[c] {
			s.max[c] = math.Abs(x)
		}
		s.square[c] += x * x
	}
	s.count += float64(t.Len() / channels)
}
