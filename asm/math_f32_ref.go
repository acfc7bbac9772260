package asm

import "math"

func expF32Generic(dst, x []float32, _, _ float32) { mapF64(dst, x, math.Exp) }

func tanhF32Generic(dst, x []float32, _, _ float32) { mapF64(dst, x, math.Tanh) }

func erfF32Generic(dst, x []float32, _, _ float32) { mapF64(dst, x, math.Erf) }

func geluF32Generic(dst, x []float32, _, _ float32) {
	mapF64(dst, x, func(v float64) float64 {
		v = max(v, -17) // and not minus infinity times 0
		return v / 2 * math.Erfc(-v/math.Sqrt2)
	})
}

func sigmoidF32Generic(dst, x []float32, _, _ float32) {
	mapF64(dst, x, func(v float64) float64 { return 1 / (1 + math.Exp(-v)) })
}

func hardSwishF32Generic(dst, x []float32, _, _ float32) {
	mapF64(dst, x, func(v float64) float64 {
		if v < -3 { // and not 0 times infinity
			return 0
		}
		return v * min(v/6+0.5, 1)
	})
}

// mapF64 sets dst[i] = float32(f(x[i])).
func mapF64(dst, x []float32, f func(float64) float64) {
	for i, v := range x {
		dst[i] = float32(f(float64(v)))
	}
}

// sumLanes is the number of partial sums.
const sumLanes = 64

func sumF32Generic(x []float32) float32 {
	var acc [sumLanes]float32
	for i, v := range x {
		acc[i%sumLanes] += v
	}
	return foldLanes(&acc)
}

func sumSquaresF32Generic(x []float32, center float32) float32 {
	var acc [sumLanes]float32
	for i, v := range x {
		d := v - center
		acc[i%sumLanes] += float32(d * d)
	}
	return foldLanes(&acc)
}

func foldLanes(acc *[sumLanes]float32) float32 {
	for half := sumLanes / 2; half > 0; half /= 2 {
		for i := range half {
			acc[i] += acc[i+half]
		}
	}
	return acc[0]
}
