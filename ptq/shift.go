package ptq

import (
	"math"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// mantissas is how many mantissas of scales singleShift tries.
const mantissas = 32

// singleShift chooses the scales of all activations so that every rescaling in
// the network is an exact power of two, a shift of bits. All scales have one mantissa m,
// s = m*2^k; with weights whose scales are powers of two (see
// normalizeParameters), s_x*s_w/s_y is one for every affine node and
// s_x/s_y for every operand of a join, residual branches among them, so nothing is left
// that would need a multiplication. Where scales are multiplied with each other, by a
// Mul or a product of activations, or fixed by an operator's range, m is 1.
//
// For every m, each tensor takes the k with the least error, that of rounding and
// that of clipping together; the m with the least error over all tensors and weights is
// taken, relative to each tensor's own size. The mantissa that the network's input would
// choose for itself is among them, as inputs are often 8-bit data already.
//
// With powers, m is 1 for all.
func singleShift(net *network, stats *Statistics, powers bool) error {
	s := &shifter{net: net, powers: powers}
	for _, gr := range net.groups() {
		gr.widen()
		m, err := newShiftGroup(gr, stats)
		if err != nil {
			return err
		}
		if powers {
			m.ratio = 1
		}
		s.groups = append(s.groups, m)
	}
	best, least := 1.0, math.Inf(1)
	for _, m := range s.candidates() {
		if cost := s.choose(m); cost < least {
			best, least = m, cost
		}
	}
	s.choose(best)
	for _, gr := range s.groups {
		gr.set(gr.chosen)
	}
	return nil
}

type shifter struct {
	net    *network
	groups []*shiftGroup
	powers bool
}

// candidates returns the mantissas to try, in [1/2, 1).
func (s *shifter) candidates() []float64 {
	if s.powers {
		return []float64{0.5}
	}
	for _, n := range s.net.Nodes {
		if k := s.net.kind(n); k == op.Bounded || k != op.FloatOnly && traitsOf(n).Scale == op.Bilinear {
			return []float64{0.5}
		}
	}
	var out []float64
	for _, gr := range s.groups {
		if gr.isInput() {
			m, _ := math.Frexp(float64(float32(gr.free.Scale)))
			out = append(out, m)
		}
	}
	for i := range mantissas {
		out = append(out, float64(float32(math.Exp2(float64(i)/mantissas-1))))
	}
	return out
}

// choose gives every group the best scale with mantissa m and returns the sum of
// the relative errors.
func (s *shifter) choose(m float64) float64 {
	cost := 0.0
	for _, gr := range s.groups {
		cost += gr.choose(m * gr.ratio)
	}
	return cost
}

// shiftGroup is a group of activations that looks for its power of two.
type shiftGroup struct {
	*group
	grid    Grid
	shifted bool    // has a zero point
	ratio   float64 // of its mantissa to that of the others
	free    Levels  // what it would choose freely
	lo, hi  float64
	members []*distribution
	power   []float64 // sum of squares of each member
	chosen  Levels
}

func newShiftGroup(gr *group, stats *Statistics) (*shiftGroup, error) {
	free, err := gr.levels(stats)
	if err != nil {
		return nil, err
	}
	s := &shiftGroup{group: gr, free: free, grid: scalingOf(gr.nodes[0]).Grid, ratio: gr.ratio()}
	s.shifted = free.Zero != 0
	if s.shifted {
		s.grid.Signed = false
	}
	s.lo, s.hi = float64(free.Min-free.Zero)*free.Scale, float64(free.Max-free.Zero)*free.Scale
	for _, n := range gr.sources {
		h := stats.Tensors[gr.net.place[n].Value.Name]
		if h == nil || h.Width() == 0 {
			continue // a constant, or nothing but zeros
		}
		_, square := h.Moments()
		s.members = append(s.members, newDistribution(h))
		s.power = append(s.power, square*float64(h.Count()))
	}
	return s, nil
}

// ratio returns 1, but one over the number of elements for means of a number that is no power of two, if nothing but
// affine nodes with results in float read them: then the mean needs a shift alone, and its readers do not mind.
func (gr *group) ratio() float64 {
	if len(gr.sources) != 1 || gr.sources[0].Inputs[0].Node == nil {
		return 1
	}
	count := graph.Mean(gr.sources[0].Inputs[0].Node)
	if count&(count-1) == 0 {
		return 1
	}
	s := scalesOf(gr.net.Graph)
	for _, sn := range gr.nodes {
		for _, r := range s.uses[sn.Outputs[0]] {
			if moves := gr.net.kind(r) == op.Moves; !moves && !(isAffine(r) && s.output(r) == nil) {
				return 1
			}
		}
	}
	return 1 / float64(count)
}

// choose takes the power of two, around the free choice, with the least error.
func (s *shiftGroup) choose(m float64) float64 {
	_, exp := math.Frexp(s.free.Scale / m)
	best, least := Levels{}, math.Inf(1)
	for k := exp + 1; k >= exp-2; k-- {
		l := s.at(math.Ldexp(m, k))
		cost := 0.0
		for i, d := range s.members {
			cost += d.error(l, 2) / s.power[i]
		}
		if len(s.members) == 0 { // constants: whatever covers them
			cost = math.Abs(math.Log2(l.Scale/s.free.Scale) - 0.5)
		}
		if cost < least {
			best, least = l, cost
		}
	}
	s.chosen = best
	if len(s.members) == 0 {
		return 0
	}
	return least
}

// at lays the grid with a given scale, its zero point where the free choice has
// its own.
func (s *shiftGroup) at(scale float64) Levels {
	l := Levels{Scale: scale, Min: s.grid.Min(), Max: s.grid.Max()}
	if s.shifted {
		middle := (s.lo + s.hi) / 2
		zero := math.RoundToEven(float64(l.Min+l.Max)/2 - middle/scale)
		if l.Scale*float64(l.Max-l.Min) >= s.hi-s.lo {
			zero = math.RoundToEven(float64(l.Min) - s.lo/scale) // room for all: keep the least value on the grid
		}
		l.Zero = int(math.Min(math.Max(zero, float64(l.Min)), float64(l.Max)))
	}
	return l
}

// maxShift is how far sums are shifted at most: any further, and 32 bits leave nothing of them.
const maxShift = 31

// limitShifts raises the scales of channels with so little weight that their sums would be shifted further than
// maxShift, where ratio is the scale of x to that of y.
func (w *weights) limitShifts(ratio float64) {
	for c, s := range w.scaling.Scale {
		if least := math.Ldexp(1, -maxShift) / ratio; float64(s) < least {
			w.scaling.Scale[c] = nextPower(float32(least))
		}
	}
}
