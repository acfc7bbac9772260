//go:build purego || (!amd64 && !arm64)

package asm

func detectTier() Tier { return Generic }
