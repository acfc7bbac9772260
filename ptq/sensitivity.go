package ptq

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Sensitivity is the noise that quantizing one thing and nothing else makes at the outputs of the network.
type Sensitivity struct {
	Name    string   `json:"name"`    // of a tensor, or of the node whose weights they are
	Weights bool     `json:"weights"` // whether it is weights; else the tensors that share the scale of this one
	Nodes   []string `json:"nodes"`   // those that would have to stay in float for it to go
	Noise   float64  `json:"noise"`   // mean over the outputs of error to signal, in energy
	SQNR    float64  `json:"sqnr_db"` // the same in dB; +Inf for none

	keep map[*graph.Node]bool // the scaling nodes of it
}

// passes is how many times the float network may be run for all of a network's sensitivities together: with many
// things to look at, each is looked at on fewer inputs.
const passes = 30

// units returns what is looked at one by one: the groups of activations, and the weights of every node.
func (net *network) units() []*Sensitivity {
	var units []*Sensitivity
	s := scalesOf(net.Graph)
	for _, gr := range net.groups() {
		u := &Sensitivity{Name: net.place[gr.nodes[0]].Value.Name, keep: make(map[*graph.Node]bool)}
		for _, n := range gr.nodes {
			u.keep[n] = true
			for _, r := range s.uses[n.Outputs[0]] {
				if net.kind(r) != op.FloatOnly && !slices.Contains(u.Nodes, r.Name) {
					u.Nodes = append(u.Nodes, r.Name)
				}
			}
			if maker := net.plan.maker(net.place[n].Value); maker != nil && net.plan.node(maker).kind != op.FloatOnly && !slices.Contains(u.Nodes, maker.Name) {
				u.Nodes = append(u.Nodes, maker.Name)
			}
		}
		units = append(units, u)
	}
	for _, n := range net.Nodes {
		if isAffine(n) {
			units = append(units, &Sensitivity{Name: n.Name, Weights: true, Nodes: []string{n.Name}, keep: map[*graph.Node]bool{n.Inputs[1].Node: true}})
		}
	}
	return units
}

// only returns the float network with nothing quantized but what some scaling nodes stand for. The network
// must have all its scales; weights are rounded to nearest.
func (net *network) only(keep map[*graph.Node]bool) (*graph.Graph, error) {
	g := net.Graph.Clone()
	with := make(map[*graph.Value]*graph.Value)
	nodes := g.Nodes[:0:0]
	for i, n := range g.Nodes {
		s := scalingOf(n)
		switch {
		case s == nil:
			nodes = append(nodes, n)
		case !keep[net.Nodes[i]]:
			with[n.Outputs[0]] = n.Inputs[0]
		case isWeight(n):
			c := n.Inputs[0]
			with[n.Outputs[0]] = graph.NewConst(c.Name, s.rounded(c.Const))
		default:
			nodes = append(nodes, n)
		}
	}
	g.Nodes = nodes
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if w := with[v]; w != nil {
				n.Inputs[i] = w
			}
		}
	}
	for i, v := range g.Outputs {
		if w := with[v]; w != nil {
			g.Outputs[i] = w
		}
	}
	return g, lowerQDQ(g, false)
}

// rounded returns what the values of t become.
func (s *Scaling) rounded(t *tensor.Tensor) *tensor.Tensor {
	values, out := t.Float32s(), make([]float32, t.Len())
	s.runs(t.Shape(), func(l Levels, from, to int) {
		if s.Signed && l.Zero == 0 {
			l.Min = -l.Max
		}
		for i := from; i < to; i++ {
			out[i] = float32(l.Round(float64(values[i])))
		}
	})
	return tensor.From(out, t.Shape()...)
}

// few returns the first units of the sample that have count inputs together, at least one.
func (s *sample) few(count int) *sample {
	per := max(1, s.count/max(len(s.inputs), 1))
	n := min(max(1, count/per), len(s.inputs))
	return &sample{inputs: s.inputs[:n], want: s.want[:n], count: n * per, held: s.held}
}

// sensitivities returns what every group of activations and the weights of every node cost at the outputs, the
// most first. Nothing of the job is changed.
func (j *Job) sensitivities(ctx context.Context) ([]*Sensitivity, error) {
	t := j.trial()
	if err := t.take(ctx, t.scaling()...); err != nil {
		return nil, err
	}
	units := t.net.units()
	if len(units) == 0 {
		return nil, nil
	}
	few := j.sample.few(passes * j.sample.count / len(units))
	err := sideBySide(j.c.threads, len(units), func(_, i int) error {
		u := units[i]
		g, err := t.net.only(u.keep)
		if err != nil {
			return err
		}
		m, err := few.measure(ctx, g, 1)
		switch {
		case errors.Is(err, ErrInfinite):
			u.Noise = math.Inf(1)
		case err != nil:
			return err
		default:
			u.Noise = m.noise()
		}
		u.SQNR = -10 * math.Log10(u.Noise)
		return nil
	})
	slices.SortStableFunc(units, func(a, b *Sensitivity) int {
		switch {
		case a.Noise > b.Noise:
			return -1
		case a.Noise < b.Noise:
			return 1
		}
		return 0
	})
	return units, err
}

// noise returns the energy of the error relative to that of the signal, of the worst output or part.
func (m *Measured) noise() float64 { return math.Pow(10, -m.Least/10) }
