//go:build !amd64 || purego

package asm

func peakFloat(Tier) (loop func(n int), operations int)   { return nil, 0 }
func peakInteger(Tier) (loop func(n int), operations int) { return nil, 0 }
