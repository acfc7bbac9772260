package ptq

import (
	"context"
	"fmt"
	"sync"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
)

// Statistics are what calibration saw: a histogram of every tensor that is to
// become integers, by name.
type Statistics struct {
	Tensors map[string]*Histogram
	Inputs  int    // how many inputs of the network were seen
	Network uint32 // tells networks apart; 0 if only [Calibrate] was used
}

// Merge adds what o has seen, of the same tensors. Like [Histogram.Merge] it is
// associative and commutative.
func (s *Statistics) Merge(o *Statistics) {
	if s.Tensors == nil {
		s.Tensors = make(map[string]*Histogram)
	}
	s.Inputs += o.Inputs
	for name, h := range o.Tensors {
		if s.Tensors[name] == nil {
			s.Tensors[name] = new(Histogram)
		}
		s.Tensors[name].Merge(h)
	}
}

// Calibrate runs a float network over data, in batches, on the given number of
// threads (0 for all processors), and gathers the statistics of every tensor at
// a scaling node. Its memory does not grow with the number of inputs, and the
// result is the same for any batch size and number of threads. progress, if not
// nil, is told how many inputs are done after each batch.
func Calibrate(ctx context.Context, g *graph.Graph, data dataset.Source, batch, threads int, progress func(done int)) (*Statistics, error) {
	plain, values := withoutScaling(g)
	stats := &Statistics{Tensors: make(map[string]*Histogram)}
	o := new(observer)
	net, err := engine.Compile(plain, engine.WithThreads(threads), engine.WithObserver(o, values))
	if err != nil {
		return nil, err
	}
	o.init(net.Threads(), values)
	for inputs, err := range data.Batches(batch) {
		if err != nil {
			return nil, fmt.Errorf("ptq: calibration data: %w", err)
		}
		if _, err := net.Run(ctx, inputs...); err != nil {
			return nil, err
		}
		if o.err != nil {
			return nil, o.err
		}
		stats.Inputs += dataset.Count(data, inputs)
		if progress != nil {
			progress(stats.Inputs)
		}
	}
	if stats.Inputs == 0 {
		return nil, fmt.Errorf("ptq: calibration data: %w", dataset.ErrEmpty)
	}
	for i, v := range values {
		h := &o.seen[0][i]
		for w := range o.seen[1:] {
			h.Merge(&o.seen[1+w][i])
		}
		stats.Tensors[v.Name] = h
	}
	return stats, nil
}

// observer gives each worker a histogram of its own for every value.
type observer struct {
	values []*graph.Value
	seen   [][]Histogram // by worker and value
	mu     sync.Mutex
	err    error
}

func (o *observer) init(workers int, values []*graph.Value) {
	o.values = values
	for range workers {
		o.seen = append(o.seen, make([]Histogram, len(values)))
	}
}

// Observe implements [engine.Observer].
func (o *observer) Observe(worker, value int, x []float32) {
	if err := o.seen[worker][value].Add(x); err != nil {
		o.mu.Lock()
		o.err = fmt.Errorf("ptq: tensor %q during calibration: %w", o.values[value].Name, err)
		o.mu.Unlock()
	}
}

// withoutScaling returns a copy of g in which what reads a scaling node reads its
// input, and the values, in the copy, that activations' scaling nodes read in g.
func withoutScaling(g *graph.Graph) (plain *graph.Graph, values []*graph.Value) {
	plain = g.Clone()
	for _, n := range plain.Nodes {
		s := scalingOf(n)
		if s == nil {
			continue
		}
		if !isWeight(n) {
			values = append(values, n.Inputs[0])
		}
		for _, m := range plain.Nodes {
			for i, v := range m.Inputs {
				if v == n.Outputs[0] {
					m.Inputs[i] = n.Inputs[0]
				}
			}
		}
		for i, v := range plain.Outputs {
			if v == n.Outputs[0] {
				plain.Outputs[i] = n.Inputs[0]
			}
		}
	}
	kept := plain.Nodes[:0]
	for _, n := range plain.Nodes {
		if scalingOf(n) == nil {
			kept = append(kept, n)
		}
	}
	plain.Nodes = kept
	return plain, values
}
