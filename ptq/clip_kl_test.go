package ptq

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestDivergence holds the sums over levels against the definition, bin by bin.
func TestDivergence(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		base := make([]float64, 100+rng.IntN(400))
		for i := range base {
			if rng.IntN(3) > 0 {
				base[i] = math.Floor(1000 * math.Exp(-8*float64(i)/float64(len(base))) * rng.Float64())
			}
		}
		width := 0.01 * (1 + rng.Float64())
		s := newKLSearch(base, width)
		l := Grid{Bits: 4 + rng.IntN(4)}.Over(width * float64(len(base)) * rng.Float64())
		got, want := s.divergence(l), plainDivergence(base, width, l)
		if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) && !(math.IsInf(got, 1) && math.IsInf(want, 1)) {
			t.Fatalf("%d bins on %d levels: %g, want %g", len(base), l.Max+1, got, want)
		}
	}
}

func plainDivergence(base []float64, width float64, l Levels) float64 {
	kept := min(max(int(math.Round(float64(l.Max)*l.Scale/width)), 1), len(base))
	level := func(i int) int { return l.Quantize((float64(i) + 0.5) * width) }
	mass, used := make([]float64, l.Max+1), make([]float64, l.Max+1)
	inside, total, free := 0.0, 0.0, 0.0
	for i, n := range base {
		total += n
		if i >= kept || n == 0 {
			continue
		}
		if used[level(i)] > 0 {
			free++
		}
		mass[level(i)] += n
		used[level(i)]++
		inside += n
	}
	if inside == 0 {
		return math.Inf(1)
	}
	sum := 0.0
	for i, n := range base[:kept] {
		spread := 0.0
		if n > 0 {
			spread = mass[level(i)] / used[level(i)]
		}
		if i == kept-1 {
			n += total - inside
			spread = math.Max(spread, inside*1e-12)
		}
		if n > 0 {
			sum += n / total * math.Log(n/spread)
		}
	}
	return sum - (total-inside)/total - free/(2*total)
}
