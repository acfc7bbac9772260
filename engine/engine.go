// Package engine runs networks. A graph is compiled once to a [Net] and run
// many times, from any number of goroutines.
//
// Compiling to a plan happens when the shapes of the inputs are known, at the
// first run with them; the batch (axis 0) of a network whose samples do not
// depend on each other may then be any. A plan is a [program.Program], each of
// whose steps is bound to a kernel.
//
// Results do not depend on the number of threads or on the batch, bit for bit.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrInput reports run-time inputs that do not fit the network.
var ErrInput = errors.New("engine: input does not fit the network")

// maxPlans bounds how many plans a network keeps.
const maxPlans = 8

// Net is a compiled network. Its methods may be called concurrently.
type Net struct {
	config
	graph *graph.Graph

	plans  atomic.Pointer[[]*plan] // the ones in use, replaced as a whole
	mu     sync.Mutex              // for making plans
	packed sync.Map                // weights by packKey
	bodies map[*graph.Graph]*Net   // of control flow
	inside sync.Mutex              // for bodies
}

// config is what options set.
type config struct {
	threads  int
	observed []*graph.Value
	observer Observer
	profile  bool
	requant  Requant
	float    bool // quantized files in float
	apart    bool // no chains of steps: for tests
}

// Observer sees values while a network runs: how calibration reads every
// activation once, while it is in cache.
type Observer interface {
	// Observe is given elements of observed value number value. The pieces of
	// a value come in no particular order, each element once; x is only valid
	// during the call. Calls with one worker number (0 <= worker < threads)
	// of the same run never overlap, calls with different ones do.
	Observe(worker, value int, x []float32)
}

// Option changes how a network is compiled.
type Option func(*config)

// WithThreads sets how many goroutines one run uses: by default, or for
// n <= 0, the number of processors.
func WithThreads(n int) Option {
	return func(c *config) {
		if n > 0 {
			c.threads = n
		}
	}
}

// WithObserver makes every run hand the given float32 values of the graph to
// o; they are numbered by their place in values.
func WithObserver(o Observer, values []*graph.Value) Option {
	return func(c *config) { c.observer, c.observed = o, values }
}

// WithProfile makes runs measure the time of every step, for [Net.Steps].
func WithProfile() Option {
	return func(c *config) { c.profile = true }
}

// Requant says how integer steps rescale their sums to 8 bits.
type Requant = program.Mode

// The ways to rescale, as [program.Requant] and [program.Sum] have them.
const (
	RequantAuto       = program.ModeAuto
	RequantFloat      = program.ModeFloat
	RequantMultiplier = program.ModeMultiplier
	RequantShift      = program.ModeShift
)

// ParseRequant reads the name of a way to rescale: auto, float, multiplier or shift.
func ParseRequant(name string) (Requant, error) {
	for i, s := range []string{"auto", "float", "multiplier", "shift"} {
		if s == name {
			return Requant(i), nil
		}
	}
	return 0, fmt.Errorf("engine: requantization %q is not known: use auto, float, multiplier or shift", name)
}

// WithRequant sets how sums are rescaled; RequantAuto by default.
func WithRequant(r Requant) Option { return func(c *config) { c.requant = r } }

// WithFloat runs QuantizeLinear and DequantizeLinear literally, and everything
// between them in float32: the meaning of a quantized file, to compare with.
func WithFloat() Option { return func(c *config) { c.float = true } }

