package asm

var depthwiseS8Generic = depthwiseKernelS8{
	width: 16,
	group: 1,
	fours: []int{0, 4, 8, 12},
	sums:  depthwiseS8SumsGeneric,
}

func depthwiseS8SumsGeneric(a *depthwiseArgsS8) {
	const width = 16
	for p := range a.pixels {
		acc := a.acc[p*width:][:width]
		copy(acc, a.bias)
		for t, tap := range a.taps {
			src, w := a.src[p*a.srcStep+tap:][:width], a.weights[t*width:][:width]
			for c := range acc {
				acc[c] += int32(src[c]) * int32(w[c])
			}
		}
	}
}
