//go:build amd64 && !purego

package asm

import "testing"

// BenchmarkPeakMemory measures the ceilings of the sweeps: reading or writing
// alone.
func BenchmarkPeakMemory(b *testing.B) {
	for _, p := range []struct {
		name  string
		needs Features
		run   func(x []float32)
	}{
		{"read", AVX2, peakReadAVX2}, {"read", AVX512, peakReadAVX512},
		{"write", AVX2, peakWriteAVX2}, {"write", AVX512, peakWriteAVX512},
	} {
		if !active.Has(p.needs) {
			continue
		}
		for _, size := range benchSizes {
			b.Run(p.name+"/"+p.needs.String()+"/"+size.name, func(b *testing.B) {
				x := benchSlice[float32](b, size.n)
				clear(x)
				b.SetBytes(int64(4 * len(x)))
				r := newBestRate(b)
				for b.Loop() {
					r.time(func() { p.run(x) })
				}
				r.reportAs("GB/s", float64(4*len(x)))
			})
		}
	}
}
