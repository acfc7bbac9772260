//go:build arm64 && !purego

package asm

import "slices"

var archKernels = slices.Concat(
	statsARM64,
	f32ARM64,
	int8ARM64,
)
