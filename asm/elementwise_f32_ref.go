package asm

func addF32Generic(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = v + b[i]
	}
}

func subF32Generic(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = v - b[i]
	}
}

func mulF32Generic(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = v * b[i]
	}
}

func divF32Generic(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = v / b[i]
	}
}

func maxF32Generic(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = max(v, b[i])
	}
}

func minF32Generic(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = min(v, b[i])
	}
}

func affineF32Generic(dst, x []float32, scale, shift float32) {
	for i, v := range x {
		dst[i] = float32(v*scale) + shift
	}
}

func clampF32Generic(dst, x []float32, lo, hi float32) {
	for i, v := range x {
		dst[i] = clampF32(v, lo, hi)
	}
}

func leakyReluF32Generic(dst, x []float32, alpha, _ float32) {
	for i, v := range x {
		if v < 0 {
			v *= alpha
		}
		dst[i] = v
	}
}

func mulAddF32Generic(dst, x, a, b []float32) {
	for i, v := range x {
		dst[i] = float32(v*a[i]) + b[i]
	}
}
