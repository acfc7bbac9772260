//go:build purego || (!amd64 && !arm64)

package asm

func detect() Features { return Generic }
