package ptq

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/narrow-ml/narrow/asm"
)

// ErrNotFinite reports an activation or a weight that is NaN or infinite.
var ErrNotFinite = errors.New("ptq: value is not a finite number")

// Bins is the number of bins a [Histogram] has on each side of zero.
const Bins = 4096

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
// The zero value is empty and ready to use. Any number of goroutines may read a histogram that nobody adds to.
type Histogram struct {
	zeros, count uint64
	min, max     float32 // 0 for an empty histogram
	exp          int     // meaningful unless there were only zeros
	pos, neg     []uint64
	live         *asm.Histogram // of the same range: bins not yet in pos and neg; nil if there are none
	reading      sync.Mutex     // several may read at once, and the first brings live to pos and neg
}

// tile is how many values are counted at a time: they stay in the cache from
// the search for their range to their counting.
const tile = 8192

// Add counts the values of x. It returns an error that wraps [ErrNotFinite] if
// one of them is NaN, infinite or not below 2^127; the histogram is of no use then.
func (h *Histogram) Add(x []float32) error {
	for len(x) > 0 {
		n := min(len(x), tile)
		if err := h.addTile(x[:n]); err != nil {
			return err
		}
		x = x[n:]
	}
	return nil
}

func (h *Histogram) addTile(x []float32) error {
	lo, hi, nan := asm.MinMaxF32(x)
	if nan > 0 {
		return fmt.Errorf("%w: NaN", ErrNotFinite)
	}
	lo, hi = lo+0, hi+0 // no negative zero: the result must not depend on which came first
	exp := rangeExp(max(-lo, hi))
	if exp > maxExp {
		return fmt.Errorf("%w: values from %g to %g", ErrNotFinite, lo, hi)
	}
	if h.count == 0 {
		h.min, h.max = lo, hi
	}
	h.min, h.max = min(h.min, lo), max(h.max, hi)
	h.count += uint64(len(x))
	if lo == 0 && hi == 0 {
		h.zeros += uint64(len(x))
		return nil
	}
	if err := h.cover(exp); err != nil {
		return err
	}
	if h.live == nil {
		var err error
		if h.live, err = asm.NewSymmetricHistogram(float32(math.Ldexp(1, h.exp)), Bins); err != nil {
			return err
		}
	}
	h.live.Add(x)
	return nil
}

// The range of a histogram is 2^exp with minExp <= exp <= maxExp: below, the
// width of a bin would be no normal float32; above, the range itself.
const (
	minExp = -100
	maxExp = 127
)

// rangeExp returns the exponent of the least power of two above the magnitude m.
func rangeExp(m float32) int {
	if math.IsInf(float64(m), 0) {
		return maxExp + 1
	}
	_, exp := math.Frexp(float64(m))
	return max(exp, minExp)
}

// Count returns how many values were added.
func (h *Histogram) Count() uint64 { return h.count }

// Zeros returns how many of the values are exactly zero.
func (h *Histogram) Zeros() uint64 { h.flush(); return h.zeros }

// Range returns the least and the greatest value, zeros for an empty histogram.
func (h *Histogram) Range() (lo, hi float64) {
	return float64(h.min), float64(h.max)
}

// MaxAbs returns the largest magnitude added.
func (h *Histogram) MaxAbs() float64 {
	lo, hi := h.Range()
	return math.Max(-lo, hi)
}

// Width returns the width of a bin, 0 if only zeros were added.
func (h *Histogram) Width() float64 {
	h.flush()
	if h.onlyZeros() {
		return 0
	}
	return math.Ldexp(1.0/Bins, h.exp)
}

// onlyZeros reports whether nothing but zeros was added.
func (h *Histogram) onlyZeros() bool { return h.pos == nil && h.live == nil }

// flush moves what the live histogram has counted to the other fields.
func (h *Histogram) flush() {
	h.reading.Lock()
	defer h.reading.Unlock()
	if h.live == nil {
		return
	}
	counts := h.live.Counts()
	if h.pos == nil {
		h.pos, h.neg = counts[:Bins:Bins], counts[Bins:]
	} else {
		for i := range h.pos {
			h.pos[i] += counts[i]
			h.neg[i] += counts[Bins+i]
		}
	}
	h.zeros += h.live.Zeros
	h.live = nil
}

// cover makes the range at least 2^exp.
func (h *Histogram) cover(exp int) error {
	by := exp - h.exp
	switch {
	case h.onlyZeros():
		h.exp = exp
	case by > 0:
		widen(h.pos, by)
		widen(h.neg, by)
		h.exp = exp
		if h.live != nil {
			return h.live.Widen(by)
		}
	}
	return nil
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

// Merge adds what o has counted. It does not change o's counts.
func (h *Histogram) Merge(o *Histogram) {
	o.flush()
	h.flush()
	if o.count == 0 {
		return
	}
	if h.count == 0 {
		h.min, h.max = o.min, o.max
	}
	h.min, h.max = min(h.min, o.min), max(h.max, o.max)
	h.count += o.count
	h.zeros += o.zeros
	if o.pos == nil {
		return
	}
	_ = h.cover(o.exp) // fails for live counts only
	if h.pos == nil {
		h.pos, h.neg = make([]uint64, Bins), make([]uint64, Bins)
	}
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
