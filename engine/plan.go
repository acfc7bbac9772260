package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// plan is a network made ready for inputs of given shapes.
type plan struct {
	net      *Net
	inputs   []op.Type // dimension 0 of a batched plan is not a condition
	outputs  []op.Type // likewise
	batched  bool
	piece    int // samples that one worker takes through the network at a time
	program  *program.Program
	steps    []*step
	tiles    []int             // into how many tiles each step is cut when workers share it
	bordered []*program.Tensor // to be filled in a new arena
	calls    sync.Pool
	jobs     sync.Pool
	spent    []atomic.Int64 // nanoseconds by step, when profiling
}

const (
	// cachedActivations is how many bytes of activations a piece should have:
	// they are read back from the second-level cache.
	cachedActivations = 96 << 10
	// observedActivations is the same while values are observed: what the observer keeps of each value comes and
	// goes with each piece.
	observedActivations = 384 << 10
	// maxPiece bounds the samples of a piece; a product by a matrix gains nothing beyond.
	maxPiece = 32
	// tileTime is about how long a tile should take at least, in nanoseconds, to
	// be worth handing to another worker.
	tileTime = 2500
)

// newPlan compiles the network for inputs of these types.
func newPlan(net *Net, inputs []op.Type, batched bool) (*plan, error) {
	n := 1
	if batched {
		first, err := compilePlan(net, inputs, true, 1)
		if err != nil {
			return nil, err
		}
		cached := cachedActivations
		if net.observer != nil {
			cached = observedActivations
		}
		if n = min(cached/max(first.program.Arena, 1), maxPiece); n <= 1 {
			return first, nil
		}
	}
	return compilePlan(net, inputs, batched, n)
}

func compilePlan(net *Net, inputs []op.Type, batched bool, piece int) (*plan, error) {
	if batched {
		inputs = program.WithBatch(inputs, piece)
	}
	g, err := program.Lower(net.graph, inputs, program.Options{
		Requant: net.requant, Float: net.float, Borders: true, Batched: batched, Samples: piece,
		Observed: net.observed, Chains: !net.apart, Slack: slack, Align: alignment,
	})
	if err != nil {
		return nil, err
	}
	p := &plan{net: net, inputs: inputs, batched: batched, piece: piece, program: g, spent: make([]atomic.Int64, len(g.Steps))}
	for _, v := range g.Outputs {
		p.outputs = append(p.outputs, v.Type)
	}
	for _, t := range g.Tensors {
		if t.View == nil && t.Border != (program.Sides{}) && t.Born <= t.Used {
			p.bordered = append(p.bordered, t)
		}
	}
	b := &binder{net: net, batched: batched}
	if p.steps, err = b.bindAll(g.Steps); err != nil {
		return nil, err
	}
	for _, bound := range p.steps {
		p.tiles = append(p.tiles, max(1, min(bound.units(1), 2*net.threads, bound.nanoseconds()/tileTime)))
	}
	p.calls.New = func() any { return p.newCall() }
	p.jobs.New = func() any { return newJob(p) }
	return p, nil
}

func (p *plan) newCall() *call {
	c := &call{slots: make([]*tensor.Tensor, p.program.Slots)}
	c.u8, c.f32 = newArena(p.program.Arena)
	for _, t := range p.bordered {
		fillBorder(t, c)
	}
	return c
}

// takes reports whether the plan is for these inputs.
func (p *plan) takes(inputs []*tensor.Tensor) bool {
	skip := 0
	if p.batched {
		skip = 1
	}
	for i, t := range inputs {
		want := p.inputs[i]
		if t.DType() != want.DType || t.Rank() != len(want.Shape) || !slices.Equal(t.Shape()[skip:], want.Shape[skip:]) {
			return false
		}
	}
	return true
}

// samples returns how many samples the inputs hold, 1 if the plan is not
// batched.
func (p *plan) samples(inputs []*tensor.Tensor) (int, error) {
	if !p.batched {
		return 1, nil
	}
	n := inputs[0].Shape()[0]
	for _, t := range inputs {
		if t.Shape()[0] != n {
			return 0, fmt.Errorf("%w: batches of %d and %d", ErrInput, n, t.Shape()[0])
		}
	}
	return n, nil
}

// newOutputs returns tensors for the outputs whose shape is known.
func (p *plan) newOutputs(n int) []*tensor.Tensor {
	outs := make([]*tensor.Tensor, len(p.outputs))
	for i, t := range p.outputs {
		if !t.Static() {
			continue
		}
		shape := slices.Clone(t.Shape)
		if p.batched {
			shape[0] = n
		}
		outs[i] = tensor.New(t.DType, shape...)
	}
	return outs
}

// run computes outs for n samples, showing values to s or, if that is nil, to the observer.
func (p *plan) run(ctx context.Context, s Sampler, ins, outs []*tensor.Tensor, n int) error {
	if n == 0 {
		return nil
	}
	j := p.jobs.Get().(*job)
	defer p.jobs.Put(j)
	j.sampler = s
	return j.run(ctx, ins, outs, n)
}

// sequence computes all steps of a piece on one worker.
func (p *plan) sequence(ctx context.Context, c *call, w *worker) error {
	for i, s := range p.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.part(i, c, w, 0, s.units(c.n)); err != nil {
			return err
		}
	}
	return nil
}

// part computes part of step i, timing it when profiling.
func (p *plan) part(i int, c *call, w *worker, lo, hi int) error {
	if !p.net.profile {
		return p.steps[i].run(c, w, lo, hi)
	}
	start := time.Now()
	err := p.steps[i].run(c, w, lo, hi)
	p.spent[i].Add(int64(time.Since(start)))
	return err
}
