package ptq

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
)

// fit lays a grid over weights that share a scale. Codes count from 0; a symmetric grid has its zero in the middle.
func (q *weightQuantizer) fit(x []float32) Levels {
	lo, hi, _ := asm.MinMaxF32(x)
	low, high := math.Min(float64(lo), 0), math.Max(float64(hi), 0)
	best := q.over(low, high)
	if q.Nearest || low == high {
		return best
	}
	return refined(x, q.searched(x, low, high))
}

// over lays the grid from low to high.
func (q *weightQuantizer) over(low, high float64) Levels {
	if !q.Symmetric {
		return Grid{Bits: q.Bits}.Between(low, high)
	}
	zero := 1 << (q.Bits - 1)
	l := Grid{Bits: q.Bits, Signed: true}.Over(math.Max(-low, high))
	return Levels{Scale: l.Scale, Zero: zero, Min: 0, Max: 2*zero - 1}
}

// Searches try ranges from the whole down to a part of it, the less the fewer bits there are: at 8 bits, to cut a twentieth of the
// range would cost more than finer steps gain.
const searchSteps = 6

var leastRange = map[int]float64{8: 0.95, 4: 0.7, 3: 0.6, 2: 0.4}

// searched returns the grid with the least squared error among those over parts of the range, either end of
// which is cut by itself if there is a zero point.
func (q *weightQuantizer) searched(x []float32, low, high float64) Levels {
	var levels []Levels
	var grids []asm.Grid[uint8]
	try := func(l Levels) {
		g, err := asm.NewGrid(toScale(l.Scale), uint8(l.Zero), uint8(l.Min), uint8(l.Max))
		if err == nil {
			levels, grids = append(levels, l), append(grids, g)
		}
	}
	part := func(k int) float64 { return 1 - (1-leastRange[q.Bits])*float64(k)/(searchSteps-1) }
	for i := range searchSteps {
		if q.Symmetric {
			try(q.over(low*part(i), high*part(i)))
			continue
		}
		for j := range searchSteps {
			try(q.over(low*part(i), high*part(j)))
		}
	}
	errors := make([]float64, len(grids))
	asm.AddErrors(errors, x, grids, 2)
	best := 0
	for i, e := range errors {
		if e < errors[best] {
			best = i
		}
	}
	return levels[best]
}

// refined returns l with the scale that has the least squared error for the integers it gives, as long as that
// makes the error less.
func refined(x []float32, l Levels) Levels {
	const rounds = 4
	least := math.Inf(1)
	best := l
	for range rounds {
		e, scale := fitOf(x, l)
		if e >= least {
			break
		}
		best, least = l, e
		l.Scale = scale
	}
	return best
}

// fitOf returns the squared error of rounding x to levels, and the scale that would be the best for the same integers.
func fitOf(x []float32, l Levels) (e, scale float64) {
	xq, qq := 0.0, 0.0
	for _, w := range x {
		v := float64(w)
		q := float64(l.Quantize(v) - l.Zero)
		d := v - q*l.Scale
		e, xq, qq = e+d*d, xq+v*q, qq+q*q
	}
	if qq == 0 || xq <= 0 {
		return e, l.Scale
	}
	return e, xq / qq
}
