package ptq

import "math"

// Grid is a set of integers that values are rounded to: 2^Bits of them, from
// -2^(Bits-1) if Signed, from 0 otherwise.
type Grid struct {
	Bits   int
	Signed bool
}

// Levels is a grid laid over real values: r = Scale*(q-Zero), q from Min to Max.
type Levels struct {
	Scale    float64
	Zero     int
	Min, Max int
}

// Min returns the least integer.
func (g Grid) Min() int {
	if g.Signed {
		return -1 << (g.Bits - 1)
	}
	return 0
}

// Max returns the greatest integer: 127 or 255 for 8 bits.
func (g Grid) Max() int {
	if g.Signed {
		return 1<<(g.Bits-1) - 1
	}
	return 1<<g.Bits - 1
}

// Over lays the grid so that its greatest integer stands for t, without a zero
// point. A t of 0 is taken as 1: any scale will do for nothing but zeros.
func (g Grid) Over(t float64) Levels {
	if t <= 0 {
		t = 1
	}
	return Levels{Scale: t / float64(g.Max()), Min: g.Min(), Max: g.Max()}
}

// Between lays the grid from lo <= 0 to hi >= 0, moved so that zero falls on an
// integer, the zero point.
func (g Grid) Between(lo, hi float64) Levels {
	span := hi - lo
	if span <= 0 {
		span = 1
	}
	scale := span / float64(g.Max()-g.Min())
	zero := g.Min() + int(math.RoundToEven(-lo/scale))
	return Levels{Scale: scale, Zero: min(max(zero, g.Min()), g.Max()), Min: g.Min(), Max: g.Max()}
}

// Quantize returns the integer that stands for x: the nearest, ties to even.
func (l Levels) Quantize(x float64) int {
	q := math.RoundToEven(x/l.Scale) + float64(l.Zero)
	return int(min(max(q, float64(l.Min)), float64(l.Max)))
}

// Round returns the value x becomes when it is quantized.
func (l Levels) Round(x float64) float64 {
	return float64(l.Quantize(x)-l.Zero) * l.Scale
}
