package asm

// scaleSumsArgs describes sums that become floats, pixel by pixel:
//
//	dst[p*dstStep+c] = float32(src[p*srcStep+c]-less[p]) * scale[c]
//
// The difference wraps around. The assembly knows the layout (see TestArgsLayoutS8).
type scaleSumsArgs struct {
	dst              []float32
	src              []int32
	dstStep, srcStep int // elements from pixel to pixel
	pixels, channels int
	scale            []float32
	less             []int32 // one for each pixel
}

var scaleSums = pick[func(*scaleSumsArgs)]("scaleSums", active)

func scaleSumsGeneric(a *scaleSumsArgs) {
	for p := range a.pixels {
		src, dst, less := a.src[p*a.srcStep:][:a.channels], a.dst[p*a.dstStep:][:a.channels], a.less[p]
		for c, v := range src {
			dst[c] = float32(v-less) * a.scale[c]
		}
	}
}

// nothingLess is less for sums that nothing is subtracted from.
var nothingLess [2048]int32
