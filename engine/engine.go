// Package engine runs networks. A graph is compiled once to a [Net] and run
// many times, from any number of goroutines.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrInput reports run-time inputs that do not fit the network.
var ErrInput = errors.New("engine: input does not fit the network")

// Net is a compiled network. Its methods may be called concurrently.
type Net struct {
	graph    *graph.Graph
	threads  int
	observed map[*graph.Value]int
	observer Observer
}

// Observer sees values while a network runs: how calibration reads every
// activation once, while it is in cache.
type Observer interface {
	// Observe is given elements of observed value number value. The pieces of
	// a value come in no particular order, each element once; x is only valid
	// during the call. Calls with one worker number (0 <= worker < threads)
	// never overlap, calls with different ones do.
	Observe(worker, value int, x []float32)
}

// Option changes how a network is compiled.
type Option func(*Net)

// WithThreads sets how many goroutines one run uses: by default, or for
// n <= 0, the number of processors.
func WithThreads(n int) Option {
	return func(net *Net) {
		if n > 0 {
			net.threads = n
		}
	}
}

// WithObserver makes every run hand the given float32 values of the graph to
// o; they are numbered by their place in values.
func WithObserver(o Observer, values []*graph.Value) Option {
	return func(net *Net) {
		net.observer = o
		net.observed = make(map[*graph.Value]int)
		for i, v := range values {
			net.observed[v] = i
		}
	}
}

// Compile prepares a graph, which it does not change and which must not be
// changed while the network is in use.
func Compile(g *graph.Graph, opts ...Option) (*Net, error) {
	net := &Net{graph: g, threads: runtime.GOMAXPROCS(0)}
	for _, o := range opts {
		o(net)
	}
	for _, n := range g.Nodes {
		if _, err := op.Lookup(n.Domain, n.Op); err != nil {
			return nil, fmt.Errorf("engine: %s: %w", n, err)
		}
	}
	return net, nil
}

// Threads returns the number of goroutines one run uses at most.
func (net *Net) Threads() int { return net.threads }

// Run computes the graph's outputs, in its order, for inputs in the order of
// graph.Inputs. The first dimension of a batched network's inputs may be any.
func (net *Net) Run(ctx context.Context, inputs ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	g := net.graph
	if len(inputs) != len(g.Inputs) {
		return nil, fmt.Errorf("%w: %d inputs given, %d wanted", ErrInput, len(inputs), len(g.Inputs))
	}
	vals := make(map[*graph.Value]*tensor.Tensor)
	for i, v := range g.Inputs {
		if err := checkInput(v, inputs[i]); err != nil {
			return nil, err
		}
		vals[v] = inputs[i]
		net.observe(v, inputs[i])
	}
	for _, n := range g.Nodes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := net.runNode(n, vals); err != nil {
			return nil, fmt.Errorf("engine: %s: %w", n, err)
		}
	}
	outs := make([]*tensor.Tensor, len(g.Outputs))
	for i, v := range g.Outputs {
		if outs[i] = vals[v]; v.IsConst() {
			outs[i] = v.Const
		}
	}
	return outs, nil
}

func (net *Net) runNode(n *graph.Node, vals map[*graph.Value]*tensor.Tensor) error {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil {
		return err
	}
	c := &op.Call{Attrs: n.Attrs, Version: net.graph.Opset[n.Domain],
		In: make([]*tensor.Tensor, len(n.Inputs)), Out: make([]*tensor.Tensor, len(n.Outputs))}
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		if c.In[i] = vals[v]; v.IsConst() {
			c.In[i] = v.Const
		}
	}
	if err := o.Run(c); err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v != nil {
			vals[v] = c.Out[i]
			net.observe(v, c.Out[i])
		}
	}
	return nil
}

func (net *Net) observe(v *graph.Value, t *tensor.Tensor) {
	if i, ok := net.observed[v]; ok {
		net.observer.Observe(0, i, t.F32())
	}
}

// checkInput compares an input with what the graph declares.
func checkInput(v *graph.Value, t *tensor.Tensor) error {
	if v.Type.DType != tensor.Undefined && v.Type.DType != t.DType() {
		return fmt.Errorf("%w: %q is %s, not %s", ErrInput, v.Name, v.Type.DType, t.DType())
	}
	if !v.Type.Known {
		return nil
	}
	ok := len(v.Type.Shape) == t.Rank()
	for i := 0; ok && i < t.Rank(); i++ {
		ok = v.Type.Shape[i] < 0 || v.Type.Shape[i] == t.Shape()[i]
	}
	if !ok {
		return fmt.Errorf("%w: %q has shape %v, not %v", ErrInput, v.Name, v.Type.Shape, t.Shape())
	}
	return nil
}
