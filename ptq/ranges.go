package ptq

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph/op"
)

// ZeroPoints says which signed activations get a zero point: with one, a tensor with few or
// small values below zero does not leave half of its integers to them.
type ZeroPoints int

const (
	// ZeroPointsAuto gives one to the network's inputs, and to the tensors of whose
	// squared error, by their histograms, it takes away more than 30 % (1.5 dB).
	ZeroPointsAuto ZeroPoints = iota
	// ZeroPointsInput gives one to the network's inputs alone: they are often 8-bit data
	// already, which a zero point makes exact.
	ZeroPointsInput
	// ZeroPointsAll gives one to every activation.
	ZeroPointsAll
	// ZeroPointsNone gives one to none.
	ZeroPointsNone
)

// worthZeroPoint is the share of its squared error under which a tensor must come for a zero point
// to be given to it. It was found by measuring: one-sided tensors, those behind HardSwish, GELU and
// LeakyRelu, come to 0.3 to 0.5 of it, sums and results of convolutions mostly stay above 0.8, where
// what is gained cannot be told from chance at the outputs.
const worthZeroPoint = 0.7

// normalizeActivations chooses the scale of every activation: the clipped range
// that the place's rule keeps of it becomes the grid's, [-1,1] of a signed tensor or
// [0,1] of an unsigned one, or one around a zero point. Where values only move, the tensors
// share the scale of the largest range (maximum arbitration), and the zero point.
//
// The operands of an Add keep scales of their own: the sum is made of products
// with both scales, in 32 bits, and brought to the scale of the result, so that
// it cannot wrap and neither operand loses resolution to the other.
func normalizeActivations(net *network, stats *Statistics, threads int) error {
	groups := net.groups()
	levels := make([]Levels, len(groups))
	err := sideBySide(threads, len(groups), func(_, i int) (err error) {
		groups[i].widen()
		levels[i], err = groups[i].levels(stats)
		return err
	})
	if err != nil {
		return err
	}
	for i, gr := range groups {
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

// levels lays the grid of a group over the largest of its members' ranges, with a zero
// point if it is to have one.
func (gr *group) levels(stats *Statistics) (Levels, error) {
	grid := scalingOf(gr.nodes[0]).Grid
	members, err := gr.members(stats)
	if err != nil {
		return Levels{}, err
	}
	zeros := gr.choice.Zeros
	if gr.unshifted {
		zeros = ZeroPointsNone
	}
	if grid.Signed && (zeros == ZeroPointsAll || zeros != ZeroPointsNone && gr.isInput()) {
		return members.between(grid.Bits), nil
	}
	plain := members.over(grid)
	if grid.Signed && zeros == ZeroPointsAuto && members.oneSided() {
		if moved := members.between(grid.Bits); members.error(moved) < worthZeroPoint*members.error(plain) {
			return moved, nil
		}
	}
	return plain, nil
}

// isInput reports whether the group holds an input of the network and nothing
// that was computed.
func (gr *group) isInput() bool {
	for _, n := range gr.sources {
		if v := n.Inputs[0]; v.Node != nil || v.IsConst() {
			return false
		}
	}
	return true
}

// member is a tensor whose values set the range of its group.
type member struct {
	h    *Histogram
	rule Clip
	kept float64 // the threshold, once it was searched for
}

type members []*member

// members returns the tensors of a group whose values are not just others' moved.
func (gr *group) members(stats *Statistics) (members, error) {
	var all members
	for _, n := range gr.sources {
		v := n.Inputs[0]
		pl := gr.net.place[n]
		m := &member{h: stats.Tensors[pl.Value.Name], rule: pl.Choice.Clip}
		var fixed []float32 // what its range is known from
		switch {
		case v.IsConst():
			fixed = v.Const.Float32s()
		case v.Node != nil && gr.net.kind(v.Node) == op.Bounded:
			r := traitsOf(v.Node).Range
			fixed = []float32{float32(r.Lo), float32(r.Hi)}
		case m.h == nil:
			return nil, fmt.Errorf("ptq: the statistics have no tensor %q: gather them again, with what quantizes", pl.Value.Name)
		}
		if fixed == nil && m.h.Count() == 0 {
			return nil, fmt.Errorf("ptq: calibration saw no value of tensor %q: leave what reads it in float (--exclude)", pl.Value.Name)
		}
		if fixed != nil {
			m.h, m.rule = new(Histogram), Max
			if err := m.h.Add(fixed); err != nil {
				return nil, fmt.Errorf("ptq: constant %q: %w", v.Name, err)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// oneSided reports whether a zero point could pay: it makes the steps (1+r)/2 of what they
// are without, r being how far the nearer end is in parts of the farther, and errors the square of that.
func (all members) oneSided() bool {
	lo, hi := 0.0, 0.0
	for _, m := range all {
		l, h := m.h.Range()
		lo, hi = math.Min(lo, l), math.Max(hi, h)
	}
	r := math.Min(-lo, hi) / math.Max(-lo, hi)
	return (1+r)*(1+r)/4 < worthZeroPoint
}

// over lays a grid without a zero point.
func (all members) over(grid Grid) Levels {
	t := 0.0
	for _, m := range all {
		m.kept = m.rule.Threshold(m.h, grid)
		t = math.Max(t, m.kept)
	}
	return grid.Over(t)
}

// between lays a grid with a zero point.
func (all members) between(bits int) Levels {
	lo, hi := 0.0, 0.0
	for _, m := range all {
		l, h := m.rule.interval(m.h, bits, m.kept)
		lo, hi = math.Min(lo, l), math.Max(hi, h)
	}
	return Grid{Bits: bits}.Between(lo, hi)
}

// error returns the sum of the squared errors that rounding to levels makes of all values.
func (all members) error(l Levels) float64 {
	sum := 0.0
	for _, m := range all {
		sum += newDistribution(m.h).error(l, 2)
	}
	return sum
}
