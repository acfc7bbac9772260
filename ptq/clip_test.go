package ptq

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/narrow-ml/narrow/internal/shared"
)

type clipCase struct {
	Name          string
	Bins, Bits    int
	LP1, LP2, LP4 float64
	Hist          []float64
}

func goldenClips(t *testing.T) []clipCase {
	data, err := os.ReadFile(shared.Path(t, "golden/clipping.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Cases []clipCase }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	hists := make(map[string][]float64) // given once for the three cases of different bits
	for i := range golden.Cases {
		c := &golden.Cases[i]
		key := c.Name + string(rune(c.Bins))
		if c.Hist != nil {
			hists[key] = c.Hist
		}
		c.Hist = hists[key]
	}
	return golden.Cases
}

func TestLpAgainstReference(t *testing.T) {
	for _, c := range goldenClips(t) {
		grid := Grid{Bits: c.Bits, Signed: true}
		d := distributionOf(c.Hist, 1/float64(c.Bins), 0, 0)
		for _, want := range []struct{ p, threshold float64 }{{1, c.LP1}, {2, c.LP2}, {4, c.LP4}} {
			got := Lp(want.p).threshold(d, 1, grid)
			if math.Abs(got-want.threshold) <= 0.02+1e-6 {
				continue
			}
			ours, theirs := plainError(d, grid.Over(got), want.p), plainError(d, grid.Over(want.threshold), want.p)
			if ours >= theirs {
				t.Errorf("%s, %d bins, %d bits, p %g: %.3f with error %g, the reference has %.3f with %g",
					c.Name, c.Bins, c.Bits, want.p, got, ours, want.threshold, theirs)
			}
		}
	}
}

// plainError is the sum that distribution.error computes from prefix sums.
func plainError(d *distribution, l Levels, p float64) float64 {
	sum := 0.0
	for i, n := range d.counts {
		x := d.centre(i)
		sum += n * math.Pow(math.Abs(x-l.Round(x)), p)
	}
	return sum
}

func TestErrorFromPrefixSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	counts := make([]float64, 700)
	for i := range counts {
		counts[i] = float64(rng.IntN(50))
	}
	d := distributionOf(counts, 0.01, -3, 17)
	for _, l := range []Levels{
		Grid{Bits: 6, Signed: true}.Over(2.5), Grid{Bits: 4}.Over(4), Grid{Bits: 5}.Between(-1.3, 3.9), Grid{Bits: 2, Signed: true}.Over(1),
	} {
		for _, p := range []float64{1, 2, 3} {
			got, want := d.error(l, p), plainError(d, l, p)
			if math.Abs(got-want) > 1e-6*want {
				t.Errorf("%+v, p %g: %g, want %g", l, p, got, want)
			}
		}
	}
}

func TestKLIsRobust(t *testing.T) {
	threshold := make(map[clipKey]float64)
	for _, c := range goldenClips(t) {
		grid := Grid{Bits: c.Bits, Signed: true}
		d := distributionOf(c.Hist, 1/float64(c.Bins), 0, 0)
		kl := KL.boundedThreshold(d, 1, grid)
		key := clipKey{c.Name, c.Bits}
		if other, ok := threshold[key]; ok && math.Abs(other-kl) >= 0.1 {
			t.Errorf("%s, %d bits: %.3f and %.3f for different numbers of bins", c.Name, c.Bits, other, kl)
		}
		threshold[key] = kl
		loss := 10 * math.Log10(plainError(d, grid.Over(kl), 2)/plainError(d, grid.Over(MSE.threshold(d, 1, grid)), 2))
		if loss > 6 {
			t.Errorf("%s, %d bins, %d bits: KL clips at %.3f, %.1f dB under MSE", c.Name, c.Bins, c.Bits, kl, loss)
		}
	}
}

type clipKey struct {
	name string
	bits int
}

// The least absolute error may cut much: of a tensor it must not cost more than
// the bound in squared error.
func TestLowPowersAreBounded(t *testing.T) {
	for _, c := range goldenClips(t) {
		grid := Grid{Bits: c.Bits, Signed: true}
		d := distributionOf(c.Hist, 1/float64(c.Bins), 0, 0)
		aa, mse := AA.boundedThreshold(d, 1, grid), MSE.threshold(d, 1, grid)
		if ratio := d.error(grid.Over(aa), 2) / d.error(grid.Over(mse), 2); ratio > maxNoiseLp {
			t.Errorf("%s, %d bins, %d bits: aa clips at %.3f, with %.1f times the least squared error", c.Name, c.Bins, c.Bits, aa, ratio)
		}
	}
}

func TestKLIgnoresZerosAndOutlier(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	x := make([]float32, 100000)
	for i := range x {
		x[i] = float32(math.Abs(rng.NormFloat64()))
	}
	grid := Grid{Bits: 8}
	plain, zeros, outlier := new(Histogram), new(Histogram), new(Histogram)
	mustAdd(t, plain, x)
	mustAdd(t, zeros, x)
	mustAdd(t, zeros, make([]float32, 300000))
	mustAdd(t, outlier, x)
	mustAdd(t, outlier, []float32{20})
	want := KL.Threshold(plain, grid)
	if got := KL.Threshold(zeros, grid); got != want {
		t.Errorf("with zeros the threshold is %g, without %g", got, want)
	}
	if got := KL.Threshold(outlier, grid); math.Abs(got-want) > 0.25*want {
		t.Errorf("with one outlier at 20 the threshold is %g, without %g", got, want)
	}
}

func mustAdd(t testing.TB, h *Histogram, x []float32) {
	t.Helper()
	if err := h.Add(x); err != nil {
		t.Fatal(err)
	}
}

func TestThresholdStaysInRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 25 {
		x := make([]float32, 1+rng.IntN(300))
		scale := math.Exp(rng.NormFloat64() * 8)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * scale)
		}
		h := new(Histogram)
		mustAdd(t, h, x)
		for _, rule := range []Clip{Max, MSE, AA, Lp(4), KL, Sigma(3), Percentile(99.9), Percentile(100)} {
			for _, grid := range []Grid{{8, true}, {8, false}, {4, true}, {16, false}} {
				_, full := h.Range()
				if grid.Signed {
					full = h.MaxAbs()
				}
				full = max(full, 0)
				if got := rule.Threshold(h, grid); !(got <= full && (got > 0 || full == 0)) {
					t.Fatalf("%v on %+v: %g of range %g", rule, grid, got, full)
				}
			}
			least, most := h.Range()
			lo, hi := rule.Interval(h, 8)
			if lo > 0 || hi < 0 || lo < min(0, least) || hi > max(0, most) {
				t.Fatalf("%v: [%g, %g] of [%g, %g]", rule, lo, hi, least, most)
			}
		}
	}
}

func TestIntegerDataKeepsItsGrid(t *testing.T) {
	h := new(Histogram)
	x := make([]float32, 256)
	for i := range x {
		x[i] = float32(i)
	}
	mustAdd(t, h, x)
	if got := MSE.Threshold(h, Grid{Bits: 8}); got != 255 {
		t.Errorf("threshold %g for the integers to 255", got)
	}
	if lo, hi := MSE.Interval(h, 8); lo != 0 || hi != 255 {
		t.Errorf("interval [%g, %g]", lo, hi)
	}
}

func TestParseClip(t *testing.T) {
	for _, s := range []string{"max", "mse", "aa", "kl", "lp3", "sigma4", "percentile:99.99"} {
		c, err := ParseClip(s)
		if err != nil || c.String() != s {
			t.Errorf("%s: %v, %v", s, c, err)
		}
	}
	for _, s := range []string{"", "lp", "lp0", "sigma-1", "percentile:101", "percentile:NaN", "entropy"} {
		if c, err := ParseClip(s); err == nil {
			t.Errorf("%q is read as %v", s, c)
		}
	}
}
