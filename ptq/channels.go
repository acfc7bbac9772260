package ptq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// sampleBatch is how many inputs are run at once where all tensors are kept.
const sampleBatch = 4

// sampleTensors runs g over the first count inputs of data and hands every batch's
// values of some tensors to f, in the order of the data. f must not keep them.
func sampleTensors(ctx context.Context, g *graph.Graph, values []*graph.Value, data dataset.Source, count, threads int, f func([]*tensor.Tensor) error) error {
	part := *g
	part.Outputs = values
	net, err := engine.Compile(&part, engine.WithThreads(threads))
	if err != nil {
		return err
	}
	var outputs []*tensor.Tensor
	done := 0
	data, _ = net.Separate(data)
	for inputs, err := range data.Batches(sampleBatch) {
		if err != nil {
			return fmt.Errorf("ptq: calibration data: %w", err)
		}
		// The tensors of the last batch serve again, unless this one is smaller or
		// their sizes are known only by running.
		if outputs != nil {
			err = net.RunInto(ctx, outputs, inputs)
		}
		if outputs == nil || errors.Is(err, engine.ErrInput) {
			outputs, err = net.Run(ctx, inputs...)
		}
		if err != nil {
			return err
		}
		if err := f(outputs); err != nil {
			return err
		}
		if done += dataset.Count(data, inputs); done >= count {
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
	data := t.F32()
	for i := 0; i < len(data); i += inner {
		c := i / inner % channels
		largest, square := math.Abs(float64(data[i])), float64(data[i])*float64(data[i])
		if inner > 1 {
			of := asm.StatsF32(data[i : i+inner])
			largest, square = float64(of.MaxAbs()), of.SumSq
		}
		s.max[c] = math.Max(s.max[c], largest)
		s.square[c] += square
	}
	s.count += float64(len(data) / channels)
}

// workersFor returns the number of threads, that of the processors for 0.
func workersFor(threads int) int {
	if threads <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return threads
}

// sideBySide calls f for i from 0 to n-1, in this order, on workersFor(threads) workers that take the next when they
// are done. It returns the first error; a panic becomes one, since nobody else could catch it.
func sideBySide(threads, n int, f func(worker, i int) error) error {
	var group errgroup.Group
	var next atomic.Int64
	for worker := range min(workersFor(threads), n) {
		group.Go(func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("ptq: internal error: %v", r)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(worker, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
