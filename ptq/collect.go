package ptq

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Collect gathers the statistics of a float network's tensors on data, for
// [WithStatistics]: so that calibration can be done in shards, on many machines, and
// merged. It does not change g.
//
// start, if not nil, is what an earlier call had gathered of the first start.Inputs inputs;
// those are skipped. It is an error if that was of other inputs, as far as data knows its origin ([dataset.Known]). save, if not nil, is called after every so many inputs with
// what has been gathered so far, which it must not keep.
func Collect(ctx context.Context, g *graph.Graph, data dataset.Source, start *Statistics, save func(*Statistics) error, options ...Option) (*Statistics, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, ErrNoData
	}
	p, err := c.newPlan(g)
	if err != nil {
		return nil, err
	}
	p.network = fingerprint(p.Graph)
	origins, err := originOf(data)
	if err != nil {
		return nil, err
	}
	total := &Statistics{Network: p.network}
	if start != nil {
		if err := errors.Join(start.check(p), start.continues(origins)); err != nil {
			return nil, err
		}
		total.Merge(start)
	}
	total.Origins = origins
	for first := total.Inputs; first < data.Len(); first = total.Inputs {
		part := dataset.Source(rest{data, first, data.Len() - first})
		if save != nil {
			part = rest{data, first, min(saveEvery, data.Len()-first)}
		}
		at := *c
		at.progress = func(done int) {
			if c.progress != nil {
				c.progress(first + done)
			}
		}
		o, err := p.newObserver(at.threads)
		if err != nil {
			return nil, err
		}
		s, err := o.observe(ctx, part, newHoldout(p.Graph, 0), &at)
		if err != nil {
			return nil, err
		}
		total.Merge(s)
		for i := range total.Origins { // one, of which so many inputs are done
			total.Origins[i].Inputs = total.Inputs
		}
		if save != nil {
			if err := save(total); err != nil {
				return nil, err
			}
		}
	}
	return total, nil
}

// saveEvery is how many inputs are seen between two calls of save.
const saveEvery = 256

// check returns an error unless s is of the plan's network.
func (s *Statistics) check(p *Plan) error {
	if s.Network != p.network {
		return fmt.Errorf("%w: of network %08x, this one is %08x", ErrOtherNetwork, s.Network, p.network)
	}
	return nil
}

// rest is a part of a source: count inputs from first on.
type rest struct {
	dataset.Source
	first, count int
}

// Len implements [dataset.Source].
func (r rest) Len() int { return r.count }

// Count implements [dataset.Counter].
func (r rest) Count(batch []*tensor.Tensor) int { return dataset.Count(r.Source, batch) }

// rowsOf returns inputs [lo, hi) of a batch of size inputs.
func rowsOf(batch []*tensor.Tensor, size, lo, hi int) ([]*tensor.Tensor, error) {
	if hi-lo == size {
		return batch, nil
	}
	part := make([]*tensor.Tensor, len(batch))
	for i, t := range batch {
		if t.Rank() == 0 || t.Shape()[0] != size {
			return nil, fmt.Errorf("%w: %s has no batch on axis 0, so %d inputs cannot be cut: choose a batch that divides %d", dataset.ErrShape, t, size, saveEvery)
		}
		part[i] = t.Rows(lo, hi)
	}
	return part, nil
}

// Batches implements [dataset.Source].
func (r rest) Batches(n int) iter.Seq2[[]*tensor.Tensor, error] {
	return func(yield func([]*tensor.Tensor, error) bool) {
		at := 0
		for batch, err := range r.Source.Batches(n) {
			if err != nil {
				yield(nil, err)
				return
			}
			size := dataset.Count(r.Source, batch)
			lo, hi := max(r.first-at, 0), min(r.first+r.count-at, size)
			at += size
			if lo < hi {
				part, err := rowsOf(batch, size, lo, hi)
				if !yield(part, err) || err != nil {
					return
				}
			}
			if at >= r.first+r.count {
				return
			}
		}
	}
}
