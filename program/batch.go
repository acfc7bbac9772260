package program

import (
	"bytes"
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
// It is proved node by node, by the rules of the operator table.
func Batchable(g *graph.Graph, inputs []op.Type) bool {
	if !sharesBatch(g) {
		return false
	}
	var p prover
	for i, n := range batchSizes {
		f, err := infer(g, WithBatch(inputs, n))
		if err != nil {
			return false
		}
		p.facts[i] = f
	}
	return p.proves(g)
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
	batched map[*graph.Value]bool
	fixed   map[*graph.Value]bool // computed from constants of the file alone
}

func (p *prover) proves(g *graph.Graph) bool {
	p.batched, p.fixed = make(map[*graph.Value]bool), make(map[*graph.Value]bool)
	for _, v := range g.Inputs {
		p.batched[v] = p.sized(v)
	}
	for _, n := range g.Nodes {
		p.fix(n)
		if slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return v != nil && !p.isConst(v) }) && !p.node(n) {
			return false
		}
	}
	for _, v := range g.Outputs {
		if !p.batched[v] {
			return false
		}
	}
	return true
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
func (p *prover) sized(v *graph.Value) bool {
	first := p.facts[0].typeOf(v)
	for i, f := range p.facts {
		t := f.typeOf(v)
		if !t.Static() || len(t.Shape) == 0 || t.Shape[0] != batchSizes[i] || !slices.Equal(t.Shape[1:], first.Shape[1:]) {
			return false
		}
	}
	return true
}

// node records that the outputs hold samples, and returns false if that cannot be told.
func (p *prover) node(n *graph.Node) bool {
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
	f := p.facts[size]
	c := f.call(n, func(v *graph.Value) *tensor.Tensor {
		switch {
		case p.batched[v]:
			return nil
		case p.fixed[v] && !v.IsConst() && tensor.Volume(f.typeOf(v).Shape) > smallConst:
			return nil // weights, whose elements no rule looks at
		}
		return f.constant(v)
	})
	c.Types, c.OutType = make([]op.Type, len(n.Inputs)), make([]op.Type, len(n.Outputs))
	s := &op.Samples{Call: c, N: batchSizes[size], Batched: make([]bool, len(n.Inputs))}
	traits := op.TraitsOf(n.Domain, n.Op, c)
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		c.Types[i], s.Batched[i] = f.typeOf(v), p.batched[v]
		if !p.batched[v] && traits.Role(i) != op.Shape && !p.steady(v) {
			return false
		}
	}
	for i, v := range n.Outputs {
		if v != nil {
			c.OutType[i] = f.typeOf(v)
		}
	}
	return traits.Batch(s)
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
