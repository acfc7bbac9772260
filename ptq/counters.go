package ptq

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
)

// counters count values into the bins of one range, fast; what they hold moves
// to a [Histogram] by drain.
type counters struct{ bins *asm.Histogram }

func newCounters(exp int) *counters {
	bins, err := asm.NewSymmetricHistogram(float32(math.Ldexp(1, exp)), Bins)
	if err != nil {
		panic(err) // minExp and maxExp keep the range within what it takes
	}
	return &counters{bins}
}

// add counts x, whose magnitudes are below the range's end.
func (c *counters) add(x []float32) { c.bins.Add(x) }

// drain adds the counts to pos and neg, returns the zeros and starts anew.
func (c *counters) drain(pos, neg []uint64) (zeros uint64) {
	counts := c.bins.Counts()
	for i := range pos {
		pos[i] += counts[i]
		neg[i] += counts[Bins+i]
	}
	zeros = c.bins.Zeros
	c.bins.Reset()
	return zeros
}
