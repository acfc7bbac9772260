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

// searched returns the grid with the least squared error among the candidates.
func (q *weightQuantizer) searched(x []float32, low, high float64) Levels {
	levels, grids := q.candidates(low, high)
	errors := make([]float64, len(grids))
	asm.AddErrors(errors, x, grids, 2)
	return levels[leastOf(errors)]
}

// candidates returns grids over parts of the range, either end of which is cut by itself if there is a zero point.
func (q *weightQuantizer) candidates(low, high float64) (levels []Levels, grids []asm.Grid[uint8]) {
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
	return levels, grids
}

// leastOf returns where the least number is, the first of several.
func leastOf(x []float64) int {
	best := 0
	for i, v := range x {
		if v < x[best] {
			best = i
		}
	}
	return best
}

// refined returns l with the scale that has the least squared error for the integers it gives, as long as that
// makes the error less.
func refined(x []float32, l Levels) Levels { return refinedBy(x, nil, l) }

// refinedBy is [refined] where the squared error of each weight counts by its importance; nil for all alike.
func refinedBy(x []float32, importance []float64, l Levels) Levels {
	const rounds = 4
	least := math.Inf(1)
	best := l
	for range rounds {
		e, scale := fitOf(x, importance, l)
		if e >= least {
			break
		}
		best, least = l, e
		l.Scale = scale
	}
	return best
}

// fitOf returns the squared error of rounding x to levels, and the scale that would be the best for the same integers.
func fitOf(x []float32, importance []float64, l Levels) (e, scale float64) {
	xq, qq, h := 0.0, 0.0, 1.0
	for i, w := range x {
		if importance != nil {
			h = importance[i]
		}
		v := float64(w)
		q := float64(l.Quantize(v) - l.Zero)
		d := v - q*l.Scale
		e, xq, qq = e+h*d*d, xq+h*v*q, qq+h*q*q
	}
	if qq == 0 || xq <= 0 {
		return e, l.Scale
	}
	return e, xq / qq
}

// fitBy lays the grid over weights with the least squared error, by importance.
func (q *weightQuantizer) fitBy(x []float32, importance []float64) Levels {
	lo, hi, _ := asm.MinMaxF32(x)
	low, high := math.Min(float64(lo), 0), math.Max(float64(hi), 0)
	if low == high {
		return q.over(low, high)
	}
	levels, _ := q.candidates(low, high)
	errors := make([]float64, len(levels))
	for i, l := range levels {
		errors[i], _ = fitOf(x, importance, l)
	}
	return refinedBy(x, importance, levels[leastOf(errors)])
}
