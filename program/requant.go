package program

import (
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Mode says how integer steps rescale their sums to 8 bits.
type Mode uint8

const (
	// ModeAuto is ModeShift for a network all of whose rescalings are
	// powers of two, else ModeFloat: exactly what the file means.
	ModeAuto Mode = iota
	// ModeFloat multiplies by a float32 and rounds half to even, as ONNX
	// Runtime does.
	ModeFloat
	// ModeMultiplier multiplies by a 31-bit integer and shifts, rounding half
	// up (half to even in additions): no float, within a unit of ModeFloat. A
	// step whose rescalings are all powers of two only shifts: the same integers.
	ModeMultiplier
	// ModeShift shifts, rounding half up (half to even in additions, whose
	// shifts are so small that ties are frequent). A network with a rescaling that
	// is no power of two does not compile. (Means over a number of elements that is none,
	// and additions of tensors of different scales, multiply by a small integer first.)
	ModeShift
)

// The bounds of a rescaling's and of an addition's integers, such that 64 and 32 bits hold what is computed.
const (
	MaxShift           = 31
	MaxMultiplierShift = 62
	MaxSumMultiplier   = 1 << 21
	MaxSumShift        = 30
)

// Requant makes of the int32 sum v of output channel o an integer of 8 bits:
// clamp(q + Zero, Lo, Hi), where nothing wraps around on the way and
//
//	ModeFloat:      q = roundHalfEven(float32(v) * Scale[o])
//	ModeMultiplier: q = (v*Mul[o] + 2^(Shift[o]-1)) >> Shift[o], in 64 bits; no rounding term for a shift of 0
//	ModeShift:      q = (v + 2^(Shift[o]-1)) >> Shift[o]; a negative shift multiplies by 2^-Shift[o]
//
// The lists have one element for each channel. Shift is there in both integer
// modes, Mul in ModeMultiplier alone, Scale always.
type Requant struct {
	Mode         Mode // never ModeAuto
	Scale        []float32
	Mul          []int32
	Shift        []int8
	Type         tensor.DType // of what is made, before a residual is added: Int8 or Uint8
	Zero, Lo, Hi int
}

// Repeated returns a rescaling of one channel as one of n.
func (r *Requant) Repeated(n int) *Requant {
	out := *r
	out.Scale, out.Mul, out.Shift = slices.Repeat(r.Scale, n), slices.Repeat(r.Mul, n), slices.Repeat(r.Shift, n)
	return &out
}

// Apply returns the integer for sum v of channel o.
func (r *Requant) Apply(v int32, o int) int {
	var q int
	switch r.Mode {
	case ModeFloat:
		x := math.RoundToEven(float64(float32(v) * r.Scale[o]))
		q = int(min(max(x, -1<<40), 1<<40))
	case ModeMultiplier:
		q = shiftRight(int(v)*int(r.Mul[o]), int(r.Shift[o]))
	case ModeShift:
		q = shiftRight(int(v), int(r.Shift[o]))
	}
	return min(max(q+r.Zero, r.Lo), r.Hi)
}

// shiftRight rounds half up.
func shiftRight(v, n int) int {
	switch {
	case n > 0:
		return (v + 1<<(n-1)) >> n
	case n < 0:
		return v << -n
	}
	return v
}

// Sum says how elements a and b of two tensors become clamp(Zero + q, Lo, Hi):
//
//	ModeFloat: q = roundHalfEven((float32(float32(a-ZeroA)*ScaleA) + float32(float32(b-ZeroB)*ScaleB)) / Divisor)
//	otherwise: q = roundHalfEven(((a-ZeroA)*MulA + (b-ZeroB)*MulB) / 2^Shift), in 32-bit integers
//
// The products are rounded to float32 before they are added, and so is their
// sum before it is divided. A subtraction has a negative ScaleB or MulB. In
// ModeShift the multipliers are exactly the scales times 2^Shift.
type Sum struct {
	Mode           Mode // never ModeAuto
	ZeroA, ZeroB   int
	ScaleA, ScaleB float32
	Divisor        float32 // positive
	MulA, MulB     int32   // magnitude at most MaxSumMultiplier
	Shift          int8    // 0 to MaxSumShift
	Zero, Lo, Hi   int
}

// Apply returns the integer for a and b.
func (s *Sum) Apply(a, b int) int {
	a, b = a-s.ZeroA, b-s.ZeroB
	var q int
	if s.Mode == ModeFloat {
		x := float32(float32(a)*s.ScaleA) + float32(float32(b)*s.ScaleB)
		q = int(min(max(math.RoundToEven(float64(x/s.Divisor)), -1<<40), 1<<40))
	} else {
		v := a*int(s.MulA) + b*int(s.MulB)
		q = v >> s.Shift
		if rest, half := v-q<<s.Shift, 1<<s.Shift; 2*rest > half || 2*rest == half && q&1 == 1 {
			q++
		}
	}
	return min(max(q+s.Zero, s.Lo), s.Hi)
}

// ErrShift reports a rescaling that is no power of two where only shifts are allowed.
type ErrShift struct {
	Node  *graph.Node
	Scale float32
}

func (e *ErrShift) Error() string {
	return fmt.Sprintf("engine: %s: rescaling by %g is no power of two: run with another way to requantize, or quantize with shifts", e.Node, e.Scale)
}

// ratio is x*w/y in float32, the way ONNX Runtime computes it.
func ratio(x, w, y float32) float32 { return float32(x*w) / y }

// requant returns a rescaling to t by scales, without its integers.
func (t *target) requant(m Mode, scales []float32) *Requant {
	return &Requant{Mode: m, Scale: scales, Type: t.Type, Zero: t.Zero, Lo: t.lo, Hi: t.hi}
}

// rescale returns the rescaling by one factor for each channel.
func (b *builder) rescale(n *graph.Node, scales []float32, t target) *Requant {
	r := t.requant(b.requant, scales)
	if b.requant == ModeFloat {
		return r
	}
	shifts, bad := shiftsOf(scales)
	switch {
	case bad < 0:
		r.Mode, r.Shift = ModeShift, shifts
	case b.requant == ModeShift:
		b.fail(n, &ErrShift{n, scales[bad]})
	default:
		b.multipliers(n, r)
	}
	return r
}

// shiftsOf returns the shifts that multiply by scales; bad is the first that is none, else -1.
func shiftsOf(scales []float32) (shifts []int8, bad int) {
	shifts = make([]int8, len(scales))
	for i, s := range scales {
		frac, exp := math.Frexp(float64(s)) // s = frac * 2^exp, 1/2 <= frac < 1
		shift := 1 - exp
		if frac != 0.5 || shift < -30 || shift > MaxShift {
			return nil, i
		}
		shifts[i] = int8(shift)
	}
	return shifts, -1
}

// multipliers sets the integers closest to the scales, of 31 bits.
func (b *builder) multipliers(n *graph.Node, r *Requant) {
	r.Mode, r.Mul, r.Shift = ModeMultiplier, make([]int32, len(r.Scale)), make([]int8, len(r.Scale))
	for i, s := range r.Scale {
		frac, exp := math.Frexp(float64(s))
		m, k := math.RoundToEven(math.Ldexp(frac, 31)), 31-exp
		if m == 1<<31 {
			m, k = 1<<30, k-1
		}
		for k > MaxMultiplierShift { // too small a factor for all its bits
			m, k = math.RoundToEven(m/2), k-1
		}
		if k < 0 {
			b.fail(n, fmt.Errorf("rescaling by %g is too large", s))
			k = 0
		}
		r.Mul[i], r.Shift[i] = int32(m), int8(k)
	}
}

// average returns the rescaling of sums of count elements: where only shifts
// are allowed and this is none, by an integer multiplier. A scale that was chosen so that
// the division by count is a shift as well has been rounded to float32, which is made up for.
func (b *builder) average(n *graph.Node, scale float32, count, channels int, t target) *Requant {
	scales := slices.Repeat([]float32{scale / float32(count)}, channels)
	if b.requant == ModeShift && count&(count-1) != 0 {
		if power := nearestPower(scales[0]); math.Abs(float64(scales[0]/power)-1) < 1e-6 {
			return b.rescale(n, slices.Repeat([]float32{power}, channels), t)
		}
		if frac, _ := math.Frexp(float64(scale)); frac != 0.5 {
			b.fail(n, &ErrShift{n, scale})
		}
		r := t.requant(ModeMultiplier, scales)
		b.multipliers(n, r)
		return r
	}
	return b.rescale(n, scales, t)
}

// nearestPower returns the power of two that is nearest to x, which is positive.
func nearestPower(x float32) float32 {
	frac, exp := math.Frexp(float64(x))
	if frac >= 0.75 {
		exp++
	}
	return float32(math.Ldexp(1, exp-1))
}

// addition returns how to add bytes of two codings.
func (b *builder) addition(n *graph.Node, x, y Coding, negateY bool, t target) Sum {
	s := Sum{Mode: ModeFloat, ZeroA: x.Zero, ZeroB: y.Zero, ScaleA: x.Scale / t.Scale, ScaleB: y.Scale / t.Scale, Divisor: 1, Zero: t.Zero, Lo: t.lo, Hi: t.hi}
	if b.requant == ModeFloat && n.Domain == "" && (x.signed() || y.signed() || t.signed()) {
		// ONNX Runtime leaves this addition in float, where it is divided at the end.
		s.ScaleA, s.ScaleB, s.Divisor = x.Scale, y.Scale, t.Scale
	}
	if negateY {
		s.ScaleB = -s.ScaleB
	}
	if b.requant != ModeFloat {
		exact := sumMultipliers(&s)
		if !exact && b.requant == ModeShift {
			b.fail(n, &ErrShift{n, s.ScaleA})
		}
	}
	return s
}

// sumMultipliers sets the integers closest to the scales, with as many bits as
// they have or as there is room for, and reports whether they are exact.
func sumMultipliers(s *Sum) bool {
	a, c := float64(s.ScaleA), float64(s.ScaleB)
	whole := func(x float64) bool { return x == math.Trunc(x) }
	shift := 0
	for shift < MaxSumShift && !(whole(math.Ldexp(a, shift)) && whole(math.Ldexp(c, shift))) &&
		math.Ldexp(max(math.Abs(a), math.Abs(c)), shift+1) <= MaxSumMultiplier {
		shift++
	}
	ma, mc := math.Ldexp(a, shift), math.Ldexp(c, shift)
	s.Mode, s.MulA, s.MulB, s.Shift = ModeMultiplier, int32(math.RoundToEven(ma)), int32(math.RoundToEven(mc)), int8(shift)
	if whole(ma) && whole(mc) {
		s.Mode = ModeShift
		return true
	}
	return false
}

// fail records the first thing that makes a network not compile.
func (b *builder) fail(n *graph.Node, err error) {
	if err == nil || b.err != nil {
		return
	}
	if _, ok := err.(*ErrShift); !ok {
		err = errorAt(n, err)
	}
	b.err = err
}
