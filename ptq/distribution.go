package ptq

import "math"

// distribution is a histogram made ready for the search of thresholds: its
// bins on one line from the least value to the greatest, with prefix sums of
// their moments, so that the error of a whole level costs two look-ups.
type distribution struct {
	origin   float64 // left border of bin 0
	width    float64
	counts   []float64
	zeros    float64
	n, x, xx []float64 // sums of count, count*centre and count*centre^2 of the bins before
}

func newDistribution(h *Histogram) *distribution {
	pos, neg := h.Sides()
	// Drop the empty bins at both ends.
	first, last := len(neg), len(pos)
	for first > 0 && neg[first-1] == 0 {
		first--
	}
	for last > 0 && pos[last-1] == 0 {
		last--
	}
	counts := make([]float64, 0, first+last)
	for i := first - 1; i >= 0; i-- {
		counts = append(counts, float64(neg[i]))
	}
	for _, n := range pos[:last] {
		counts = append(counts, float64(n))
	}
	return distributionOf(counts, h.Width(), -float64(first)*h.Width(), float64(h.Zeros()))
}

// distributionOf makes a distribution of counts, bin i of which begins at
// origin + i*width.
func distributionOf(counts []float64, width, origin, zeros float64) *distribution {
	d := &distribution{origin: origin, width: width, counts: counts, zeros: zeros}
	d.n, d.x, d.xx = make([]float64, len(counts)+1), make([]float64, len(counts)+1), make([]float64, len(counts)+1)
	for i, n := range counts {
		x := d.centre(i)
		d.n[i+1] = d.n[i] + n
		d.x[i+1] = d.x[i] + n*x
		d.xx[i+1] = d.xx[i] + n*x*x
	}
	return d
}

func (d *distribution) centre(i int) float64 { return d.origin + (float64(i)+0.5)*d.width }

// bin returns the first bin whose centre is not below x.
func (d *distribution) bin(x float64) int {
	i := math.Ceil((x-d.origin)/d.width - 0.5)
	return int(min(max(i, 0), float64(len(d.counts))))
}

// error returns the sum of count*|x - Round(x)|^p over the bins. Exact zeros
// cost nothing: every grid has a zero.
func (d *distribution) error(l Levels, p float64) float64 {
	lowest, highest := float64(l.Min-l.Zero)*l.Scale, float64(l.Max-l.Zero)*l.Scale
	a, b := d.bin(lowest-l.Scale/2), d.bin(highest+l.Scale/2)
	e := d.distance(0, a, lowest, p) + d.distance(b, len(d.counts), highest, p)
	if l.Scale < 2*d.width {
		// Steps finer than the bins: the error within is uniform on half a step.
		return e + (d.n[b]-d.n[a])*math.Pow(l.Scale/2, p)/(p+1)
	}
	first, last := l.Quantize(d.origin), l.Quantize(d.origin+float64(len(d.counts))*d.width)
	for q := first; q <= last; q++ {
		level := float64(q-l.Zero) * l.Scale
		next := b
		if q < last {
			next = min(b, d.bin(level+l.Scale/2))
		}
		if next > a {
			e += d.distance(a, next, level, p)
			a = next
		}
	}
	return e
}

// distance returns the sum of count*|x - to|^p over the bins from a to b.
func (d *distribution) distance(a, b int, to, p float64) float64 {
	if a >= b {
		return 0
	}
	switch p {
	case 2:
		n, x, xx := d.n[b]-d.n[a], d.x[b]-d.x[a], d.xx[b]-d.xx[a]
		return max(0, xx-2*to*x+to*to*n)
	case 1:
		m := min(max(d.bin(to), a), b)
		below := to*(d.n[m]-d.n[a]) - (d.x[m] - d.x[a])
		above := (d.x[b] - d.x[m]) - to*(d.n[b]-d.n[m])
		return math.Max(0, below+above)
	}
	sum := 0.0
	for i := a; i < b; i++ {
		if d.counts[i] != 0 {
			sum += d.counts[i] * power(math.Abs(d.centre(i)-to), p)
		}
	}
	return sum
}

// power returns x^p, fast for the powers that people use.
func power(x, p float64) float64 {
	switch p {
	case 1.5:
		return x * math.Sqrt(x)
	case 3:
		return x * x * x
	case 4:
		return x * x * (x * x)
	}
	return math.Pow(x, p)
}

func (d *distribution) total() float64 { return d.zeros + d.n[len(d.counts)] }

func (d *distribution) meanVariance() (mean, variance float64) {
	last := len(d.counts)
	mean = d.x[last] / d.total()
	return mean, math.Max(0, d.xx[last]/d.total()-mean*mean)
}

// quantile returns the least magnitude, to the end of a bin, that is not
// exceeded by the share p of all values.
func (d *distribution) quantile(p float64) float64 {
	sides := d.fold()
	beyond := (1 - p) * d.total()
	for i := len(sides); i > 0; i-- {
		if beyond -= sides[i-1]; beyond < 0 {
			return float64(i) * d.width
		}
	}
	return d.width
}

// fold returns the counts of the magnitudes, from 0 on.
func (d *distribution) fold() []float64 {
	below := min(max(int(math.Round(-d.origin/d.width)), 0), len(d.counts))
	sides := make([]float64, max(below, len(d.counts)-below))
	for i := range below {
		sides[below-1-i] += d.counts[i]
	}
	for i, n := range d.counts[below:] {
		sides[i] += n
	}
	return sides
}
