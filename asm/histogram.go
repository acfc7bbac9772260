package asm

import (
	"fmt"
	"math"
	"unsafe"
)

// A Histogram counts float32 values in bins of equal width on [lo, hi]. The bin
// of x is floor((x-lo)*inv), where the difference and the product are rounded
// to float32 and inv is the float32 nearest to bins/(hi-lo); what this puts past
// the last bin, hi itself among it, belongs to the last bin. Counts are exact
// up to 2^64-1.
//
// Exact zeros (of either sign) are in no bin but in Zeros, wherever the range
// lies: rectified activations are mostly zeros, which say nothing about a
// clipping threshold. [Histogram.Bin] of 0 tells where they would be. Values
// below and above the range, infinities among them, are in Under and Over, and
// NaN in NaN: no element is lost.
//
// A Histogram is not safe for concurrent use: give each thread its own and
// Merge them.
type Histogram struct {
	Under, Over, NaN, Zeros uint64

	magnitude bool // histogramMagF32
	kernel    histogramFunc
	reference histogramFunc
	counts    []uint64
	binning   binning
	sub       []uint16 // four counters per bin, and a spare bin; not yet in counts
	pending   int      // elements that sub may hold
}

// maxBins keeps a bin's index exact in float32.
const maxBins = 1 << 20

// flushAfter is how many elements may be added to sub before one of its
// counters could overflow: each takes at most every fourth element, or one
// more of a call's last elements.
const flushAfter = 4 * (math.MaxUint16 - 16)

// A histogramFunc adds the elements of x to the four counters per bin in sub,
// and counts those in no bin in p. The length of x is a multiple of 16.
type histogramFunc = func(sub []uint16, p *binning, x []float32)

var (
	histogramF32    = pick[histogramFunc]("histogramF32", active)
	histogramMagF32 = pick[histogramFunc]("histogramMagF32", active)
)

// binning is what the histogram kernels read and write. Their generator
// knows its layout.
type binning struct {
	lo, hi, inv float32
	last        uint32 // the last bin of histogramF32, or of one side of histogramMagF32
	below       uint32 // histogramMagF32: what to add for negative elements
	spare       uint32 // a bin to waste
	under       uint64
	over        uint64
	nan         uint64
	zeros       uint64
	_           uint64
	index       [256 + 16]uint32 // scratch: the indices of one chunk
}

// NewHistogram returns an empty histogram of bins bins on [lo, hi]. It fails
// unless lo < hi, hi-lo and bins/(hi-lo) are finite float32, and bins is
// 1..2^20.
func NewHistogram(lo, hi float32, bins int) (*Histogram, error) {
	return newHistogram(lo, hi, bins, bins)
}

// NewMagnitudeHistogram returns an empty histogram of the magnitudes |x| on
// [0, hi], under the conditions of [NewHistogram].
func NewMagnitudeHistogram(hi float32, bins int) (*Histogram, error) {
	return newMagnitudeHistogram(hi, bins, bins)
}

// NewSymmetricHistogram returns an empty histogram of 2*bins bins: the first
// half for the positive elements on [0, hi], the second for the magnitudes of
// the negative ones, each under the conditions of [NewHistogram].
func NewSymmetricHistogram(hi float32, bins int) (*Histogram, error) {
	h, err := newMagnitudeHistogram(hi, bins, 2*bins)
	if err == nil {
		h.binning.below = uint32(bins)
	}
	return h, err
}

func newMagnitudeHistogram(hi float32, bins, count int) (*Histogram, error) {
	h, err := newHistogram(0, hi, bins, count)
	if err == nil {
		h.magnitude = true
		h.kernel, h.reference = histogramMagF32, histogramMagF32Generic
	}
	return h, err
}

// newHistogram returns a histogram of count bins in all, bins of them on [lo, hi].
func newHistogram(lo, hi float32, bins, count int) (*Histogram, error) {
	inv := float32(float64(bins) / (float64(hi) - float64(lo)))
	width := hi - lo
	switch {
	case bins < 1 || bins > maxBins:
		return nil, fmt.Errorf("asm: histogram of %d bins: want 1 to %d", bins, maxBins)
	case !(width > 0) || math.IsInf(float64(width), 0) || math.IsInf(float64(inv), 0) || inv == 0:
		return nil, fmt.Errorf("asm: histogram on [%g, %g]: want a finite range that is not empty", lo, hi)
	}
	return &Histogram{
		kernel:    histogramF32,
		reference: histogramF32Generic,
		counts:    make([]uint64, count),
		binning:   binning{lo: lo, hi: hi, inv: inv, last: uint32(bins - 1), spare: uint32(count)},
		sub:       make([]uint16, 4*(count+1)),
	}, nil
}

