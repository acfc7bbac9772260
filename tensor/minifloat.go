package tensor

import "math"

// Elements of 8 bits and less that files hold and casts make; nothing computes
// with them. Each stands in a byte of its own, as its bits; only files pack those
// of 4 and 2 bits.
type (
	// F8E4M3FN is a float of 4 exponent and 3 mantissa bits, without infinities.
	F8E4M3FN uint8
	// F8E4M3FNUZ is the same without a negative zero, of twice the bias.
	F8E4M3FNUZ uint8
	// F8E5M2 is a float of 5 exponent and 2 mantissa bits, with infinities.
	F8E5M2 uint8
	// F8E5M2FNUZ is the same without infinities and a negative zero.
	F8E5M2FNUZ uint8
	// F8E8M0 is a power of two from 2^-127 to 2^127, or NaN.
	F8E8M0 uint8
	// F4E2M1 is one of 0, 1/2, 1, 3/2, 2, 3, 4, 6 and their negatives.
	F4E2M1 uint8
	// Pair is a signed 2-bit integer.
	Pair int8
	// UPair is an unsigned 2-bit integer.
	UPair uint8
)

// minifloat is the layout of a float type of 8 bits or less, of one sign bit.
type minifloat struct {
	mantissa int     // bits
	bias     int     // of the exponent
	largest  float64 // finite
	nan, inf uint8   // their bits without the sign; inf is 0 if there is none
	sign     uint8   // the sign's bit
	unsigned bool    // no negative zero: its bits are NaN
}

var minifloats = map[DType]minifloat{
	Float8E4M3FN:   {mantissa: 3, bias: 7, largest: 448, nan: 0x7f, sign: 0x80},
	Float8E4M3FNUZ: {mantissa: 3, bias: 8, largest: 240, nan: 0x80, sign: 0x80, unsigned: true},
	Float8E5M2:     {mantissa: 2, bias: 15, largest: 57344, nan: 0x7f, inf: 0x7c, sign: 0x80},
	Float8E5M2FNUZ: {mantissa: 2, bias: 16, largest: 57344, nan: 0x80, sign: 0x80, unsigned: true},
	Float4E2M1:     {mantissa: 1, bias: 1, largest: 6, sign: 8},
}

// IsMini reports whether d is a float of 8 bits or less.
func (d DType) IsMini() bool { return d >= Float8E4M3FN && d <= Float4E2M1 }

// Packed returns how many elements files pack in a byte: 2, 4, or 1 for none.
func (d DType) Packed() int {
	switch d {
	case Int4, Uint4, Float4E2M1:
		return 2
	case Int2, Uint2:
		return 4
	}
	return 1
}

// Rounding says which way a power of two is rounded.
type Rounding int

const (
	RoundUp Rounding = iota
	RoundDown
	RoundNearest // ties up
)

// MiniFrom returns the bits of v in a float type of 8 bits or less, rounded to
// nearest, ties to even. What is too large becomes the largest number if it is
// to saturate, else an infinity, or NaN where there is none; a type without NaN
// saturates and has 0 for it. For Float8E8M0, which has no sign, r is how it rounds.
func MiniFrom(d DType, v float64, saturate bool, r Rounding) uint8 {
	if d == Float8E8M0 {
		return powerFrom(v, saturate, r)
	}
	m := minifloats[d]
	sign := uint8(0)
	if math.Signbit(v) {
		sign = m.sign
	}
	a := math.Abs(v)
	if v != v {
		if m.unsigned {
			return m.nan
		}
		return m.nan | sign
	}
	_, e := math.Frexp(a)
	e = max(e-1, 1-m.bias) // the exponent, that of denormals at least
	quantum := math.Ldexp(1, e-m.mantissa)
	if a = math.RoundToEven(a/quantum) * quantum; a > m.largest {
		switch {
		case saturate || m.nan == 0:
			a = m.largest
		case m.inf != 0:
			return m.inf | sign
		case m.unsigned:
			return m.nan
		default:
			return m.nan | sign
		}
	}
	if a == 0 {
		if m.unsigned {
			return 0
		}
		return sign
	}
	_, e = math.Frexp(a)
	if e--; e < 1-m.bias {
		return sign | uint8(a/quantum)
	}
	fraction := math.Ldexp(a, m.mantissa-e) - float64(int(1)<<m.mantissa)
	return sign | uint8(e+m.bias)<<m.mantissa | uint8(fraction)
}

// powerFrom returns the exponent, of bias 127, of a power of two near v.
func powerFrom(v float64, saturate bool, r Rounding) uint8 {
	const nan = 0xff
	if v != v || v < 0 || v == 0 && !saturate {
		return nan
	}
	if math.IsInf(v, 1) {
		if saturate {
			return nan - 1
		}
		return nan
	}
	fraction, e := math.Frexp(v)
	if v == 0 {
		return 0
	}
	e-- // v is 2*fraction * 2^e
	if up := fraction > 0.5 && (r == RoundUp || r == RoundNearest && fraction >= 0.75); up {
		e++
	}
	switch {
	case e < -127 && !saturate || e > 127 && !saturate:
		return nan
	default:
		return uint8(min(max(e, -127), 127) + 127)
	}
}

// MiniFloat returns the number that the bits of a float type of 8 bits or less
// stand for.
func MiniFloat(d DType, bits uint8) float64 {
	if d == Float8E8M0 {
		if bits == 0xff {
			return math.NaN()
		}
		return math.Ldexp(1, int(bits)-127)
	}
	m := minifloats[d]
	a := bits &^ m.sign
	if m.nan != 0 && (m.unsigned && bits == m.nan || !m.unsigned && (a == m.nan || m.inf != 0 && a > m.inf)) {
		return math.NaN()
	}
	v := 0.0
	if e := int(a >> m.mantissa); m.inf != 0 && a == m.inf {
		v = math.Inf(1)
	} else if fraction := float64(a & (1<<m.mantissa - 1)); e == 0 {
		v = math.Ldexp(fraction, 1-m.bias-m.mantissa)
	} else {
		v = math.Ldexp(fraction+float64(int(1)<<m.mantissa), e-m.bias-m.mantissa)
	}
	if bits&m.sign != 0 {
		return -v
	}
	return v
}
