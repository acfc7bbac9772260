//go:build arm64 && !purego

package asm

var statsARM64 = []kernel{
	{"minMaxF32", NEON, 16, minMaxF32NEON},
	{"momentsF32", NEON, 16, momentsF32NEON},
	{"histogramF32", NEON, 16, histogramF32NEON},
	{"histogramMagF32", NEON, 16, histogramMagF32NEON},
}
