package ptq

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrClip reports a clipping rule that does not exist.
var ErrClip = errors.New("ptq: unknown clipping rule")

// Clip is a rule that chooses from a tensor's histogram which part of its range
// is kept. Values beyond saturate, in exchange for finer steps within.
type Clip struct {
	kind clipKind
	p    float64 // the power of Lp, the multiple of Sigma, the percentage of Percentile
}

type clipKind int

const (
	clipMax clipKind = iota
	clipLp
	clipKL
	clipSigma
	clipPercentile
	clipAuto
	clipShare // of the range, p of 1 of it
)

// The rules without a parameter.
var (
	Max = Clip{}             // keep the whole range
	MSE = Lp(2)              // the least mean square error
	AA  = Lp(1)              // the least mean absolute error, within 3 dB of the least square error
	KL  = Clip{kind: clipKL} // the least Kullback-Leibler divergence

	// Auto stands for the rule that does the network's outputs least harm.
	Auto = Clip{kind: clipAuto}
)

// Lp is the rule of the least mean |error|^p, p >= 1.
func Lp(p float64) Clip { return Clip{clipLp, p} }

// Sigma is the rule that keeps n standard deviations around the mean.
func Sigma(n float64) Clip { return Clip{clipSigma, n} }

// Percentile is the rule that keeps p percent of the magnitudes.
func Percentile(p float64) Clip { return Clip{clipPercentile, p} }

// ParseClip reads a rule as the command line has it: max, mse, aa, kl, auto, lpP
// (lp3), sigmaN (sigma4), percentile:P (percentile:99.99).
func ParseClip(s string) (Clip, error) {
	switch s {
	case "max":
		return Max, nil
	case "mse":
		return MSE, nil
	case "aa":
		return AA, nil
	case "kl":
		return KL, nil
	case "auto":
		return Auto, nil
	}
	for _, f := range []struct {
		prefix   string
		rule     func(float64) Clip
		min, max float64
	}{{"lp", Lp, 1, 16}, {"sigma", Sigma, 0.5, 100}, {"percentile:", Percentile, 50, 100}} {
		number, ok := strings.CutPrefix(s, f.prefix)
		if !ok {
			continue
		}
		p, err := strconv.ParseFloat(number, 64)
		if err != nil || !(p >= f.min && p <= f.max) {
			return Clip{}, fmt.Errorf("%w: %q wants a number from %g to %g after %q", ErrClip, s, f.min, f.max, f.prefix)
		}
		return f.rule(p), nil
	}
	if here := elsewhere[strings.ToLower(s)]; here != "" {
		return Clip{}, fmt.Errorf("%w: what others call %q is %q here", ErrClip, s, here)
	}
	return Clip{}, fmt.Errorf("%w: %q is none of max, mse, aa, kl, auto, lpP, sigmaN, percentile:P", ErrClip, s)
}

// elsewhere has the rules that other tools have names of their own for.
var elsewhere = map[string]string{
	"minmax": "max", "absmax": "max", "none": "max", "entropy": "kl", "kld": "kl", "percentile": "percentile:99.99",
	"l1": "aa", "mae": "aa", "l2": "mse", "sqnr": "mse", "tf_enhanced": "mse",
}

// check returns an error for a rule whose parameter [ParseClip] would not take.
func (c Clip) check() error {
	if c.kind == clipMax || c.kind == clipKL || c.kind == clipAuto {
		return nil
	}
	_, err := ParseClip(c.String())
	return err
}

// String returns the rule as [ParseClip] reads it.
func (c Clip) String() string {
	switch {
	case c == MSE:
		return "mse"
	case c == AA:
		return "aa"
	case c.kind == clipLp:
		return fmt.Sprintf("lp%g", c.p)
	case c.kind == clipKL:
		return "kl"
	case c == Auto:
		return "auto"
	case c.kind == clipSigma:
		return fmt.Sprintf("sigma%g", c.p)
	case c.kind == clipShare:
		return fmt.Sprintf("share:%g", c.p)
	case c.kind == clipPercentile:
		return fmt.Sprintf("percentile:%g", c.p)
	}
	return "max"
}

