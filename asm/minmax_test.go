package asm

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMinMaxF32(t *testing.T) {
	forEachKernel(t, "minMaxF32", func(t *testing.T, fn func([]float32) (float32, float32, int), minLen int) {
		rng := rand.New(rand.NewPCG(1, 2))
		for n := 0; n <= 1024; n += minLen {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(rng.NormFloat64())
				switch rng.IntN(100) {
				case 0:
					x[i] = float32(math.NaN())
				case 1:
					x[i] = float32(math.Inf(1 - 2*rng.IntN(2)))
				}
			}
			lo, hi, nan := fn(x)
			wantLo, wantHi, wantNaN := minMaxF32Generic(x)
			if lo != wantLo || hi != wantHi || nan != wantNaN {
				t.Fatalf("n=%d: got %v %v %d, want %v %v %d", n, lo, hi, nan, wantLo, wantHi, wantNaN)
			}
		}
	})
}
