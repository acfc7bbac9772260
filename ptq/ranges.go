package ptq

import (
	"fmt"
	"math"
	"sync"

	"github.com/narrow-ml/narrow/graph"
)

// NormalizeActivations chooses the scale of every activation: the clipped range
// that the rule keeps of it becomes the grid's, [-1,1] of a signed tensor or
// [0,1] of an unsigned one. Where values only move, the tensors share the scale of the
// largest range (maximum arbitration). A tensor that shares its scale with no
// other than the network's input, or every tensor if asymmetric, gets a zero
// point as well if it has values of both signs: inputs are often 8-bit data already, which a
// zero point makes exact.
//
// The operands of an Add keep scales of their own: the sum is made of products
// with both scales, in 32 bits, and brought to the scale of the result, so that
// it cannot wrap and neither operand loses resolution to the other.
func NormalizeActivations(g *graph.Graph, stats *Statistics, rule Clip, asymmetric bool) error {
	for _, h := range stats.Tensors {
		h.flush() // from here on histograms are only read
	}
	groups := groupsOf(g)
	levels, errs := make([]Levels, len(groups)), make([]error, len(groups))
	var searches sync.WaitGroup
	for i, gr := range groups {
		gr.widen()
		searches.Go(func() { levels[i], errs[i] = gr.levels(g, stats, rule, asymmetric) })
	}
	searches.Wait()
	for i, gr := range groups {
		if errs[i] != nil {
			return errs[i]
		}
		gr.set(levels[i])
	}
	return nil
}

// widen gives all members of a group the bits of the widest: integers that
// move from one to another mean the same in both.
func (gr *group) widen() {
	bits := 0
	for _, n := range gr.nodes {
		bits = max(bits, scalingOf(n).Bits)
	}
	for _, n := range gr.nodes {
		scalingOf(n).Bits = bits
	}
}

// set gives all members of a group their scale and zero point.
func (gr *group) set(l Levels) {
	for _, n := range gr.nodes {
		s := scalingOf(n)
		s.Scale, s.Zero, s.Signed = []float32{toScale(l.Scale)}, l.Zero, l.Min < 0
	}
}

// toScale returns a scale as the file will hold it: never 0, an infinity or a
// denormal, by which nothing can be divided.
func toScale(s float64) float32 {
	return float32(math.Min(math.Max(s, 1e-30), 1e30))
}

// levels lays the grid of a group over the largest of its members' ranges.
func (gr *group) levels(g *graph.Graph, stats *Statistics, rule Clip, asymmetric bool) (Levels, error) {
	grid := scalingOf(gr.nodes[0]).Grid
	lo, hi := 0.0, 0.0
	shift := grid.Signed && (asymmetric || gr.isInput(g))
	for _, n := range gr.sources {
		l, h, err := memberRange(n, stats, rule, grid, shift)
		if err != nil {
			return Levels{}, err
		}
		lo, hi = math.Min(lo, l), math.Max(hi, h)
	}
	if shift {
		return Grid{Bits: grid.Bits}.Between(lo, hi), nil
	}
	return grid.Over(math.Max(-lo, hi)), nil
}

// isInput reports whether the group holds an input of the network and nothing
// that was computed.
func (gr *group) isInput(g *graph.Graph) bool {
	for _, n := range gr.sources {
		if v := n.Inputs[0]; v.Node != nil || v.IsConst() {
			return false
		}
	}
	return true
}

// memberRange returns the range that is kept of a tensor.
func memberRange(n *graph.Node, stats *Statistics, rule Clip, grid Grid, shift bool) (lo, hi float64, err error) {
	v := n.Inputs[0]
	if v.IsConst() {
		h := new(Histogram)
		if err := h.Add(v.Const.Float32s()); err != nil {
			return 0, 0, fmt.Errorf("ptq: constant %q: %w", v.Name, err)
		}
		lo, hi = Max.Interval(h, grid.Bits)
		return lo, hi, nil
	}
	if v.Node != nil && kinds[v.Node.Op] == bounded {
		lo, hi = boundedRange(v.Node.Op)
		return lo, hi, nil
	}
	h := stats.Tensors[v.Name]
	if h == nil {
		return 0, 0, fmt.Errorf("ptq: the statistics have no tensor %q: they were made from another network or with other options", v.Name)
	}
	if shift {
		lo, hi = rule.Interval(h, grid.Bits)
		return lo, hi, nil
	}
	t := rule.Threshold(h, grid)
	if grid.Signed {
		return -t, t, nil
	}
	return 0, t, nil
}
