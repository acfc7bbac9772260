package ptq

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Operator and domain of a scaling node: one input, one output, the point
// where a tensor is brought to integers. It is in a graph only between
// [InsertScaling] and [Lower], which makes of it a pair of QuantizeLinear and
// DequantizeLinear, or a Mul.
const (
	scalingOp     = "Scaling"
	scalingDomain = "narrow"
)

// Scaling is what a scaling node does: r = Scale*(q-Zero), with q on a grid.
type Scaling struct {
	Grid
	Scale []float32 // one, or one for each index of Axis; empty until the ranges are known
	Zero  int       // the zero point
	Axis  int       // of several scales; -1 for one
	Bias  bool      // an int32 bias, whose scale is that of input and weights
}

const scalingAttr = "scaling"

// scalingOf returns what a scaling node does, nil for any other node. The
// caller may change it.
func scalingOf(n *graph.Node) *Scaling {
	if n == nil || n.Op != scalingOp || n.Domain != scalingDomain {
		return nil
	}
	return n.Attrs[scalingAttr].(*Scaling)
}

// levels returns the grid laid out by the scaling of index c of its axis.
func (s *Scaling) levels(c int) Levels {
	if s.Axis < 0 {
		c = 0
	}
	return Levels{Scale: float64(s.Scale[c]), Zero: s.Zero, Min: s.Min(), Max: s.Max()}
}

// runs calls f for every run of elements [from, to) of a tensor that have one scale.
func (s *Scaling) runs(shape []int, f func(l Levels, from, to int)) {
	inner, count := tensor.Volume(shape), 1
	if s.Axis >= 0 {
		inner, count = tensor.Volume(shape[s.Axis+1:]), shape[s.Axis]
	}
	for from := 0; from < tensor.Volume(shape); from += inner {
		f(s.levels(from/inner%count), from, from+inner)
	}
}

// isWeight reports whether the node scales a constant.
func isWeight(n *graph.Node) bool { return n.Inputs[0].IsConst() }

// newScaling appends a scaling node that reads v and returns its output.
func newScaling(g *graph.Graph, v *graph.Value, s *Scaling) *graph.Value {
	out := g.New(v.Name+"_scaled", scalingOp, op.Attrs{scalingAttr: s}, v)
	out.Node.Domain = scalingDomain
	out.Type, out.Dims = v.Type, v.Dims
	return out
}

// InsertScaling puts a scaling node at every point where a tensor becomes
// integers: behind every affine node with its activation function, behind every
// join, on the inputs of the network that such nodes read, and on weights, biases and
// constant operands. Where values only move (pooling, reshaping, concatenation)
// the scaling nodes before and behind will share one scale. bits gives the
// bits of a node's weights and activations; nodes for which exclude is true stay in float.
func InsertScaling(g *graph.Graph, bits func(*graph.Node) (weights, activations int), exclude func(*graph.Node) bool) {
	p := planPoints(g, exclude)
	var nodes []*graph.Node
	nodes = append(nodes, g.Nodes...)
	for _, v := range p.values {
		insertAt(g, v, p, bits)
	}
	for _, n := range nodes {
		switch k := p.kinds[n]; {
		case k == op.Affine:
			scaleParameters(g, n, bits)
		case k != op.FloatOnly:
			scaleConstants(g, n, bits)
		}
	}
	if err := g.Sort(); err != nil { // only a graph that had a cycle before has one now
		panic(err)
	}
}

// insertAt puts a scaling node on v, between it and all who read it.
func insertAt(g *graph.Graph, v *graph.Value, p *points, bits func(*graph.Node) (int, int)) {
	_, a := 0, 8
	if n := p.maker(v); n != nil {
		_, a = bits(n)
	} else if readers := p.uses[v]; len(readers) > 0 {
		_, a = bits(readers[0])
	}
	s := &Scaling{Grid: Grid{Bits: a, Signed: true}, Axis: -1}
	nodes := slices.Clone(g.Nodes)
	out := newScaling(g, v, s)
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if in == v {
				n.Inputs[i] = out
			}
		}
	}
	for i, o := range g.Outputs {
		if o == v {
			g.Outputs[i] = out
			v.Name, out.Name = g.Unique(v.Name+"_float"), v.Name
			out.Node.Name = out.Name + "_scaled"
		}
	}
}

// scaleParameters puts scaling nodes on the weights and the bias of an affine node.
func scaleParameters(g *graph.Graph, n *graph.Node, bits func(*graph.Node) (int, int)) {
	w, _ := bits(n)
	n.Inputs[1] = newScaling(g, n.Inputs[1], &Scaling{Grid: Grid{Bits: w, Signed: true}, Axis: -1})
	if b := n.In(2); b != nil {
		n.Inputs[2] = newScaling(g, b, &Scaling{Grid: Grid{Bits: 32, Signed: true}, Axis: -1, Bias: true})
	}
}

// scaleConstants puts scaling nodes on constant operands.
func scaleConstants(g *graph.Graph, n *graph.Node, bits func(*graph.Node) (int, int)) {
	_, a := bits(n)
	t := traitsOf(n)
	for i, v := range n.Inputs {
		if v.IsConst() && isActivation(n, &t, i) {
			n.Inputs[i] = newScaling(g, v, &Scaling{Grid: Grid{Bits: a, Signed: true}, Axis: -1})
		}
	}
}

