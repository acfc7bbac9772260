package ptq

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestHistogramOrder adds the same values in different pieces and orders and
// merges them in different ways: all must count the same.
func TestHistogramOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, 5000)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()*3))
		if rng.IntN(4) == 0 {
			x[i] = 0
		}
	}
	whole := new(Histogram)
	mustAdd(t, whole, x)
	for range 20 {
		rng.Shuffle(len(x), func(i, j int) { x[i], x[j] = x[j], x[i] })
		var parts []*Histogram
		for rest := x; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(900))
			h := new(Histogram)
			for piece := rest[:n]; len(piece) > 0; {
				m := min(len(piece), 1+rng.IntN(100))
				mustAdd(t, h, piece[:m])
				piece = piece[m:]
			}
			parts = append(parts, h)
			rest = rest[n:]
		}
		for len(parts) > 1 {
			i := rng.IntN(len(parts) - 1)
			parts[i].Merge(parts[i+1])
			parts = append(parts[:i+1], parts[i+2:]...)
		}
		sameHistogram(t, parts[0], whole)
	}
}

func sameHistogram(t *testing.T, got, want *Histogram) {
	t.Helper()
	gp, gn := got.Sides()
	wp, wn := want.Sides()
	if got.min != want.min || got.max != want.max || got.Zeros() != want.Zeros() || got.Count() != want.Count() ||
		got.Width() != want.Width() || !reflect.DeepEqual(gp, wp) || !reflect.DeepEqual(gn, wn) {
		t.Fatalf("histograms differ: [%g, %g], %d zeros, %d values, bins of %g; want [%g, %g], %d, %d, %g",
			got.min, got.max, got.Zeros(), got.Count(), got.Width(), want.min, want.max, want.Zeros(), want.Count(), want.Width())
	}
}

func TestHistogramBins(t *testing.T) {
	h := new(Histogram)
	mustAdd(t, h, []float32{0, float32(math.Copysign(0, -1)), 1, 1.999, -1.5, 1e-30, math.SmallestNonzeroFloat32})
	pos, neg := h.Sides()
	if h.Width() != 2.0/Bins || h.Zeros() != 2 || pos[0] != 2 || pos[Bins/2] != 1 || pos[Bins-1] != 0 || pos[4093] != 1 || neg[3*Bins/4] != 1 {
		t.Errorf("width %g, zeros %d, pos[0] %d", h.Width(), h.Zeros(), pos[0])
	}
	mustAdd(t, h, []float32{2}) // a power of two needs the next range
	if pos, _ := h.Sides(); h.Width() != 4.0/Bins || pos[Bins/2] != 1 || pos[Bins/4] != 1 {
		t.Errorf("after growing: width %g", h.Width())
	}
}

func TestHistogramExtremes(t *testing.T) {
	h := new(Histogram)
	mustAdd(t, h, []float32{math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32})
	mustAdd(t, h, []float32{math.MaxFloat32 / 4})
	if pos, neg := h.Sides(); pos[0] != 1 || neg[0] != 1 || h.Count() != 3 {
		t.Error("tiny values are lost when the range grows")
	}
	inf := float32(math.Inf(1))
	for _, bad := range []float32{inf, -inf, float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32} {
		h := new(Histogram)
		if err := h.Add([]float32{1, bad, 2}); !errors.Is(err, ErrNotFinite) {
			t.Errorf("adding %v: %v", bad, err)
		}
	}
}
