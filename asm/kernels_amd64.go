//go:build amd64 && !purego

package asm

import "slices"

var archKernels = slices.Concat(
	statsAMD64,
	f32AMD64,
	int8AMD64,
)
