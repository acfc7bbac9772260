//go:build amd64 && !purego

package asm

import "testing"

// BenchmarkPeak measures the ceilings of the kernels: multiply-adds on registers alone.
func BenchmarkPeak(b *testing.B) {
	for _, p := range []struct {
		name   string
		needs  Features
		macs   int // of one instruction
		repeat func(n int)
	}{
		{"f32", AVX2, 8, peakFMAF32AVX2}, {"f32", AVX512, 16, peakFMAF32AVX512},
		{"int8", AVX2, 16, peakMulAddS16AVX2}, {"safe int8", AVX2, 32, peakSafeS8AVX2},
		{"int8", AVXVNNI, 32, peakDotS8AVXVNNI}, {"int8", AVX512VNNI, 64, peakDotS8AVX512},
	} {
		if !active.Has(p.needs) {
			continue
		}
		b.Run(p.name+"/"+p.needs.String(), func(b *testing.B) {
			const n = 10000
			r := newBestRate(b)
			for b.Loop() {
				r.time(func() { p.repeat(n) })
			}
			r.report(float64(2 * 12 * p.macs * n))
		})
	}
}
