package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/ptq"
)

const (
	drawnPairs    = 6   // pairs of layers whose channels are drawn; the others are listed
	drawnChannels = 200 // points of a curve, at most
	channelsWidth = 340
	channelHeight = 150
)

// Balance is a pair of layers whose channels were balanced.
type Balance struct {
	First, Second string // names of the nodes
	Channels      int
	Sides         [3]Side // weights of the first, activations between, weights of the second
}

// Side is one of the three tensors that meet at the channels between two layers.
type Side struct {
	What          string
	Before, After float64       // how many times the median channel's range the widest has
	Picture       template.HTML // of the ranges; empty if they are only listed
}

// balances returns the pairs that were balanced, those first whose channels were
// furthest apart, and draws the first few.
func balances(e *ptq.Equalization) (drawn, listed []Balance) {
	if e == nil {
		return nil, nil
	}
	pairs := slices.Clone(e.Balanced)
	slices.SortStableFunc(pairs, func(a, b ptq.BalancedPair) int { return cmp.Compare(worstSpread(b.Before), worstSpread(a.Before)) })
	for i, p := range pairs {
		b := Balance{First: p.First, Second: p.Second, Channels: len(p.Before.Acts)}
		for k, s := range []struct {
			what          string
			before, after []float64
		}{
			{"weights of the first", p.Before.Out, p.After.Out},
			{"values between", p.Before.Acts, p.After.Acts},
			{"weights of the second", p.Before.In, p.After.In},
		} {
			b.Sides[k] = Side{What: s.what, Before: spread(s.before), After: spread(s.after)}
			if i < drawnPairs {
				b.Sides[k].Picture = channelsSVG(s.what, s.before, s.after)
			}
		}
		if i < drawnPairs {
			drawn = append(drawn, b)
		} else {
			listed = append(listed, b)
		}
	}
	return drawn, listed
}

// unbalanced says in a sentence why there are no balanced pairs, "" if there are.
func unbalanced(e *ptq.Equalization) string {
	switch {
	case e == nil:
		return "Equalization was not asked for, or the ranges came from a file of statistics, which are of the network as it is."
	case len(e.Balanced) > 0:
		return ""
	case e.Pairs == 0 && len(e.Refused) > 0:
		return "Nothing was balanced: of no two neighbouring layers can the channels be scaled without changing what the network computes."
	case e.Pairs == 0:
		return "Nothing was balanced: the network has no two layers in a row with only what keeps channels apart, such as Relu or pooling, between them."
	}
	return fmt.Sprintf("Nothing was balanced: %d pairs of neighbouring layers were looked at, and for none would it have lessened the estimated noise by 5 %% or more. Their channels are alike enough already, or the scales of their own that channels of weights have make up for it.", e.Pairs)
}

func worstSpread(r ptq.ChannelRanges) float64 {
	return max(spread(r.Out), spread(r.Acts), spread(r.In))
}

// spread returns how many times the median of the ranges that are not zero the largest is: as many
// times is a step for the whole tensor too coarse for the channel in the middle.
func spread(ranges []float64) float64 {
	sorted := widestFirst(ranges)
	if len(sorted) == 0 {
		return 1
	}
	return sorted[0] / sorted[len(sorted)/2]
}

// deadChannel is the share of the widest channel's range under which one is taken for zero.
const deadChannel = 1e-5

// widestFirst returns the ranges of the channels that are not zero in falling order.
func widestFirst(ranges []float64) []float64 {
	if len(ranges) == 0 {
		return nil
	}
	least := slices.Max(ranges) * deadChannel
	sorted := slices.DeleteFunc(slices.Clone(ranges), func(r float64) bool { return r <= least })
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	return sorted
}

// channelsSVG draws the ranges of channels before and after balancing as two falling
// curves with a logarithmic height: the flatter, the better one scale fits all.
func channelsSVG(what string, before, after []float64) template.HTML {
	before, after = widestFirst(before), widestFirst(after)
	if len(before) == 0 || len(after) == 0 {
		return ""
	}
	high := max(before[0], after[0])
	low := min(floorOf(before), floorOf(after))
	if high < 2*low {
		low, high = low/math.Sqrt2, high*math.Sqrt2
	}
	d := &drawing{width: channelsWidth, height: channelHeight, left: 40, xLow: 0, xHigh: 1, yLow: low / 1.1, yHigh: high * 1.1, logarithmic: true}
	d.powerAxis()
	d.line(curve(before, low), "stroke:var(--soft);stroke-width:1.5;stroke-dasharray:3 3")
	d.line(curve(after, low), "stroke:var(--accent);stroke-width:2")
	return d.svg(`class="channels"`,
		fmt.Sprintf("ranges of the channels of the %s: from %.3g to %.3g before, from %.3g to %.3g after", what, before[len(before)-1], before[0], after[len(after)-1], after[0]))
}

// floorOf returns the range that the picture of falling ranges should reach down to: a few
// channels that are all but zero would press the others together.
func floorOf(sorted []float64) float64 {
	const few, below = 20, 3 // one channel in 20
	last := len(sorted) - 1
	return max(sorted[last], sorted[last-last/few]/below)
}

// curve returns the points of falling ranges, not all of them where there are many, over
// the share of the channels that are wider.
func curve(sorted []float64, low float64) []point {
	n := min(len(sorted), drawnChannels)
	points := make([]point, 0, n+1)
	for i := range n {
		at := i * (len(sorted) - 1) / max(n-1, 1)
		points = append(points, point{float64(i) / float64(max(n-1, 1)), math.Max(sorted[at], low)})
	}
	if n == 1 {
		points = append(points, point{1, points[0].y})
	}
	return points
}
