package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Coefficients, lowest power first, fitted for least greatest error on the
// interval given; the error beside is that of the function approximated.
var (
	// (e^r-1-r)/r² on [-ln2/2, ln2/2]: 3e-9 relative.
	expCoefficients = []float64{0.4999999403953552, 0.1666651964187622, 0.04166839271783829, 0.008368780836462975, 0.001381446490995586}
	// (tanh(x)/x-1)/x² in x² on [0, 0.6]: 3e-9 relative.
	tanhCoefficients = []float64{-0.33333298563957214, 0.13331958651542664, -0.05378668010234833, 0.020805377513170242, -0.00590586056932807}
	// erf(x)/x in x² on [0, 1]: 1e-9.
	erfCoefficients = []float64{1.1283791065216064, -0.3761262595653534, 0.11283600330352783, -0.026854444295167923, 0.005189535208046436, -0.0008020841050893068, 7.889119297033176e-05}
	// -log(1-erf(x)) on [1, 4]: 1e-9 of erf.
	erfTailCoefficients = []float64{0.00035370892146602273, 1.1270400285720825, 0.6382256150245667, 0.10303743183612823, -0.021805351600050926, 0.0029396156314760447, -0.0001855748996604234}
)

const (
	tanhSmall = 0.6 // up to here tanh is the polynomial
	erfSmall  = 1
	erfOne    = 4 // from here on erf rounds to 1
)

// mathF32 declares the transcendental functions.
func mathF32(c *Context) {
	declareOps(c, "mathF32", []op{
		{"expF32", oneSlice, twoNumbers, 2, func(e *elementwise, in []VecVirtual) VecVirtual { return e.exp(in[0]) }},
		{"sigmoidF32", oneSlice, twoNumbers, 2, func(e *elementwise, in []VecVirtual) VecVirtual { return e.sigmoid(in[0]) }},
		{"tanhF32", oneSlice, twoNumbers, 1, func(e *elementwise, in []VecVirtual) VecVirtual { return e.tanh(in[0]) }},
		{"erfF32", oneSlice, twoNumbers, 1, func(e *elementwise, in []VecVirtual) VecVirtual { return e.erf(in[0]) }},
		{"hardSwishF32", oneSlice, twoNumbers, 4, func(e *elementwise, in []VecVirtual) VecVirtual { return e.hardSwish(in[0]) }},
	})
}

// polynomial returns the polynomial in x.
func (e *elementwise) polynomial(x VecVirtual, coefficients []float64) VecVirtual {
	last := len(coefficients) - 1
	r := e.vec()
	e.VMOVUPS(e.number(coefficients[last]), r)
	for i := last - 1; i >= 0; i-- {
		e.VFMADD213PS(e.number(coefficients[i]), x, r)
	}
	return r
}

// exp returns e^x: x = n*ln2 + r, n rounded to an integer by adding and
// subtracting 1.5*2^23, whose last bits hold n in between; the result is the
// polynomial of r times 2^n in two factors, as n may be out of the exponent's
// range.
func (e *elementwise) exp(x VecVirtual) VecVirtual {
	const magic = 3 << 22
	e.clamp(x, e.number(-104), e.number(89)) // give 0 and infinity
	shifted, n, r := e.vec(), e.vec(), x
	e.VMOVUPS(e.number(1/math.Ln2), shifted)
	e.VFMADD213PS(e.number(magic), x, shifted)
	e.VSUBPS(e.number(magic), shifted, n)
	high := float64(math.Float32frombits(math.Float32bits(math.Ln2) &^ 0xfff))
	e.VFNMADD231PS(e.number(high), n, r)
	e.VFNMADD231PS(e.number(math.Ln2-high), n, r)
	p := e.polynomial(r, expCoefficients)
	square := e.vec()
	e.VMULPS(r, r, square)
	e.VFMADD213PS(r, square, p)
	e.VADDPS(e.number(1), p, p)
	// NaN in x left bits without meaning in shifted, and stays NaN here.
	e.VPSUBD(e.bits(math.Float32bits(magic)), shifted, shifted)
	half := e.vec()
	e.VPSRAD(Imm(1), shifted, half)
	e.VPSUBD(half, shifted, shifted)
	for _, exponent := range []VecVirtual{half, shifted} {
		e.VPSLLD(Imm(23), exponent, exponent)
		e.VPADDD(e.number(1), exponent, exponent)
		e.VMULPS(exponent, p, p)
	}
	return p
}

