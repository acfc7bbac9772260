//go:build arm64 && !purego

package asm

var statsARM64 = []kernel{
	{"minMaxF32", NEON, 16, minMaxF32NEON},
}
