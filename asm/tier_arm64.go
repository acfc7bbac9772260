//go:build arm64 && !purego

package asm

import "golang.org/x/sys/cpu"

func detectTier() Tier {
	switch {
	case !cpu.ARM64.HasASIMD:
		return Generic
	case !cpu.ARM64.HasASIMDDP:
		return NEON
	case !cpu.ARM64.HasI8MM:
		return DotProd
	}
	return I8MM
}
