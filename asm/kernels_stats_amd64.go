//go:build amd64 && !purego

package asm

var statsAMD64 = []kernel{
	{"minMaxF32", AVX2, 32, minMaxF32AVX2},
	{"minMaxF32", AVX512, 32, minMaxF32AVX512},
	{"momentsF32", AVX2, 16, momentsF32AVX2},
	{"momentsF32", AVX512, 16, momentsF32AVX512},
	{"histogramF32", AVX2, 16, histogramF32AVX2},
	{"histogramF32", AVX512, 16, histogramF32AVX512},
	{"histogramMagF32", AVX2, 16, histogramMagF32AVX2},
	{"histogramMagF32", AVX512, 16, histogramMagF32AVX512},
}
