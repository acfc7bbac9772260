package asm

import (
	"math"
	"sync"
)

// Stats sums up a slice of float32. Min, Max, Sum and SumSq are over its
// finite elements; with none, Min is +Inf and Max is -Inf.
type Stats struct {
	Count    int // all elements
	NaN, Inf int // not numbers, and infinities of either sign
	Zeros    int // of either sign
	Min, Max float32
	Sum      float64
	SumSq    float64 // of squares
}

// Mean returns the mean of the finite elements, NaN if there are none.
func (s *Stats) Mean() float64 { return s.Sum / float64(s.Count-s.NaN-s.Inf) }

// Variance returns the population variance of the finite elements, NaN if
// there are none.
func (s *Stats) Variance() float64 {
	mean := s.Mean()
	return max(0, s.SumSq/float64(s.Count-s.NaN-s.Inf)-float64(mean*mean))
}

// MaxAbs returns the largest magnitude of the finite elements, 0 if there are
// none.
func (s *Stats) MaxAbs() float32 { return max(-s.Min, s.Max, 0) }

// moments is the state of a momentsF32 kernel: lane i takes every element
// whose index is i modulo 16. The generator knows its layout.
type moments struct {
	sum, sumSq [16]float64
	lo, hi     [16]float32
	nan, zeros [16]int32 // so a kernel may take 2^34 elements
	finite     [16]int32
}

var momentsF32 = pick[func(*moments, []float32)]("momentsF32", active)

var momentsPool = sync.Pool{New: func() any { return new(moments) }}

// StatsF32 returns the statistics of x in one pass over it. Sums are in
// float64, in a fixed order that gives the same bits on every processor: lane
// i of 16 adds the elements (and their squares, which are exact) whose index
// is i modulo 16; then the upper half of the lanes is added to the lower, and
// so on.
func StatsF32(x []float32) Stats {
	readRange(x)
	m := momentsPool.Get().(*moments)
	defer momentsPool.Put(m)
	*m = newMoments()
	whole := len(x) &^ 15
	momentsF32(m, x[:whole])
	momentsF32Generic(m, x[whole:])
	return m.stats(len(x))
}

// newMoments returns the moments of nothing.
func newMoments() (m moments) {
	for i := range m.lo {
		m.lo[i], m.hi[i] = float32(math.Inf(1)), float32(math.Inf(-1))
	}
	return m
}

// stats adds the lanes up.
func (m *moments) stats(count int) Stats {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			m.sum[i] += m.sum[i+half]
			m.sumSq[i] += m.sumSq[i+half]
			m.lo[i] = min(m.lo[i], m.lo[i+half])
			m.hi[i] = max(m.hi[i], m.hi[i+half])
			m.nan[i] += m.nan[i+half]
			m.zeros[i] += m.zeros[i+half]
			m.finite[i] += m.finite[i+half]
		}
	}
	nan := int(m.nan[0])
	return Stats{
		Count: count, NaN: nan, Inf: count - nan - int(m.finite[0]), Zeros: int(m.zeros[0]),
		Min: m.lo[0], Max: m.hi[0], Sum: m.sum[0], SumSq: m.sumSq[0],
	}
}
