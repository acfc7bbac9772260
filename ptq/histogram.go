package ptq

import (
	"errors"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/asm"
)

// ErrNotFinite reports an activation or a weight that is NaN, infinite, or
// too large for its square to mean anything.
var ErrNotFinite = errors.New("ptq: value is not a finite number")

// Bins is the number of bins a [Histogram] has on each side of zero.
const Bins = 4096

// The range of a histogram is 2^exp with minExp <= exp <= maxExp: below, the
// width of a bin would be no normal float32; above, the range itself.
const (
	minExp = -100
	maxExp = 127
)

// Histogram counts the values of a tensor in bins of equal width: Bins bins for
// the positive ones on [0, 2^exp) and as many for the magnitudes of the negative
// ones. Exact zeros are counted apart, minimum and maximum are kept exactly.
//
// The range is the least power of two above every magnitude seen. When it grows, bins
// merge in pairs; since every border of a wide bin is one of narrow bins, the
// counts are what counting everything with the final range would have given,
// whatever the order of the values. So [Histogram.Merge] is associative and
// commutative, and threads, shards and machines are all the same thing.
//
// The zero value is empty and ready to use.
type Histogram struct {
	Zeros    uint64
	Min, Max float32 // 0 for an empty histogram
	exp      int     // meaningful if pos is not nil
	pos, neg []uint64
	count    uint64
	counters *counters // values not yet in pos and neg; nil if there are none
}

// Count returns how many values were added.
func (h *Histogram) Count() uint64 { return h.count }

// MaxAbs returns the largest magnitude added.
func (h *Histogram) MaxAbs() float64 {
	return math.Max(math.Abs(float64(h.Min)), math.Abs(float64(h.Max)))
}

// Width returns the width of a bin, 0 if only zeros were added.
func (h *Histogram) Width() float64 {
	if h.pos == nil {
		return 0
	}
	return math.Ldexp(1.0/Bins, h.exp)
}

// Add counts the values of x. It returns an error that wraps [ErrNotFinite],
// and counts nothing, if one of them is NaN, infinite or not below 2^127.
func (h *Histogram) Add(x []float32) error {
	if len(x) == 0 {
		return nil
	}
	lo, hi, err := finiteRange(x)
	if err != nil {
		return err
	}
	if h.count == 0 {
		h.Min, h.Max = lo, hi
	}
	h.Min, h.Max = min(h.Min, lo), max(h.Max, hi)
	h.count += uint64(len(x))
	if lo == 0 && hi == 0 {
		h.Zeros += uint64(len(x))
		return nil
	}
	h.cover(rangeExp(max(-lo, hi)))
	h.counters.add(x)
	return nil
}

// rangeExp returns the exponent of the least power of two above the magnitude m.
func rangeExp(m float32) int {
	_, exp := math.Frexp(float64(m))
	return max(exp, minExp)
}

// cover makes the range at least 2^exp.
func (h *Histogram) cover(exp int) {
	switch {
	case h.pos == nil:
		h.exp = exp
		h.pos, h.neg = make([]uint64, Bins), make([]uint64, Bins)
	case exp > h.exp:
		h.flush()
		widen(h.pos, exp-h.exp)
		widen(h.neg, exp-h.exp)
		h.exp = exp
		h.counters = nil
	}
	if h.counters == nil {
		h.counters = newCounters(h.exp)
	}
}

// widen merges bins so that each covers 2^by of the old ones.
func widen(bins []uint64, by int) {
	if by >= 13 { // 2^13 > Bins: everything is in the first bin
		by = 13
	}
	for i := 1; i < len(bins); i++ {
		n := bins[i]
		bins[i] = 0
		bins[i>>by] += n
	}
}

// flush moves what the counters hold to pos and neg.
func (h *Histogram) flush() {
	if h.counters != nil {
		h.Zeros += h.counters.drain(h.pos, h.neg)
	}
}

// Merge adds what o has counted. It does not change o's counts.
func (h *Histogram) Merge(o *Histogram) {
	o.flush()
	h.flush()
	if o.count == 0 {
		return
	}
	if h.count == 0 {
		h.Min, h.Max = o.Min, o.Max
	}
	h.Min, h.Max = min(h.Min, o.Min), max(h.Max, o.Max)
	h.count += o.count
	h.Zeros += o.Zeros
	if o.pos == nil {
		return
	}
	h.cover(o.exp)
	by := min(h.exp-o.exp, 13)
	for i, n := range o.pos {
		h.pos[i>>by] += n
	}
	for i, n := range o.neg {
		h.neg[i>>by] += n
	}
}

// Sides returns the counts of the positive values and of the magnitudes of
// the negative ones, bin i being [i, i+1) times [Histogram.Width]. Both are nil
// if only zeros were added. They belong to the histogram.
func (h *Histogram) Sides() (pos, neg []uint64) {
	h.flush()
	return h.pos, h.neg
}

// Moments returns the mean and the mean square of the values, each taken as
// the centre of its bin: the same for any order of the values.
func (h *Histogram) Moments() (mean, square float64) {
	if h.count == 0 {
		return 0, 0
	}
	pos, neg := h.Sides()
	width := h.Width()
	for i := range pos {
		x := (float64(i) + 0.5) * width
		mean += x * (float64(pos[i]) - float64(neg[i]))
		square += x * x * (float64(pos[i]) + float64(neg[i]))
	}
	n := float64(h.count)
	return mean / n, square / n
}

// finiteRange returns the least and the greatest of the values.
func finiteRange(x []float32) (lo, hi float32, err error) {
	const limit = 1 << maxExp
	lo, hi, nan := asm.MinMaxF32(x)
	switch {
	case nan > 0:
		err = fmt.Errorf("%w: NaN", ErrNotFinite)
	case hi >= limit:
		err = fmt.Errorf("%w: %v", ErrNotFinite, hi)
	case lo <= -limit:
		err = fmt.Errorf("%w: %v", ErrNotFinite, lo)
	}
	return lo + 0, hi + 0, err // no negative zero: files must not depend on which came first
}
