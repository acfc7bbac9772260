//go:build amd64 && !purego

package asm

var statsAMD64 = []kernel{
	{"minMaxF32", AVX2, 32, minMaxF32AVX2},
}