// sigmoid returns 1/(1+e^-x).
func (e *elementwise) sigmoid(x VecVirtual) VecVirtual {
	e.VXORPS(e.bits(1<<31), x, x)
	return e.reciprocal(e.exp(x))
}

// reciprocal returns 1/(1+x).
func (e *elementwise) reciprocal(x VecVirtual) VecVirtual {
	e.VADDPS(e.number(1), x, x)
	one := e.inRegister(e.number(1))
	e.VDIVPS(x, one, one)
	return one
}

// magnitude returns |x| and the sign bit of x.
func (e *elementwise) magnitude(x VecVirtual) (abs, sign VecVirtual) {
	abs, sign = e.vec(), e.vec()
	e.VANDPS(e.bits(1<<31-1), x, abs)
	e.VANDPS(e.bits(1<<31), x, sign)
	return abs, sign
}

// tanh returns x+x³P(x²) for small |x| and 1-2/(1+e^2|x|), with the sign of x, beyond.
func (e *elementwise) tanh(x VecVirtual) VecVirtual {
	abs, sign := e.magnitude(x)
	square, twice, near := e.vec(), e.vec(), e.vec()
	e.VMULPS(x, x, square)
	p := e.polynomial(square, tanhCoefficients)
	e.VMULPS(p, square, p)
	e.VMOVAPS(x, near)
	e.VFMADD231PS(p, x, near)

	e.VADDPS(abs, abs, twice)
	far := e.reciprocal(e.exp(twice))
	e.VADDPS(far, far, far)
	e.VSUBPS(far, e.inRegister(e.number(1)), far)
	e.VORPS(sign, far, far)
	return e.ifBelow(abs, tanhSmall, near, far)
}

// erf returns x*P(x²) for small |x| and 1-e^-Q(|x|), with the sign of x, beyond.
func (e *elementwise) erf(x VecVirtual) VecVirtual {
	abs, sign := e.magnitude(x)
	square := e.vec()
	e.VMULPS(x, x, square)
	near := e.polynomial(square, erfCoefficients)
	e.VMULPS(x, near, near)

	limited := e.vec()
	e.VMOVAPS(abs, limited)
	e.VMINPS(limited, e.inRegister(e.number(erfOne)), limited)
	q := e.polynomial(limited, erfTailCoefficients)
	e.VXORPS(e.bits(1<<31), q, q)
	far := e.exp(q)
	e.VSUBPS(far, e.inRegister(e.number(1)), far)
	e.VORPS(sign, far, far)
	return e.ifBelow(abs, erfSmall, near, far)
}

// ifBelow returns yes where x < limit, and no elsewhere.
func (e *elementwise) ifBelow(x VecVirtual, limit float64, yes, no VecVirtual) VecVirtual {
	below := e.vec()
	e.VSUBPS(e.number(limit), x, below)
	return e.ifNegative(below, yes, no)
}

// hardSwish returns x*clamp(x/6+1/2, 0, 1), with x no less than -3 so that the
// product for minus infinity is 0.
func (e *elementwise) hardSwish(x VecVirtual) VecVirtual {
	e.VMAXPS(x, e.inRegister(e.number(-3)), x)
	gate, zero := e.vec(), e.vec()
	e.VMOVUPS(e.number(1.0/6), gate)
	e.VFMADD213PS(e.number(0.5), x, gate)
	e.VXORPS(zero, zero, zero)
	e.clamp(gate, zero, e.number(1))
	e.VMULPS(gate, x, x)
	return x
}
