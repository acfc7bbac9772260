package asm

import "math"

var requantGeneric = requantKernels{requantFloatGeneric, requantMultiplierGeneric, requantShiftGeneric}

func requantFloatGeneric(a *requantArgs) {
	lo, hi := float64(a.lo-a.zero), float64(a.hi-a.zero)
	for p := range a.pixels {
		src, dst := a.src[p*a.srcStep:][:a.channels], a.dst[p*a.dstStep:][:a.channels]
		for c, v := range src {
			q := math.RoundToEven(float64(float32(v) * a.scale[c]))
			dst[c] = uint8(int32(min(max(q, lo), hi)) + a.zero)
		}
	}
}

func requantMultiplierGeneric(a *requantArgs) {
	lo, hi := int64(a.lo-a.zero), int64(a.hi-a.zero)
	for p := range a.pixels {
		src, dst := a.src[p*a.srcStep:][:a.channels], a.dst[p*a.dstStep:][:a.channels]
		for c, v := range src {
			half := int64(1) << uint(a.shift[c]) >> 1
			q := (int64(v)*int64(a.mul[c]) + half) >> uint(a.shift[c])
			dst[c] = uint8(int32(min(max(q, lo), hi)) + a.zero)
		}
	}
}

func requantShiftGeneric(a *requantArgs) {
	lo, hi := int64(a.lo-a.zero), int64(a.hi-a.zero)
	for p := range a.pixels {
		src, dst := a.src[p*a.srcStep:][:a.channels], a.dst[p*a.dstStep:][:a.channels]
		for c, v := range src {
			half := int64(1) << uint(a.shift[c]) >> 1
			q := (int64(v) + half) >> uint(a.shift[c])
			dst[c] = uint8(int32(min(max(q, lo), hi)) + a.zero)
		}
	}
}
