package program

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// batchSizes are the sizes of the batch for which independence is proved. What
// only fits one of them, or differs between them, shows; 1 is among them because
// that is what a batch must be the same as.
var batchSizes = [3]int{1, 2, 3}

// Batchable reports whether axis 0 of every input and output is a batch of
// independent samples, whatever its size, so that a run may be cut in pieces.
// It is proved node by node, by the rules of the operator table. Between them, too, samples must stay on axis 0: pieces
// of a run are cut there.
func Batchable(g *graph.Graph, inputs []op.Type) bool {
	p, why := prove(g, inputs)
	return why == "" && len(p.turned) == 0 && !slices.ContainsFunc(g.Outputs, func(v *graph.Value) bool { return !p.batched[v] })
}

// MixesBatch returns what stands in the way of proving that the inputs of a batch do
// not depend on each other, "" if it is proved.
func MixesBatch(g *graph.Graph, inputs []op.Type) string {
	_, why := prove(g, inputs)
	return why
}

// SampleAxes returns the axis of each output of g along which the samples of a batch lie, nil if it is not
// proved that they do not depend on each other.
func SampleAxes(g *graph.Graph, inputs []op.Type) []int {
	p, why := prove(g, inputs)
	if why != "" {
		return nil
	}
	axes := make([]int, len(g.Outputs))
	for i, v := range g.Outputs {
		axes[i] = p.turned[v] // 0 where it is batched
	}
	return axes
}

func prove(g *graph.Graph, inputs []op.Type) (p *prover, why string) {
	p = new(prover)
	if !sharesBatch(g) {
		return p, "its inputs do not share a free first dimension"
	}
	for i, n := range batchSizes {
		f, err := infer(g, WithBatch(inputs, n))
		if err != nil {
			return p, fmt.Sprintf("it does not take %d inputs at once", n)
		}
		p.facts[i] = f
	}
	return p, p.proves(g)
}

// sharesBatch reports whether the first dimensions of all inputs are free and one:
// of one name, or of none.
func sharesBatch(g *graph.Graph) bool {
	name := ""
	for _, v := range g.Inputs {
		if v.Type.Known && len(v.Type.Shape) > 0 && v.Type.Shape[0] >= 0 {
			return false // the file fixes the size
		}
		if len(v.Dims) == 0 || v.Dims[0] == "" {
			continue
		}
		if name != "" && v.Dims[0] != name {
			return false
		}
		name = v.Dims[0]
	}
	return true
}

// WithBatch returns the types with dimension 0 set to n.
func WithBatch(types []op.Type, n int) []op.Type {
	out := slices.Clone(types)
	for i := range out {
		out[i].Shape = slices.Clone(out[i].Shape)
		if len(out[i].Shape) > 0 {
			out[i].Shape[0] = n
		}
	}
	return out
}

// prover knows which values hold independent samples along axis 0, from the
// facts of the network with every size of the batch.
type prover struct {
	facts   [len(batchSizes)]*facts
	batched map[*graph.Value]bool // with the samples on axis 0
	turned  map[*graph.Value]int  // with the samples on another axis
	fixed   map[*graph.Value]bool // computed from constants of the file alone
}

// proves goes through the nodes and returns what it cannot prove.
func (p *prover) proves(g *graph.Graph) string {
	p.batched, p.fixed, p.turned = make(map[*graph.Value]bool), make(map[*graph.Value]bool), make(map[*graph.Value]int)
	for _, v := range g.Inputs {
		p.batched[v] = p.sized(v)
	}
	for _, n := range g.Nodes {
		p.fix(n)
		if slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return v != nil && !p.isConst(v) }) && !p.node(n) {
			return fmt.Sprintf("%s may mix them", n)
		}
	}
	for _, v := range g.Outputs {
		if !p.batched[v] && p.turned[v] == 0 {
			return fmt.Sprintf("output %q is not one for each of them", v.Name)
		}
	}
	return ""
}

// fix records what n computes from constants of the file.
func (p *prover) fix(n *graph.Node) {
	for _, v := range n.Reads() {
		if v != nil && !v.IsConst() && !p.fixed[v] {
			return
		}
	}
	for _, v := range n.Outputs {
		if v != nil {
			p.fixed[v] = true
		}
	}
}

func (p *prover) isConst(v *graph.Value) bool {
	return !slices.ContainsFunc(p.facts[:], func(f *facts) bool { return !f.isConst(v) })
}

// sized reports whether dimension 0 of v is the batch's and the others are the same for
// any.
func (p *prover) sized(v *graph.Value) bool { return p.sizedAt(v, 0) }