// points are the values that become integers, and why.
type points struct {
	values  []*graph.Value // in the order of the graph
	kinds   map[*graph.Node]op.Flow
	reasons map[*graph.Node]string // of nodes that stay in float
	uses    map[*graph.Value][]*graph.Node
	fused   map[*graph.Node]*graph.Node // the node before, by activation function
}

// maker returns the node whose result v is: behind a fused activation function
// the node before it; nil for an input of the network.
func (p *points) maker(v *graph.Value) *graph.Node {
	if n := p.fused[v.Node]; n != nil {
		return n
	}
	return v.Node
}

// planPoints decides which values become integers.
func planPoints(g *graph.Graph, exclude func(*graph.Node) bool) *points {
	p := &points{
		kinds: make(map[*graph.Node]op.Flow), reasons: make(map[*graph.Node]string),
		uses: g.Uses(), fused: make(map[*graph.Node]*graph.Node),
	}
	for _, n := range g.Nodes {
		k, reason := kindOf(g, n)
		if maker := p.infiniteInput(n); k != op.FloatOnly && maker != nil {
			reason = fmt.Sprintf("it reads %q, where a constant has %s", maker.Name, infinities)
			if t := traitsOf(n); !math.IsInf(t.Range.Lo, 0) && !math.IsInf(t.Range.Hi, 0) {
				reason += ", and makes it finite" // nothing behind need care
			}
			k = op.FloatOnly
		}
		if k != op.FloatOnly && exclude(n) {
			k, reason = op.FloatOnly, "it was excluded"
		}
		p.kinds[n] = k
		if k == op.FloatOnly {
			p.reasons[n] = reason
		}
	}
	for _, n := range g.Nodes {
		if before := p.fusesInto(g, n); before != nil {
			p.fused[n] = before
		}
	}
	chosen := p.choose(g)
	for _, v := range g.Values() {
		if chosen[v] {
			p.values = append(p.values, v)
		}
	}
	p.leaveIdle(chosen)
	return p
}

// infiniteInput returns a node before n whose result may be infinite, as is that of
// adding a mask of infinities.
func (p *points) infiniteInput(n *graph.Node) *graph.Node {
	for _, v := range n.Inputs {
		if v != nil && v.Node != nil && strings.HasSuffix(p.reasons[v.Node], infinities) {
			return v.Node
		}
	}
	return nil
}

// fusesInto returns the node whose result the activation function n clamps, nil
// if n is none or somebody else needs the result unclamped.
func (p *points) fusesInto(g *graph.Graph, n *graph.Node) *graph.Node {
	if p.kinds[n] == op.FloatOnly || !isActivationFunction(n) {
		return nil
	}
	v := n.In(0)
	if v == nil || v.Node == nil || len(p.uses[v]) != 1 || g.IsOutput(v) {
		return nil
	}
	switch p.kinds[v.Node] {
	case op.Affine, op.Product, op.Join:
		return v.Node
	}
	return nil
}

// choose returns the set of values that become integers.
func (p *points) choose(g *graph.Graph) map[*graph.Value]bool {
	chosen := make(map[*graph.Value]bool)
	for _, n := range g.Nodes {
		k := p.kinds[n]
		if k == op.FloatOnly || k == op.Moves {
			continue
		}
		if p.fused[n] == nil {
			t := traitsOf(n)
			for i, v := range n.Inputs {
				if isActivation(n, &t, i) && !v.IsConst() {
					chosen[v] = true
				}
			}
		}
		for _, v := range n.Outputs {
			if v != nil && p.wantsResult(g, n, v) {
				chosen[v] = true
			}
		}
	}
	p.spread(g, chosen)
	return chosen
}

// wantsResult reports whether the output v of n becomes integers: unless an
// activation function follows at once, or v is a sum of products that goes on
// in float anyway, of which the full precision is kept.
func (p *points) wantsResult(g *graph.Graph, n *graph.Node, v *graph.Value) bool {
	readers := p.uses[v]
	if len(readers) == 1 && p.fused[readers[0]] == n {
		return false
	}
	if traitsOf(p.maker(v)).FloatSums {
		return slices.ContainsFunc(readers, func(r *graph.Node) bool { return p.kinds[r] != op.FloatOnly })
	}
	return len(readers) > 0 || g.IsOutput(v)
}

// spread carries integers through nodes that only move values: a node whose
// result is to be integers takes integers.
func (p *points) spread(g *graph.Graph, chosen map[*graph.Value]bool) {
	for changed := true; changed; {
		changed = false
		for i := len(g.Nodes) - 1; i >= 0; i-- {
			n := g.Nodes[i]
			if p.kinds[n] != op.Moves || n.In(0) == nil || n.In(0).IsConst() {
				continue
			}
			some := chosen[n.In(0)]
			for _, v := range n.Outputs {
				some = some || chosen[v]
			}
			if !some {
				continue
			}
			for _, v := range append([]*graph.Value{n.In(0)}, n.Outputs...) {
				if v != nil && !chosen[v] && (len(p.uses[v]) > 0 || g.IsOutput(v)) {
					chosen[v] = true
					changed = true
				}
			}
		}
	}
}

// leaveIdle marks the moving nodes that no integers reach as being in float.
func (p *points) leaveIdle(chosen map[*graph.Value]bool) {
	for n, k := range p.kinds {
		if k == op.Moves && !chosen[n.In(0)] {
			p.kinds[n], p.reasons[n] = op.FloatOnly, "nothing around it is quantized"
		}
	}
}

// ensure the message names the node.
func nodeError(n *graph.Node, err error) error { return fmt.Errorf("ptq: %s: %w", n, err) }