// Compile prepares a graph, which it does not change and which must not be
// changed while the network is in use.
func Compile(g *graph.Graph, opts ...Option) (*Net, error) {
	net := &Net{graph: g, config: config{threads: runtime.GOMAXPROCS(0)}, bodies: make(map[*graph.Graph]*Net)}
	for _, o := range opts {
		o(&net.config)
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err := checkOperators(g); err != nil {
		return nil, err
	}
	if net.observer == nil { // the observed values must stay
		net.graph = simplified(g)
	}
	net.plans.Store(new([]*plan))
	if net.plannable() {
		_, _ = net.latest() // the run that it is for says what is wrong
	}
	return net, nil
}

// plannable reports whether the graph says enough of its inputs for the plan that
// its runs will take: then weights are packed before the first of them.
func (net *Net) plannable() bool {
	free := false // the batch
	var types []op.Type
	for _, v := range net.graph.Inputs {
		t := v.Type
		if !t.Known || t.DType == tensor.Undefined || len(t.Shape) == 0 || slices.ContainsFunc(t.Shape[1:], func(d int) bool { return d < 0 }) {
			return false
		}
		free = free || t.Shape[0] < 0
		types = append(types, t)
	}
	return len(types) > 0 && (!free || program.Batchable(net.graph, types))
}

// simplified returns a copy of g with batch normalizations folded and such, or
// g if that fails: then running it says why.
func simplified(g *graph.Graph) *graph.Graph {
	c := g.Clone()
	if err := graph.Simplify(c); err != nil {
		return g
	}
	return c
}

// Threads returns the number of goroutines one run uses at most.
func (net *Net) Threads() int { return net.threads }

// Run computes the graph's outputs, in its order, for inputs in the order of
// graph.Inputs. The first dimension of a batched network's inputs may be any.
// The inputs must not be changed before it returns.
func (net *Net) Run(ctx context.Context, inputs ...*tensor.Tensor) ([]*tensor.Tensor, error) {
	p, n, err := net.prepare(inputs)
	if err != nil {
		return nil, err
	}
	outs := p.newOutputs(n)
	if err := p.run(ctx, nil, inputs, outs, n); err != nil {
		return nil, err
	}
	return outs, nil
}

// RunInto is [Net.Run] with the outputs written to tensors that the caller
// has, of the right types and shapes: it allocates nothing once the network has run with
// such inputs. On an error the outputs hold anything.
func (net *Net) RunInto(ctx context.Context, outputs, inputs []*tensor.Tensor) error {
	p, n, err := net.prepare(inputs)
	if err != nil {
		return err
	}
	if err := p.checkOutputs(outputs, n); err != nil {
		return err
	}
	return p.run(ctx, nil, inputs, outputs, n)
}

// prepare returns the plan for the inputs and the number of samples.
func (net *Net) prepare(inputs []*tensor.Tensor) (*plan, int, error) {
	g := net.graph
	if len(inputs) != len(g.Inputs) {
		return nil, 0, fmt.Errorf("%w: %d inputs given, %d wanted", ErrInput, len(inputs), len(g.Inputs))
	}
	for i, v := range g.Inputs {
		if err := checkInput(v, inputs[i]); err != nil {
			return nil, 0, err
		}
	}
	p := net.find(inputs)
	if p == nil {
		var err error
		if p, err = net.compile(inputs); err != nil {
			return nil, 0, err
		}
	}
	n, err := p.samples(inputs)
	return p, n, err
}

func (net *Net) find(inputs []*tensor.Tensor) *plan {
	for _, p := range *net.plans.Load() {
		if p.takes(inputs) {
			return p
		}
	}
	return nil
}

// compile makes and keeps the plan for inputs of these shapes.
func (net *Net) compile(inputs []*tensor.Tensor) (*plan, error) {
	net.mu.Lock()
	defer net.mu.Unlock()
	if p := net.find(inputs); p != nil { // somebody was faster
		return p, nil
	}
	types := make([]op.Type, len(inputs))
	batch := len(inputs) > 0
	for i, t := range inputs {
		types[i] = op.TypeOf(t)
		batch = batch && t.Rank() > 0
	}
	p, err := newPlan(net, types, batch && program.Batchable(net.graph, types))
	if err != nil {
		return nil, err
	}
	plans := append([]*plan{p}, *net.plans.Load()...)
	plans = plans[:min(len(plans), maxPlans)]
	net.plans.Store(&plans)
	return p, nil
}

func (p *plan) checkOutputs(outputs []*tensor.Tensor, n int) error {
	if len(outputs) != len(p.outputs) {
		return fmt.Errorf("%w: %d outputs given, %d wanted", ErrInput, len(outputs), len(p.outputs))
	}
	for i, t := range p.outputs {
		out := outputs[i]
		ok := out != nil && t.Static() && out.DType() == t.DType && out.Rank() == len(t.Shape)
		for d := 0; ok && d < len(t.Shape); d++ {
			want := t.Shape[d]
			if d == 0 && p.batched {
				want = n
			}
			ok = out.Shape()[d] == want
		}
		if !ok {
			return fmt.Errorf("%w: output %q does not go into %v", ErrInput, p.net.graph.Outputs[i].Name, out)
		}
	}
	return nil
}

// checkInput compares an input with what the graph declares.
func checkInput(v *graph.Value, t *tensor.Tensor) error {
	if t == nil {
		return fmt.Errorf("%w: %q is missing", ErrInput, v.Name)
	}
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
