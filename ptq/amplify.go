package ptq

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	amplifyInputs = 8    // inputs that show how much errors grow
	amplifyNoise  = 0.01 // of the magnitude of a layer's result: about what 8 bits of its inputs and weights make
	mostAmplified = 4    // times that the relative error may grow: 12 dB
)

// leaveAmplified leaves in float the layers whose errors grow too much on the way to what amplifies them (the operands of
// logarithms and roots, denominators), by the values that inputs of data take there. What is before them, whose errors
// then arrive through them, is looked at next.
func leaveAmplified(ctx context.Context, j *Job) error {
	p := j.Plan
	p.amplified = make(map[*graph.Node]Reason)
	for p.places != PlacesAll {
		before := len(p.amplified)
		if err := j.findAmplified(ctx); err != nil || len(p.amplified) == before {
			return err
		}
		p.leave(p.amplified)
	}
	return nil
}

// leave leaves nodes in float, besides those that already are.
func (p *Plan) leave(nodes map[*graph.Node]Reason) {
	for n, r := range nodes {
		if np := p.node(n); np.excluded.Code == OnIntegers {
			np.excluded = r
		}
	}
	p.decide()
}

// findAmplified adds to the plan's amplified nodes those whose results reach an amplifier with nothing but float between.
func (j *Job) findAmplified(ctx context.Context) error {
	p := j.Plan
	var chains []*chain
	var values []*graph.Value
	for _, np := range p.Nodes {
		if c := p.chainTo(np); c != nil {
			if err := c.compile(p.Graph, j.c.threads); err != nil {
				return err
			}
			chains, values = append(chains, c), append(values, c.ends()...)
		}
	}
	if len(chains) == 0 {
		return nil
	}
	err := sampleTensors(ctx, p.Graph, values, j.data, amplifyInputs, j.c.threads, func(batch []*tensor.Tensor) error {
		for _, c := range chains {
			n := len(c.ends())
			if err := c.add(ctx, batch[:n]); err != nil {
				return err
			}
			batch = batch[n:]
		}
		return nil
	})
	for _, c := range chains {
		if c.growth() <= mostAmplified {
			continue
		}
		for _, v := range c.sources {
			p.amplified[p.maker(v)] = Reason{Amplified, c.end.Name}
		}
	}
	return err
}

// chain is what is computed in float from the results of layers to that of a node that amplifies their errors.
type chain struct {
	end     *graph.Node
	sources []*graph.Value // the results of layers that are amplified
	others  []*graph.Value // what else is read and not computed within
	net     *engine.Net

	signal, noise float64 // of the end's result
}

// chainTo returns the chain to a node, nil if it does not amplify what layers give.
func (p *Plan) chainTo(np *NodePlan) *chain {
	if np.kind != op.FloatOnly {
		return nil
	}
	c := &chain{end: np.Node}
	seen := make(map[*graph.Value]bool)
	var walk func(v *graph.Value, amplified bool)
	walk = func(v *graph.Value, amplified bool) {
		if v == nil || v.IsConst() || seen[v] {
			return
		}
		seen[v] = true
		maker := p.byNode[v.Node]
		if maker == nil {
			c.others = append(c.others, v)
			return
		}
		if maker.kind != op.FloatOnly && !maker.carries() {
			if amplified {
				c.sources = append(c.sources, v)
			} else {
				c.others = append(c.others, v)
			}
			return
		}
		for i, in := range maker.Node.Reads() {
			walk(in, amplified && maker.traits.Role(i) != op.Shape)
		}
	}
	for _, i := range np.traits.Amplifies {
		walk(np.Node.In(i), true)
	}
	for _, in := range np.Node.Reads() {
		walk(in, false)
	}
	if len(c.sources) == 0 {
		return nil
	}
	return c
}

// ends returns what the chain reads, and last its result.
func (c *chain) ends() []*graph.Value {
	return slices.Concat(c.sources, c.others, c.end.Outputs[:1])
}

// compile makes the network of the chain alone.
func (c *chain) compile(g *graph.Graph, threads int) (err error) {
	part := *g
	part.Inputs, part.Outputs = slices.Concat(c.sources, c.others), c.end.Outputs[:1]
	own := part.Clone()
	for _, v := range own.Inputs {
		v.Node = nil
	}
	if err := own.Sort(); err != nil {
		return err
	}
	c.net, err = engine.Compile(own, engine.WithThreads(threads))
	return err
}

// add takes in a batch of what ends names.
func (c *chain) add(ctx context.Context, batch []*tensor.Tensor) error {
	inputs, want := slices.Clone(batch[:len(batch)-1]), batch[len(batch)-1]
	for i := range c.sources {
		inputs[i] = disturbed(inputs[i])
	}
	got, err := c.net.Run(ctx, inputs...)
	if err != nil {
		return err
	}
	g := got[0].Float64s()
	for i, w := range want.Float64s() {
		if e := g[i] - w; !math.IsNaN(w) && !math.IsInf(w, 0) {
			c.signal += w * w
			c.noise += e * e
		}
	}
	return nil
}

// growth returns how many times larger the relative error of the result is than that of the layers.
func (c *chain) growth() float64 {
	if c.noise == 0 {
		return 0
	}
	if g := math.Sqrt(c.noise/c.signal) / amplifyNoise; !math.IsNaN(g) {
		return g
	}
	return math.Inf(1)
}

// disturbed returns t with noise on it that does not pass its range.
func disturbed(t *tensor.Tensor) *tensor.Tensor {
	x := slices.Clone(t.F32())
	square := 0.0
	for _, v := range x {
		square += float64(v) * float64(v)
	}
	if len(x) == 0 {
		return t
	}
	lo, hi := slices.Min(x), slices.Max(x)
	size := float32(amplifyNoise * math.Sqrt(square/float64(len(x))))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = min(max(x[i]+size*float32(rng.NormFloat64()), lo), hi)
	}
	return tensor.From(x, t.Shape()...)
}
