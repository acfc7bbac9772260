//go:build !amd64 || purego

package asm

func peakFloat(Features) (loop func(n int), operations int)   { return nil, 0 }
func peakInteger(Features) (loop func(n int), operations int) { return nil, 0 }