// Bin returns the bin x belongs to, and whether it is in the range.
func (h *Histogram) Bin(x float32) (bin int, inside bool) {
	first := 0
	if h.magnitude {
		if x < 0 {
			first = int(h.binning.below)
		}
		x = abs32(x)
	}
	if !(x >= h.binning.lo && x <= h.binning.hi) {
		return 0, false
	}
	return first + h.binning.bin(x), true
}

// bin returns the bin of an x in the range.
func (p *binning) bin(x float32) int {
	d := x - p.lo
	return min(int(d*p.inv), int(p.last))
}

// Add counts the elements of x. It allocates nothing.
func (h *Histogram) Add(x []float32) {
	readRange(x)
	for len(x) > 0 {
		n := min(len(x), flushAfter)
		if h.pending+n > flushAfter {
			h.flush()
		}
		h.pending += (n + 15) &^ 15
		whole := n &^ 15
		h.kernel(h.sub, &h.binning, x[:whole])
		h.reference(h.sub, &h.binning, x[whole:n])
		x = x[n:]
	}
	p := &h.binning
	h.Under += p.under
	h.Over += p.over
	h.NaN += p.nan
	h.Zeros += p.zeros
	p.under, p.over, p.nan, p.zeros = 0, 0, 0, 0
}

// flush moves the counts in sub to counts.
func (h *Histogram) flush() {
	flushCounters(h.counts, h.sub)
	h.pending = 0
}

// flushCounters adds the four counters per bin in sub to counts, and clears
// them. It takes the four as one word: most bins are empty.
func flushCounters(counts []uint64, sub []uint16) {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(sub))), len(counts))
	for i, w := range words {
		if w != 0 {
			counts[i] += w&math.MaxUint16 + w>>16&math.MaxUint16 + w>>32&math.MaxUint16 + w>>48
		}
	}
	clear(sub)
}

// Counts returns the count of each bin so far. The slice belongs to the
// histogram: the caller must not change it, and the next Add may.
func (h *Histogram) Counts() []uint64 {
	if h.pending > 0 {
		h.flush()
	}
	return h.counts
}

// Widen multiplies the range of a histogram of magnitudes by 2^times, merging
// its bins. If the range and the number of bins were powers of two and no
// magnitude was at the range's end, the counts are what they would be had the
// range been so wide from the start. It fails, and does nothing, for a range on
// [lo, hi], a negative times, or a range that is no float32.
func (h *Histogram) Widen(times int) error {
	p := &h.binning
	hi, inv := math.Ldexp(float64(p.hi), times), math.Ldexp(float64(p.inv), -times)
	if !h.magnitude || times < 0 || hi > math.MaxFloat32 || inv < 0x1p-126 {
		return fmt.Errorf("asm: histogram on [%g, %g] cannot be widened %d times", p.lo, p.hi, times)
	}
	h.flush()
	p.hi, p.inv = float32(hi), float32(inv)
	bins := int(p.last) + 1
	for side := h.counts; len(side) > 0; side = side[bins:] {
		for i := 1; i < bins; i++ {
			n := side[i]
			side[i] = 0
			side[i>>times] += n
		}
	}
	return nil
}

// Merge adds the counts of other, which keeps them. It fails, and does
// nothing, if the ranges or the bins differ.
func (h *Histogram) Merge(other *Histogram) error {
	p, q := &h.binning, &other.binning
	if len(h.counts) != len(other.counts) || h.magnitude != other.magnitude || p.lo != q.lo || p.hi != q.hi || p.last != q.last {
		return fmt.Errorf("asm: merging a histogram of %d bins on [%g, %g] and one of %d on [%g, %g]",
			len(h.counts), p.lo, p.hi, len(other.counts), q.lo, q.hi)
	}
	h.Under += other.Under
	h.Over += other.Over
	h.NaN += other.NaN
	h.Zeros += other.Zeros
	for i, n := range other.Counts() {
		h.counts[i] += n
	}
	return nil
}

// Reset sets all counts to zero.
func (h *Histogram) Reset() {
	h.flush()
	clear(h.counts)
	h.Under, h.Over, h.NaN, h.Zeros = 0, 0, 0, 0
}