// candidates is how many thresholds, evenly spaced up to the full range, a
// search tries.
const candidates = 200

// Threshold returns the largest magnitude T that the rule keeps of a tensor
// with histogram h, quantized on a grid: for a signed grid T stands for both
// sides, for an unsigned one nothing is below zero. It is never more than the
// range seen, and 0 only if there was nothing but zeros.
func (c Clip) Threshold(h *Histogram, grid Grid) float64 {
	_, full := h.Range()
	if grid.Signed {
		full = h.MaxAbs()
	}
	if full <= 0 {
		return 0
	}
	return c.boundedThreshold(newDistribution(h), full, grid)
}

// boundedThreshold is the threshold, moved towards the one with the least
// squared error if that is far from it in noise.
func (c Clip) boundedThreshold(d *distribution, full float64, grid Grid) float64 {
	t := math.Min(full, c.threshold(d, full, grid))
	switch {
	case c.kind == clipKL:
		return d.notTooNoisy(t, full, grid, maxNoiseKL)
	case c.kind == clipLp && c.p < 2:
		return d.notTooNoisy(t, full, grid, maxNoiseLp)
	}
	return t
}

// threshold is what the rule says, and nothing else.
func (c Clip) threshold(d *distribution, full float64, grid Grid) float64 {
	switch c.kind {
	case clipLp:
		return leastError(full, func(t float64) float64 {
			return d.error(grid.Over(t), c.p)
		})
	case clipKL:
		return klThreshold(d, full, grid)
	case clipSigma:
		mean, variance := d.meanVariance()
		return math.Abs(mean) + c.p*math.Sqrt(variance)
	case clipShare:
		return full * c.p
	case clipPercentile:
		return d.quantile(c.p / 100)
	}
	return full
}

// leastError returns the candidate on (0, full] with the least error, the
// largest of equals.
func leastError(full float64, err func(t float64) float64) float64 {
	return leastErrorOf(full, candidates, err)
}

// leastErrorOf is leastError with so many candidates.
func leastErrorOf(full float64, candidates int, err func(t float64) float64) float64 {
	best, least := full, err(full)
	for i := candidates - 1; i > 0; i-- {
		t := full * float64(i) / float64(candidates)
		if e := err(t); e < least {
			best, least = t, e
		}
	}
	return best
}

// Interval returns the part [lo, hi] of the range that the rule keeps of a
// tensor quantized asymmetrically on all 2^bits levels. Zero is always within.
func (c Clip) Interval(h *Histogram, bits int) (lo, hi float64) {
	return c.interval(h, bits, 0)
}

// interval is Interval with what [Clip.Threshold] says of the signed grid, 0 if that is not known.
func (c Clip) interval(h *Histogram, bits int, t float64) (lo, hi float64) {
	lo, hi = h.Range()
	lo, hi = math.Min(lo, 0), math.Max(hi, 0)
	if lo == hi || c.kind == clipMax {
		return lo, hi
	}
	if c.kind == clipShare {
		return lo * c.p, hi * c.p
	}
	grid := Grid{Bits: bits}
	if c.kind != clipLp {
		if t == 0 {
			t = c.Threshold(h, Grid{Bits: bits, Signed: true})
		}
		return math.Max(lo, -t), math.Min(hi, t)
	}
	d := newDistribution(h)
	// One end after the other, until neither moves: the error is smooth.
	for range 4 {
		h0, l0 := hi, lo
		hi = leastError(hi, func(t float64) float64 { return d.error(grid.Between(lo, t), c.p) })
		lo = -leastError(-lo, func(t float64) float64 { return d.error(grid.Between(-t, hi), c.p) })
		if hi == h0 && lo == l0 {
			break
		}
	}
	return lo, hi
}
