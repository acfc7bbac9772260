package asm

import "slices"

var tilesS8Generic = tileKernelS8{
	widths:  []int{16},
	kernels: [][]func(*tileArgsS8){slices.Repeat([]func(*tileArgsS8){tileS8Generic}, 65)},
}

func tileS8Generic(a *tileArgsS8) {
	width := a.width
	for p := range a.pixels * a.tiles {
		acc := a.acc[p*width:][:width]
		copy(acc, a.bias)
		w := a.weights
		for _, tap := range a.taps {
			src := a.src[p*a.srcStep+tap:][:4*a.quads]
			for k := 0; k < len(src); k += 4 {
				s0, s1, s2, s3 := int32(src[k]), int32(src[k+1]), int32(src[k+2]), int32(src[k+3])
				for n := range acc {
					v := w[4*n:][:4]
					acc[n] += s0*int32(v[0]) + s1*int32(v[1]) + s2*int32(v[2]) + s3*int32(v[3])
				}
				w = w[4*width:]
			}
		}
	}
}
