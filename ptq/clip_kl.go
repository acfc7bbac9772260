package ptq

import (
	"math"
	"slices"
)

// klBins is the number of bins, at least and less than twice that, in which
// divergences are compared. Finer ones would show the noise of the sample, and
// the threshold would depend on how fine they are.
const klBins = 1024

// klThreshold returns the threshold T for which the magnitudes up to T, the
// mass beyond gathered in the last bin, lose the least information by being
// quantized: the least Kullback-Leibler divergence between the two.
//
// Three things would throw a plain search and are taken out. The spike of zeros
// that a Relu leaves is exact on every grid and says nothing about T: exact zeros
// do not count, and the first bin counts no more than the second. Of two
// thresholds, the larger has more bins to a level and so diverges more by
// chance alone: the expectation of that, half a unit for each bin that is free
// within its level, divided by the number of samples, is subtracted. And the
// full range is always a candidate, so an empty tail or a lone outlier changes nothing.
func klThreshold(d *distribution, full float64, grid Grid) float64 {
	base, width := coarse(d.fold(), d.width)
	base[0] = min(base[0], base[min(1, len(base)-1)])
	if slices.Max(base) == 0 || grid.Max() >= klBins {
		return full // nothing to lose: each bin has its own level
	}
	s := newKLSearch(base, width)
	return leastError(full, func(t float64) float64 { return s.divergence(grid.Over(t)) })
}

// coarse joins bins until less than 2*klBins are left.
func coarse(bins []float64, width float64) ([]float64, float64) {
	by := max(1, len(bins)/klBins)
	out := make([]float64, (len(bins)+by-1)/by)
	for i, n := range bins {
		out[i/by] += n
	}
	return out, width * float64(by)
}

// klSearch holds sums over the bins before each, so that the divergence of a whole level
// costs a few look-ups.
type klSearch struct {
	base        []float64 // counts of the magnitudes
	width       float64
	n, nlog     []float64 // sums of count and count*log(count)
	used        []float64 // how many are not empty
	inverseSize float64
}

func newKLSearch(base []float64, width float64) *klSearch {
	s := &klSearch{base: base, width: width}
	s.n, s.nlog, s.used = make([]float64, len(base)+1), make([]float64, len(base)+1), make([]float64, len(base)+1)
	for i, n := range base {
		s.n[i+1], s.nlog[i+1], s.used[i+1] = s.n[i]+n, s.nlog[i], s.used[i]
		if n > 0 {
			s.nlog[i+1] += n * math.Log(n)
			s.used[i+1]++
		}
	}
	s.inverseSize = 1 / s.n[len(base)]
	return s
}

// divergence returns the divergence between the counts up to the last level, all
// beyond in the last bin, and the same counts without those beyond, spread
// evenly over the bins in use of their level. It is the generalized divergence,
// sum(p*log(p/q) - p + q), as the second has less mass: to scale it up would
// make a threshold at the first bin, where both are one spike, the best of all.
func (s *klSearch) divergence(l Levels) float64 {
	kept := min(max(int(math.Round(float64(l.Max)*l.Scale/s.width)), 1), len(s.base))
	inside, total := s.n[kept], s.n[len(s.base)]
	if inside == 0 {
		return math.Inf(1)
	}
	sum, free, spread := s.nlog[kept], 0.0, 0.0
	for q, first := 0, 0; first < kept; q++ {
		next := kept
		if q < l.Max {
			next = min(int(math.Ceil((float64(q)+0.5)*l.Scale/s.width-0.5)), kept) // the first bin whose centre is nearer to the next level
		}
		if mass, used := s.n[next]-s.n[first], s.used[next]-s.used[first]; used > 0 {
			spread = mass / used
			sum -= mass * math.Log(spread)
			free += used - 1
		}
		first = next
	}
	// The last bin has what is beyond as well; if it is empty it is in no spread.
	last := s.base[kept-1]
	if last > 0 {
		sum -= last * math.Log(last/spread)
	} else {
		spread = 0
	}
	if n := last + total - inside; n > 0 {
		sum += n * math.Log(n/math.Max(spread, inside*1e-12))
	}
	return (sum - (total - inside) - free/2) * s.inverseSize
}

// How many times the least squared error a threshold chosen by another rule may
// have. Divergence knows only how likely values are, so of a distribution with
// most of its mass near zero it would keep little else: 9 dB. Powers below 2
// give up the few large values for the many small ones: 3 dB.
const maxNoiseKL, maxNoiseLp = 8, 2

// notTooNoisy returns the threshold nearest to t, of the candidates between it
// and the one with the least squared error, whose error is at most maxNoise
// times the least.
func (d *distribution) notTooNoisy(t, full float64, grid Grid, maxNoise float64) float64 {
	noise := func(t float64) float64 { return d.error(grid.Over(t), 2) }
	best := leastErrorOf(full, candidates/4, noise) // hardly more than of all candidates
	limit := maxNoise * noise(best)
	step := full / candidates
	if t > best {
		step = -step
	}
	for noise(t) > limit && math.Abs(best-t) > math.Abs(step) {
		t += step
	}
	if noise(t) > limit {
		return best
	}
	return t
}