// sizedAt does so for another dimension.
func (p *prover) sizedAt(v *graph.Value, axis int) bool {
	first := p.facts[0].typeOf(v)
	for i, f := range p.facts {
		t := f.typeOf(v)
		if !t.Static() || len(t.Shape) <= axis || t.Shape[axis] != batchSizes[i] ||
			!slices.Equal(t.Shape[:axis], first.Shape[:axis]) || !slices.Equal(t.Shape[axis+1:], first.Shape[axis+1:]) {
			return false
		}
	}
	return true
}

// node records that the outputs hold samples, and returns false if that cannot be told.
func (p *prover) node(n *graph.Node) bool {
	if p.turns(n) {
		return true
	}
	for _, v := range n.Outputs {
		if v != nil && !p.sized(v) {
			return false
		}
	}
	for i := range batchSizes {
		if !p.keeps(n, i) {
			return false
		}
	}
	for _, v := range n.Outputs {
		if v != nil {
			p.batched[v] = true
		}
	}
	return true
}

// keeps asks the rule of n's operator, for one size of the batch.
func (p *prover) keeps(n *graph.Node, size int) bool {
	s, traits, ok := p.samples(n, size)
	return ok && !p.readsTurned(n) && traits.Batch(s)
}

// readsTurned reports whether n reads samples that are not on axis 0.
func (p *prover) readsTurned(n *graph.Node) bool {
	return slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return p.turned[v] > 0 })
}

// turns records outputs that have, or had, the samples on another axis than 0: attention
// puts them second for a while. It reports whether it could.
func (p *prover) turns(n *graph.Node) bool {
	v := n.In(0)
	from, ok := p.turned[v]
	if !ok && !p.batched[v] || n.Traits().BatchAxis == nil {
		return false
	}
	axis := -1
	for size := range batchSizes {
		s, traits, ok := p.samples(n, size)
		if !ok {
			return false
		}
		for i, in := range n.Inputs[1:] {
			if s.Batched[i+1] || p.turned[in] > 0 {
				return false
			}
		}
		to := traits.BatchAxis(s, from)
		if to < 0 || size > 0 && to != axis {
			return false
		}
		axis = to
	}
	if from == 0 && axis == 0 {
		return false // an ordinary one
	}
	for _, v := range n.Outputs {
		if v == nil {
			continue
		}
		if !p.sizedAt(v, axis) {
			return false
		}
		if axis == 0 {
			p.batched[v] = true
		} else {
			p.turned[v] = axis
		}
	}
	return true
}

// samples is what the rule of n's operator is asked about, for one size of the batch; ok
// is false if a constant is not the same for all.
func (p *prover) samples(n *graph.Node, size int) (s *op.Samples, traits op.Traits, ok bool) {
	f := p.facts[size]
	c := f.call(n, func(v *graph.Value) *tensor.Tensor {
		switch {
		case p.batched[v] || p.turned[v] > 0:
			return nil
		case p.fixed[v] && !v.IsConst() && tensor.Volume(f.typeOf(v).Shape) > smallConst:
			return nil // weights, whose elements no rule looks at
		}
		return f.constant(v)
	})
	c.Types, c.OutType = make([]op.Type, len(n.Inputs)), make([]op.Type, len(n.Outputs))
	s = &op.Samples{Call: c, N: batchSizes[size], Batched: make([]bool, len(n.Inputs))}
	traits = op.TraitsOf(n.Domain, n.Op, c)
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		c.Types[i], s.Batched[i] = f.typeOf(v), p.batched[v]
		if !p.batched[v] && p.turned[v] == 0 && traits.Role(i) != op.Shape && !p.steady(v) {
			return nil, traits, false
		}
	}
	for i, v := range n.Outputs {
		if v != nil {
			c.OutType[i] = f.typeOf(v)
		}
	}
	return s, traits, true
}

// steady reports whether a constant is the same for every size of the batch, or
// the same sample as often as that.
func (p *prover) steady(v *graph.Value) bool {
	if v.IsConst() || p.fixed[v] {
		return true
	}
	var first *tensor.Tensor
	for i, f := range p.facts {
		t := f.constant(v)
		if t == nil || t.DType() == tensor.String {
			return false
		}
		if i == 0 {
			first = t
			continue
		}
		same := slices.Equal(t.Shape(), first.Shape()) && bytes.Equal(t.Bytes(), first.Bytes())
		again := op.Repeats(t, batchSizes[i]) && first.Rank() > 0 && first.Shape()[0] == 1 && bytes.HasPrefix(t.Bytes(), first.Bytes())
		if !same && !again {
			return false
		}
	}
	return true
}
