package ptq

import "math"

// counters count values into the bins of one range, fast; what they hold moves
// to a [Histogram] by drain.
type counters struct {
	inv   float32 // bins per unit, a power of two, so that x*inv is exact
	zeros uint64
	side  [2][]uint64
}

func newCounters(exp int) *counters {
	return &counters{
		inv:  float32(math.Ldexp(Bins, -exp)),
		side: [2][]uint64{make([]uint64, Bins), make([]uint64, Bins)},
	}
}

// add counts x, whose magnitudes are below the range's end.
func (c *counters) add(x []float32, negative bool) {
	pos, neg := c.side[0], c.side[1]
	for _, v := range x {
		switch i := int(v * c.inv); {
		case v > 0:
			pos[i]++
		case v < 0:
			neg[-i]++
		default:
			c.zeros++
		}
	}
}

// drain adds the counts to pos and neg, returns the zeros and starts anew.
func (c *counters) drain(pos, neg []uint64) (zeros uint64) {
	for i, n := range c.side[0] {
		pos[i] += n
	}
	for i, n := range c.side[1] {
		neg[i] += n
	}
	clear(c.side[0])
	clear(c.side[1])
	zeros, c.zeros = c.zeros, 0
	return zeros
}
