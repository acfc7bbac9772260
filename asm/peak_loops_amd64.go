//go:build !purego

package asm

// peakFloat returns a loop and the operations of one round: 12 multiply-adds of vectors.
func peakFloat(have Features) (loop func(n int), operations int) {
	switch {
	case have.Has(AVX512):
		return peakFMAF32AVX512, 12 * 16 * 2
	case have.Has(AVX2):
		return peakFMAF32AVX2, 12 * 8 * 2
	}
	return nil, 0
}

// peakInteger is [peakFloat] for integers.
func peakInteger(have Features) (loop func(n int), operations int) {
	switch {
	case have.Has(AVX512VNNI):
		return peakDotS8AVX512, 12 * 64 * 2
	case have.Has(AVXVNNI):
		return peakDotS8AVXVNNI, 12 * 32 * 2
	case have.Has(AVX2):
		return peakMulAddS16AVX2, 12 * 16 * 2
	}
	return nil, 0
}
