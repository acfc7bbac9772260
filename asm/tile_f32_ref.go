package asm

const genericCols = 8

// tilesGeneric makes tiles of 8 channels, pixel by pixel.
var tilesGeneric = tileSet{{genericCols, repeatKernel(tileF32Generic, 8)}}

var depthwiseGeneric = tileSet{{genericCols, repeatKernel(depthwiseF32Generic, 8)}}

// repeatKernel returns a table for kernels of up to m pixels made of one that
// reads tileArgs.pixels.
func repeatKernel(fn func(*tileArgs), m int) []func(*tileArgs) {
	table := make([]func(*tileArgs), m+1)
	for i := range table {
		table[i] = fn
	}
	return table
}

func tileF32Generic(a *tileArgs) {
	for range a.tiles * a.pixels {
		acc := [genericCols]float32(a.bias)
		w := a.w
		for _, tap := range a.taps {
			acc = dotRun(acc, a.src[a.srcPos+tap:][:a.run], w)
			w = w[a.run*genericCols:]
		}
		a.finish(acc[:a.cols], 0)
		a.next()
	}
}

// dotRun returns acc plus x times the weights w[k][genericCols].
func dotRun(acc [genericCols]float32, x, w []float32) [genericCols]float32 {
	a0, a1, a2, a3, a4, a5, a6, a7 := acc[0], acc[1], acc[2], acc[3], acc[4], acc[5], acc[6], acc[7]
	for _, v := range x {
		b := (*[genericCols]float32)(w)
		a0 += float32(v * b[0])
		a1 += float32(v * b[1])
		a2 += float32(v * b[2])
		a3 += float32(v * b[3])
		a4 += float32(v * b[4])
		a5 += float32(v * b[5])
		a6 += float32(v * b[6])
		a7 += float32(v * b[7])
		w = w[genericCols:]
	}
	return [genericCols]float32{a0, a1, a2, a3, a4, a5, a6, a7}
}

func depthwiseF32Generic(a *tileArgs) {
	var acc [genericCols]float32
	for range a.tiles * a.pixels {
		for first := 0; first < a.run; first += genericCols {
			block := acc[:min(genericCols, a.run-first)]
			copy(block, a.bias[first:])
			for t, tap := range a.taps {
				w := a.w[t*a.run+first:]
				for j, x := range a.src[a.srcPos+tap+first:][:len(block)] {
					block[j] += float32(x * w[j])
				}
			}
			a.finish(block, first)
		}
		a.next()
	}
}

// finish writes channels from first on of the pixel at hand, whose sums are in acc.
func (a *tileArgs) finish(acc []float32, first int) {
	dst := a.dst[a.dstPos+first:][:len(acc)]
	for j, v := range acc {
		if len(a.add) > 0 {
			v += a.add[a.addPos+first+j]
		}
		dst[j] = clampF32(v, a.lo, a.hi)
	}
}

// next goes on to the next pixel.
func (a *tileArgs) next() {
	a.srcPos += a.srcStep
	a.dstPos += a.dstStep
	a.addPos += a.addStep
}

// clampF32 is min(max(v, lo), hi), and NaN for NaN.
func clampF32(v, lo, hi float32) float32 {
	if v < lo {
		v = lo
	}
	if v > hi {
		v = hi
	}
	return v
}
