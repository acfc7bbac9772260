//go:build amd64 && !purego

package asm

import "golang.org/x/sys/cpu"

func detect() Features {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA {
		return Generic
	}
	f := AVX2
	if x.HasAVXVNNI {
		f |= AVXVNNI
	}
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
		f |= AVX512
		if x.HasAVX512VNNI {
			f |= AVX512VNNI
		}
	}
	return f
}
