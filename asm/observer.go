package asm

import "math"

// An Observer gathers the statistics of a tensor as batches of it come:
// [Stats], and a histogram whose range grows as needed. It reads each element
// once, in tiles that stay in the cache. It is not safe for concurrent use:
// give each thread its own and Merge them.
//
// The result is the same, to the bit, in whatever order and grouping the same
// calls of Add are made and observers merged: counts and extremes are exact,
// and the sums of each call are added without rounding.
//
// The bins divide [-limit, limit], where limit is the least power of two above
// every finite magnitude seen (and at least 2^-100), at 0 and outwards from it:
// widening the range merges the bins in pairs, each magnitude stays in a bin
// that holds it, [i*w, (i+1)*w) on either side. Exact zeros, NaN and
// infinities are counted in Stats alone.
type Observer struct {
	stats      Stats
	sum, sumSq exactSum
	exp        int // limit is 2^exp
	counts     []uint64
	binning    binning
	sub        []uint16
	pending    int
}

const (
	minExp       = -100 // limit's least exponent, so that bins/limit is finite
	observerTile = 4096 // elements that stay in L1 between statistics and histogram
)

// NewObserver returns an empty observer of 2*perSide bins; perSide is rounded
// up to a power of two, 2 to 2^19.
func NewObserver(perSide int) *Observer {
	half := 2
	for half < perSide && half < maxBins/2 {
		half *= 2
	}
	return &Observer{
		stats:  Stats{Min: float32(math.Inf(1)), Max: float32(math.Inf(-1))},
		exp:    minExp,
		counts: make([]uint64, 2*half),
		sub:    make([]uint16, 4*(2*half+1)),
		binning: binning{
			hi:   math.MaxFloat32, // only NaN and infinities are outside
			inv:  float32(math.Ldexp(float64(half), -minExp)),
			last: uint32(half - 1), sign: math.MaxUint32,
			offset: uint32(half), spare: uint32(2 * half),
		},
	}
}

// Add takes in the elements of x. Statistics other than the sums do not
// depend on how a tensor is divided among calls; the sums of a call are those
// of [StatsF32].
func (o *Observer) Add(x []float32) {
	readRange(x)
	m := newMoments()
	n := len(x)
	for len(x) > 0 {
		tile := x[:min(len(x), observerTile)]
		whole := len(tile) &^ 15
		momentsF32(&m, tile[:whole])
		momentsF32Generic(&m, tile[whole:])
		for _, v := range m.lo {
			o.cover(-v)
		}
		for _, v := range m.hi {
			o.cover(v)
		}
		o.histogram(tile)
		x = x[len(tile):]
	}
	s := m.stats(n)
	o.sum.add(s.Sum)
	o.sumSq.add(s.SumSq)
	o.stats.count(&s)
}

// histogram counts the elements of a tile that is in the range.
func (o *Observer) histogram(tile []float32) {
	if o.pending+len(tile) > flushAfter {
		o.flush()
	}
	o.pending += (len(tile) + 15) &^ 15
	whole := len(tile) &^ 15
	histogramMagF32(o.sub, &o.binning, tile[:whole])
	histogramMagF32Generic(o.sub, &o.binning, tile[whole:])
}

// cover widens the range until limit > v, if v is finite.
func (o *Observer) cover(v float32) {
	if v <= 0 || v > math.MaxFloat32 {
		return
	}
	if _, exp := math.Frexp(float64(v)); exp > o.exp { // v < 2^exp
		o.widen(exp)
	}
}

// widen makes the range 2^exp, at least what it was.
func (o *Observer) widen(exp int) {
	if exp == o.exp {
		return
	}
	o.flush()
	half := len(o.counts) / 2
	shift := min(exp-o.exp, 31)
	for m := range half { // outwards, so that no bin is overwritten before it is read
		up, down := o.counts[half+m], o.counts[half-1-m]
		o.counts[half+m], o.counts[half-1-m] = 0, 0
		o.counts[half+m>>shift] += up
		o.counts[half-1-m>>shift] += down
	}
	o.exp = exp
	o.binning.inv = float32(math.Ldexp(float64(half), -exp))
}

// flush moves the counts in sub to counts.
func (o *Observer) flush() {
	if o.pending == 0 {
		return
	}
	flushCounters(o.counts, o.sub)
	o.pending = 0
}

// Merge adds what other has seen, which must have as many bins and is left
// as it was but for its bins' width.
func (o *Observer) Merge(other *Observer) {
	other.flush()
	exp := max(o.exp, other.exp)
	o.widen(exp)
	other.widen(exp)
	for i, c := range other.counts {
		o.counts[i] += c
	}
	o.sum.merge(&other.sum)
	o.sumSq.merge(&other.sumSq)
	o.stats.count(&other.stats)
}

// Stats returns the statistics of all that was added.
func (o *Observer) Stats() Stats {
	s := o.stats
	s.Sum, s.SumSq = o.sum.float64(), o.sumSq.float64()
	return s
}

// Histogram returns the count of each bin and the limit of the range: with n
// counts and w = 2*limit/n, counts[n/2+i] is that of [i*w, (i+1)*w) and
// counts[n/2-1-i] that of (-(i+1)*w, -i*w]. The slice belongs to the observer.
func (o *Observer) Histogram() (counts []uint64, limit float64) {
	o.flush()
	return o.counts, math.Ldexp(1, o.exp)
}

// count adds to s all but the sums of other.
func (s *Stats) count(other *Stats) {
	s.Count += other.Count
	s.NaN += other.NaN
	s.Inf += other.Inf
	s.Zeros += other.Zeros
	s.Min = min(s.Min, other.Min)
	s.Max = max(s.Max, other.Max)
}
