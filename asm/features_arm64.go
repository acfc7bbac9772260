//go:build arm64 && !purego

package asm

import "golang.org/x/sys/cpu"

func detect() Features {
	f := Generic
	if cpu.ARM64.HasASIMD {
		f |= NEON
		if cpu.ARM64.HasASIMDDP {
			f |= DotProd
			if cpu.ARM64.HasI8MM {
				f |= I8MM
			}
		}
	}
	return f
}
