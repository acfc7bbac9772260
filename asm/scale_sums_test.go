package asm

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestScaleSums holds the kernels to the reference, for all numbers of channels and with gaps between pixels.
func TestScaleSums(t *testing.T) {
	forEachKernel(t, "scaleSums", func(t *testing.T, kernel func(*scaleSumsArgs), _ int) {
		rng := rand.New(rand.NewPCG(3, 1))
		for channels := 1; channels <= 40; channels++ {
			a := scaleSumsArgs{dstStep: channels + rng.IntN(3), srcStep: channels + rng.IntN(9), pixels: 1 + rng.IntN(5), channels: channels}
			a.dst, a.src = make([]float32, a.pixels*a.dstStep), make([]int32, a.pixels*a.srcStep)
			a.scale, a.less = make([]float32, channels), make([]int32, a.pixels)
			for _, ints := range [][]int32{a.src, a.less} {
				for i := range ints {
					ints[i] = int32(rng.Uint32()) >> rng.IntN(30)
				}
			}
			for i := range a.scale {
				a.scale[i] = rng.Float32() - 0.5
			}
			want := a
			want.dst = slices.Clone(a.dst)
			scaleSumsGeneric(&want)
			kernel(&a)
			if !slices.Equal(a.dst, want.dst) {
				t.Fatalf("%d channels, %d pixels: %v, not %v", channels, a.pixels, a.dst, want.dst)
			}
		}
	})
}
