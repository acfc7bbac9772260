package ptq

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
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

// observe runs the float network over data, in batches, and gathers the statistics of every place, whether it is on
// or not, without the inputs that are held back. Its memory does not grow with the
// number of inputs, and the result is the same for any batch size and number of threads.
func (o *observer) observe(ctx context.Context, data dataset.Source, held *holdout, c *config) (*Statistics, error) {
	at := 0
	data, why := o.net.Separate(data)
	held.alone = held.alone || why != ""
	for batch, err := range data.Batches(c.batch) {
		if err != nil {
			return nil, fmt.Errorf("ptq: calibration data: %w", err)
		}
		size := dataset.Count(data, batch)
		if x := held.split(batch, at, size); x != nil {
			if _, err := o.run(ctx, x); err != nil {
				return nil, err
			}
		}
		if at += size; c.progress != nil {
			c.progress(at)
		}
	}
	if at == 0 {
		return nil, fmt.Errorf("ptq: calibration data: %w", dataset.ErrEmpty)
	}
	stats := o.statistics(at - held.counts.held)
	held.group()
	o.done = true
	for _, x := range held.held {
		y, err := o.run(ctx, x)
		if err != nil {
			return nil, err
		}
		held.want = append(held.want, y)
	}
	return stats, nil
}

// observer gives each worker a histogram of its own for every place that is computed.
// It shows the inputs of layers as well, see [picker].
type observer struct {
	plan   *Plan
	net    *engine.Net
	places []*Place             // whose values come first among those that are observed
	index  map[*graph.Value]int // of observed values
	seen   [][]Histogram        // by worker and place
	mu     sync.Mutex
	broken []error // by place
	done   bool    // what runs now is not to be counted
}

func (p *Plan) newObserver(threads int) (*observer, error) {
	o := &observer{plan: p, index: make(map[*graph.Value]int)}
	var values []*graph.Value
	for _, pl := range p.Places {
		if pl.reader == nil {
			o.places, values = append(o.places, pl), append(values, pl.Value)
		}
	}
	for _, v := range append(slices.Clone(values), p.layerInputs()...) {
		if _, twice := o.index[v]; !twice {
			o.index[v] = len(o.index)
		}
	}
	for _, v := range p.layerInputs() {
		if o.index[v] == len(values) {
			values = append(values, v)
		}
	}
	var err error
	o.net, err = engine.Compile(p.Graph, engine.WithThreads(threads), engine.WithObserver(o, values))
	if err != nil {
		return nil, err
	}
	o.broken = make([]error, len(o.places))
	for range o.net.Threads() {
		o.seen = append(o.seen, make([]Histogram, len(o.places)))
	}
	return o, nil
}

// run runs the network on a batch. A tensor that is to become integers must be finite; one that stays in float
// need not.
func (o *observer) run(ctx context.Context, x []*tensor.Tensor) ([]*tensor.Tensor, error) {
	y, err := o.net.Run(ctx, x...)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, err := range o.broken {
		if err != nil && o.places[i].On {
			return nil, fmt.Errorf("ptq: tensor %q during calibration: %w", o.places[i].Value.Name, err)
		}
	}
	return y, nil
}

// statistics puts together what the workers have seen of so many inputs.
func (o *observer) statistics(inputs int) *Statistics {
	stats := &Statistics{Tensors: make(map[string]*Histogram), Inputs: inputs, Network: o.plan.network}
	for i, pl := range o.places {
		if o.broken[i] != nil {
			continue
		}
		h := &o.seen[0][i]
		for _, seen := range o.seen[1:] {
			h.Merge(&seen[i])
		}
		stats.Tensors[pl.Value.Name] = h
	}
	return stats
}

// Observe implements [engine.Observer].
func (o *observer) Observe(worker, place int, x []float32) {
	if o.done || place >= len(o.places) {
		return
	}
	if err := o.seen[worker][place].Add(x); err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.broken[place] = err
	}
}
