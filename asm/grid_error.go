package asm

import (
	"fmt"
	"sync"
)

// An errorFunc adds a power of |x - quantized x| to 16 sums: element i to sum
// i modulo 16. The length of x is a multiple of 16.
type errorFunc = func(sum *[16]float64, x []float32, p *gridParams)

var (
	errorAbsF32    = pick[errorFunc]("errorAbsF32", active)
	errorSquareF32 = pick[errorFunc]("errorSquareF32", active)
	errorFourthF32 = pick[errorFunc]("errorFourthF32", active)
)

const (
	errorTile  = 4096 // elements that stay in L1 while all candidates see them
	errorGroup = 64   // candidates whose sums are kept at once
)

// errorLanes holds sums that are all 0.
var errorLanes = sync.Pool{New: func() any { return new([errorGroup][16]float64) }}

// AddErrors adds to sums[i] what quantization by candidates[i] loses on x: the
// sum of |x - y|^power, y being what [Grid.QuantizeDequantize] makes of x. The
// data is read once for up to 64 candidates. Powers 1, 2 and 4 are fast.
//
// The difference is rounded to float32, its powers and the sums are float64.
// Sums are in the fixed order of [StatsF32], the same bits on every processor.
// NaN and infinities in x make them NaN or infinite. It panics if sums and
// candidates differ in length.
func AddErrors[Q Quantized](sums []float64, x []float32, candidates []Grid[Q], power float64) {
	if len(sums) != len(candidates) {
		panic(fmt.Sprintf("asm: %d sums for %d candidates", len(sums), len(candidates)))
	}
	readRange(x)
	lanes := errorLanes.Get().(*[errorGroup][16]float64)
	defer errorLanes.Put(lanes)
	for len(candidates) > 0 {
		n := min(len(candidates), errorGroup)
		for rest := x; len(rest) > 0; {
			tile := rest[:min(len(rest), errorTile)]
			for i := range n {
				addError(&lanes[i], tile, &candidates[i].params, power)
			}
			rest = rest[len(tile):]
		}
		for i := range n {
			sums[i] += addLanes(&lanes[i])
		}
		clear(lanes[:n])
		sums, candidates = sums[n:], candidates[n:]
	}
}

// addError adds the errors of a tile, which starts at a multiple of 16.
func addError(sum *[16]float64, tile []float32, p *gridParams, power float64) {
	var kernel errorFunc
	switch power {
	case 1:
		kernel = errorAbsF32
	case 2:
		kernel = errorSquareF32
	case 4:
		kernel = errorFourthF32
	}
	whole := len(tile) &^ 15
	if kernel == nil || !p.exact {
		whole = 0
	} else {
		kernel(sum, tile[:whole], p)
	}
	addErrorGeneric(sum, tile[whole:], p, power)
}

// addLanes adds the upper half of the lanes to the lower, and so on.
func addLanes(lanes *[16]float64) float64 {
	for half := 8; half > 0; half /= 2 {
		for i := range half {
			lanes[i] += lanes[i+half]
		}
	}
	return lanes[0]
}
