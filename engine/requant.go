package engine

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
)

// Requant says how integer steps rescale their sums to 8 bits.
type Requant uint8

const (
	// RequantAuto is RequantShift for a network all of whose rescalings are
	// powers of two, else RequantFloat: exactly what the file means.
	RequantAuto Requant = iota
	// RequantFloat multiplies by a float32 and rounds half to even, as ONNX
	// Runtime does.
	RequantFloat
	// RequantMultiplier multiplies by a 31-bit integer and shifts, rounding half
	// up (half to even in additions): no float, within a unit of RequantFloat.
	RequantMultiplier
	// RequantShift shifts, rounding half up (half to even in additions, whose
	// shifts are so small that ties are frequent). A network with a rescaling that
	// is no power of two does not compile. (Means over a number of elements that is none,
	// and additions of tensors of different scales, multiply by a small integer first.)
	RequantShift
)

// ParseRequant reads the name of a mode: auto, float, multiplier or shift.
func ParseRequant(name string) (Requant, error) {
	for i, s := range []string{"auto", "float", "multiplier", "shift"} {
		if s == name {
			return Requant(i), nil
		}
	}
	return 0, fmt.Errorf("engine: requantization %q is not known: use auto, float, multiplier or shift", name)
}

// WithRequant sets how sums are rescaled; RequantAuto by default.
func WithRequant(r Requant) Option { return func(net *Net) { net.requant = r } }

// WithFloat runs QuantizeLinear and DequantizeLinear literally, and everything
// between them in float32: the meaning of a quantized file, to compare with.
func WithFloat() Option { return func(net *Net) { net.float = true } }

// errShift reports a rescaling that is no power of two where only shifts are allowed.
type errShift struct {
	node  *graph.Node
	scale float32
}

func (e *errShift) Error() string {
	return fmt.Sprintf("engine: %s: rescaling by %g is no power of two: run with another way to requantize, or quantize with shifts", e.node, e.scale)
}

// ratio is x*w/y in float32, the way ONNX Runtime computes it.
func ratio(x, w, y float32) float32 { return float32(x*w) / y }

// rescale returns the rescaling by one factor for each channel.
func (b *builder) rescale(n *graph.Node, scales []float32, t target) *asm.Requant {
	switch b.requant {
	case RequantShift:
		return b.rescaleByShift(n, scales, t)
	case RequantMultiplier:
		return b.rescaleByMultiplier(n, scales, t)
	}
	r, err := asm.RequantByFloat(scales, t.zero, t.lo, t.hi)
	b.fail(n, err)
	return r
}

func (b *builder) rescaleByShift(n *graph.Node, scales []float32, t target) *asm.Requant {
	shifts := make([]int8, len(scales))
	for i, s := range scales {
		frac, exp := math.Frexp(float64(s)) // s = frac * 2^exp, 1/2 <= frac < 1
		shift := 1 - exp
		if frac != 0.5 || shift < -30 || shift > asm.MaxShift {
			b.fail(n, &errShift{n, s})
			shift = 0
		}
		shifts[i] = int8(shift)
	}
	r, err := asm.RequantByShift(shifts, t.zero, t.lo, t.hi)
	b.fail(n, err)
	return r
}

func (b *builder) rescaleByMultiplier(n *graph.Node, scales []float32, t target) *asm.Requant {
	mul, shift := make([]int32, len(scales)), make([]uint8, len(scales))
	for i, s := range scales {
		frac, exp := math.Frexp(float64(s))
		m, k := math.RoundToEven(math.Ldexp(frac, 31)), 31-exp
		if m == 1<<31 {
			m, k = 1<<30, k-1
		}
		for k > asm.MaxMultiplierShift { // too small a factor for all its bits
			m, k = math.RoundToEven(m/2), k-1
		}
		if k < 0 {
			b.fail(n, fmt.Errorf("rescaling by %g is too large", s))
			k = 0
		}
		mul[i], shift[i] = int32(m), uint8(k)
	}
	r, err := asm.RequantByMultiplier(mul, shift, t.zero, t.lo, t.hi)
	b.fail(n, err)
	return r
}

// average returns the rescaling of sums of count elements: where only shifts
// are allowed and count is no power of two, by an integer multiplier.
func (b *builder) average(n *graph.Node, scale float32, count, channels int, t target) *asm.Requant {
	scales := make([]float32, channels)
	for i := range scales {
		scales[i] = scale / float32(count)
	}
	if b.requant == RequantShift && count&(count-1) != 0 {
		if frac, _ := math.Frexp(float64(scale)); frac != 0.5 {
			b.fail(n, &errShift{n, scale})
		}
		return b.rescaleByMultiplier(n, scales, t)
	}
	return b.rescale(n, scales, t)
}

// addition returns how to add bytes of two codings.
func (b *builder) addition(n *graph.Node, x, y coding, negateY bool, t target) asm.AddU8Spec {
	s := asm.AddU8Spec{ZeroA: x.zero, ZeroB: y.zero, ScaleA: x.scale / t.scale, ScaleB: y.scale / t.scale, Zero: t.zero, Lo: t.lo, Hi: t.hi}
	if b.requant == RequantFloat && n.Domain == "" && (x.signed || y.signed || t.signed) {
		// ONNX Runtime leaves this addition in float, where it is divided at the end.
		s.ScaleA, s.ScaleB, s.Divisor = x.scale, y.scale, t.scale
	}
	if negateY {
		s.ScaleB = -s.ScaleB
	}
	if b.requant == RequantShift || b.requant == RequantMultiplier {
		s.Mode = asm.ByMultiplier
		exact := addMultipliers(&s)
		if !exact && b.requant == RequantShift {
			b.fail(n, &errShift{n, s.ScaleA})
		}
	}
	b.fail(n, s.Check())
	return s
}

// addMultipliers sets the integers closest to the scales, with as many bits as
// they have or as there is room for, and reports whether they are exact.
func addMultipliers(s *asm.AddU8Spec) bool {
	a, c := float64(s.ScaleA), float64(s.ScaleB)
	whole := func(x float64) bool { return x == math.Trunc(x) }
	shift := 0
	for shift < asm.MaxAddShift && !(whole(math.Ldexp(a, shift)) && whole(math.Ldexp(c, shift))) &&
		math.Ldexp(max(math.Abs(a), math.Abs(c)), shift+1) <= asm.MaxAddMultiplier {
		shift++
	}
	ma, mc := math.Ldexp(a, shift), math.Ldexp(c, shift)
	s.MulA, s.MulB, s.Shift = int32(math.RoundToEven(ma)), int32(math.RoundToEven(mc)), uint8(shift)
	return whole(ma) && whole(mc)
}

// fail records the first thing that makes a network not compile.
func (b *builder) fail(n *graph.Node, err error) {
	if err == nil || b.err != nil {
		return
	}
	if _, ok := err.(*errShift); !ok {
		err = errorAt(n, err)
	}
	b.err = err
}
