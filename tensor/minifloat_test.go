package tensor

import (
	"math"
	"math/rand/v2"
	"testing"
)

var signedMinis = []DType{Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1}

// bitsOf returns how many patterns a type has.
func bitsOf(d DType) int {
	if d == Float4E2M1 {
		return 16
	}
	return 256
}

// TestMiniFloatValues are from the formats' definitions.
func TestMiniFloatValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		d    DType
		bits uint8
		want float64
	}{
		{Float8E4M3FN, 0x7e, 448}, {Float8E4M3FN, 0x7f, nan}, {Float8E4M3FN, 0xff, nan}, {Float8E4M3FN, 0x38, 1}, {Float8E4M3FN, 0xb8, -1}, {Float8E4M3FN, 1, 1.0 / 512}, {Float8E4M3FN, 8, 1.0 / 64},
		{Float8E4M3FNUZ, 0x7f, 240}, {Float8E4M3FNUZ, 0x80, nan}, {Float8E4M3FNUZ, 0x40, 1}, {Float8E4M3FNUZ, 1, 1.0 / 1024}, {Float8E4M3FNUZ, 0xff, -240},
		{Float8E5M2, 0x7b, 57344}, {Float8E5M2, 0x7c, inf}, {Float8E5M2, 0xfc, -inf}, {Float8E5M2, 0x7d, nan}, {Float8E5M2, 0xff, nan}, {Float8E5M2, 1, 1.0 / 65536},
		{Float8E5M2FNUZ, 0x7f, 57344}, {Float8E5M2FNUZ, 0x80, nan}, {Float8E5M2FNUZ, 1, 1.0 / 131072},
		{Float4E2M1, 1, .5}, {Float4E2M1, 2, 1}, {Float4E2M1, 3, 1.5}, {Float4E2M1, 4, 2}, {Float4E2M1, 5, 3}, {Float4E2M1, 6, 4}, {Float4E2M1, 7, 6}, {Float4E2M1, 15, -6},
		{Float8E8M0, 0, math.Ldexp(1, -127)}, {Float8E8M0, 127, 1}, {Float8E8M0, 254, math.Ldexp(1, 127)}, {Float8E8M0, 255, nan},
	} {
		if got := MiniFloat(c.d, c.bits); got != c.want && !(got != got && c.want != c.want) {
			t.Errorf("%s %#x is %v, want %v", c.d, c.bits, got, c.want)
		}
	}
}

// TestMiniFloatRoundTrip: every number of a type is its own rounding, with its sign.
func TestMiniFloatRoundTrip(t *testing.T) {
	for _, d := range append(signedMinis, Float8E8M0) {
		for b := range bitsOf(d) {
			v := MiniFloat(d, uint8(b))
			if v != v {
				if back := MiniFloat(d, MiniFrom(d, v, false, RoundUp)); back == back {
					t.Errorf("%s: NaN becomes %v", d, back)
				}
				continue
			}
			if got := MiniFrom(d, v, false, RoundUp); got != uint8(b) {
				t.Errorf("%s: %#x is %v, which becomes %#x", d, b, v, got)
			}
		}
	}
}

// TestMiniFromIsNearest compares with a search through all numbers of a type.
func TestMiniFromIsNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, d := range signedMinis {
		largest := minifloats[d].largest
		for range 3000 {
			v := largest * math.Exp2(-18*r.Float64()) * float64(1-2*r.IntN(2))
			if r.IntN(4) == 0 { // a tie, or near one
				a, b := MiniFloat(d, uint8(r.IntN(bitsOf(d)/2-6))), 0.0
				b = MiniFloat(d, MiniFrom(d, a, true, RoundUp)+1)
				v = (a + b) / 2
			}
			got, best := MiniFloat(d, MiniFrom(d, v, true, RoundUp)), math.Inf(1)
			for b := range bitsOf(d) {
				if w := MiniFloat(d, uint8(b)); w == w {
					best = min(best, math.Abs(w-v))
				}
			}
			if math.Abs(got-v) != best {
				t.Fatalf("%s: %v becomes %v, at a distance of %v instead of %v", d, v, got, math.Abs(got-v), best)
			}
		}
	}
}

func TestMiniFromTiesToEven(t *testing.T) {
	for _, c := range []struct{ v, want float64 }{{.25, 0}, {.75, 1}, {1.25, 1}, {1.75, 2}, {2.5, 2}, {3.5, 4}, {5, 4}, {-5, -4}, {5.01, 6}} {
		if got := MiniFloat(Float4E2M1, MiniFrom(Float4E2M1, c.v, true, RoundUp)); got != c.want {
			t.Errorf("%v becomes %v, want %v", c.v, got, c.want)
		}
	}
}

// TestMiniFromBeyond: what is too large, with and without saturation.
func TestMiniFromBeyond(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		d                    DType
		v, saturated, strict float64
	}{
		{Float8E4M3FN, 1e6, 448, nan}, {Float8E4M3FN, -1e6, -448, nan}, {Float8E4M3FN, 464, 448, 448}, {Float8E4M3FN, 465, 448, nan}, {Float8E4M3FN, inf, 448, nan},
		{Float8E4M3FNUZ, -1e6, -240, nan}, {Float8E4M3FNUZ, nan, nan, nan}, {Float8E5M2, 1e6, 57344, inf}, {Float8E5M2, -inf, -57344, -inf}, {Float8E5M2FNUZ, 1e6, 57344, nan},
		{Float4E2M1, 100, 6, 6}, {Float4E2M1, nan, 0, 0},
		{Float8E8M0, inf, math.Ldexp(1, 127), nan}, {Float8E8M0, -1, nan, nan}, {Float8E8M0, nan, nan, nan}, {Float8E8M0, 0, math.Ldexp(1, -127), nan},
		{Float8E8M0, 1e39, math.Ldexp(1, 127), nan}, {Float8E8M0, 1e-39, math.Ldexp(1, -127), nan},
	} {
		for _, saturate := range []bool{true, false} {
			want := c.strict
			if saturate {
				want = c.saturated
			}
			if got := MiniFloat(c.d, MiniFrom(c.d, c.v, saturate, RoundUp)); got != want && !(got != got && want != want) {
				t.Errorf("%s, saturating %v: %v becomes %v, want %v", c.d, saturate, c.v, got, want)
			}
		}
	}
	for _, d := range []DType{Float8E4M3FNUZ, Float8E5M2FNUZ} {
		if got := MiniFrom(d, math.Copysign(0, -1), false, RoundUp); got != 0 {
			t.Errorf("%s has a negative zero, %#x", d, got)
		}
	}
}

// TestPowersRound: a type of powers of two rounds as it is told.
func TestPowersRound(t *testing.T) {
	for _, c := range []struct{ v, up, down, nearest float64 }{{1, 1, 1, 1}, {1.2, 2, 1, 1}, {1.5, 2, 1, 2}, {1.9, 2, 1, 2}, {.3, .5, .25, .25}, {3, 4, 2, 4}} {
		for r, want := range map[Rounding]float64{RoundUp: c.up, RoundDown: c.down, RoundNearest: c.nearest} {
			if got := MiniFloat(Float8E8M0, MiniFrom(Float8E8M0, c.v, true, r)); got != want {
				t.Errorf("%v becomes %v, want %v", c.v, got, want)
			}
		}
	}
}
