//go:build amd64 && !purego

package asm

import "testing"

// BenchmarkPeakFMAF32 is the ceiling for the float32 kernels.
func BenchmarkPeakFMAF32(b *testing.B) {
	for _, p := range []struct {
		tier  Tier
		lanes int
		loop  func(n int)
	}{{AVX2, 8, peakFMAF32AVX2}, {AVX512, 16, peakFMAF32AVX512}} {
		if p.tier > active {
			continue
		}
		b.Run(p.tier.String(), func(b *testing.B) {
			const n = 10000
			r := newBestRate(b)
			for b.Loop() {
				r.time(func() { p.loop(n) })
			}
			r.report(float64(2 * 12 * p.lanes * n))
		})
	}
}
