package asm

var depthwiseS8Generic = depthwiseKernelS8{
	width:    16,
	position: func(c, tap int) int { return tap*16 + c },
	run:      depthwiseS8RowGeneric,
}

func depthwiseS8RowGeneric(a *depthwiseArgsS8) {
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
