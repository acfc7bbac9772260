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
	Network uint32 // tells networks apart, whatever the options

	// Origins says which inputs these were, of each part that was merged, as far as that is known.
	Origins []dataset.Origin
}

// Merge adds what o has seen, of the same tensors. Like [Histogram.Merge] it is
// associative and commutative.
func (s *Statistics) Merge(o *Statistics) {
	if s.Tensors == nil {
		s.Tensors = make(map[string]*Histogram)
	}
	s.Inputs += o.Inputs
	s.Origins = append(s.Origins, o.Origins...)
	s.sortOrigins()
	for name, h := range o.Tensors {
		if s.Tensors[name] == nil {
			s.Tensors[name] = new(Histogram)
		}
		s.Tensors[name].Merge(h)
	}
}

// observe runs the plan's float network over data, in batches, on the given number of
// threads (0 for all processors), and gathers the statistics of every place, whether it is on
// or not. Its memory does not grow with the number of inputs, and the
// result is the same for any batch size and number of threads. progress, if not
// nil, is told how many inputs are done after each batch.
func (p *Plan) observe(ctx context.Context, data dataset.Source, batch, threads int, progress func(done int)) (*Statistics, error) {
	var values []*graph.Value
	for _, pl := range p.Places {
		if pl.reader == nil {
			values = append(values, pl.Value)
		}
	}
	o := &observer{broken: make([]error, len(values))}
	net, err := engine.Compile(p.Graph, engine.WithThreads(threads), engine.WithObserver(o, values))
	if err != nil {
		return nil, err
	}
	for range net.Threads() {
		o.seen = append(o.seen, make([]Histogram, len(values)))
	}
	inputs := 0
	for x, err := range data.Batches(batch) {
		if err != nil {
			return nil, fmt.Errorf("ptq: calibration data: %w", err)
		}
		if _, err := net.Run(ctx, x...); err != nil {
			return nil, err
		}
		if err := p.brokenPlace(o, values); err != nil {
			return nil, err
		}
		inputs += dataset.Count(data, x)
		if progress != nil {
			progress(inputs)
		}
	}
	if inputs == 0 {
		return nil, fmt.Errorf("ptq: calibration data: %w", dataset.ErrEmpty)
	}
	stats := &Statistics{Tensors: make(map[string]*Histogram), Inputs: inputs, Network: p.network}
	for i, v := range values {
		if o.broken[i] != nil {
			continue
		}
		h := &o.seen[0][i]
		for _, seen := range o.seen[1:] {
			h.Merge(&seen[i])
		}
		stats.Tensors[v.Name] = h
	}
	return stats, nil
}

// brokenPlace returns an error if a tensor that is to become integers was seen not to be finite. One
// that stays in float may be.
func (p *Plan) brokenPlace(o *observer, values []*graph.Value) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, err := range o.broken {
		if err != nil && p.byValue[values[i]].On {
			return fmt.Errorf("ptq: tensor %q during calibration: %w", values[i].Name, err)
		}
	}
	return nil
}

// observer gives each worker a histogram of its own for every value.
type observer struct {
	seen   [][]Histogram // by worker and value
	mu     sync.Mutex
	broken []error // by value
}

// Observe implements [engine.Observer].
func (o *observer) Observe(worker, value int, x []float32) {
	if err := o.seen[worker][value].Add(x); err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.broken[value] = err
	}
}
