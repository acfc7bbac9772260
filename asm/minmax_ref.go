package asm

import "math"

func minMaxF32Generic(x []float32) (lo, hi float32, nan int) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range x {
		if v != v {
			nan++
			continue
		}
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi, nan
}
