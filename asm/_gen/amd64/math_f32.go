package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
	"github.com/narrow-ml/narrow/asm/_gen/fit"
)

// mathF32 declares the transcendental functions.
func mathF32(c *Context) {
	declareOps(c, "mathF32", []op{
		{"expF32", oneSlice, twoNumbers, 2, func(e *elementwise, in []VecVirtual) VecVirtual { return e.exp(in[0]) }},
		{"sigmoidF32", oneSlice, twoNumbers, 2, func(e *elementwise, in []VecVirtual) VecVirtual { return e.sigmoid(in[0]) }},
		{"tanhF32", oneSlice, twoNumbers, 1, func(e *elementwise, in []VecVirtual) VecVirtual { return e.tanh(in[0]) }},
		{"erfF32", oneSlice, twoNumbers, 1, func(e *elementwise, in []VecVirtual) VecVirtual { return e.erf(in[0]) }},
		{"geluF32", oneSlice, twoNumbers, 2, func(e *elementwise, in []VecVirtual) VecVirtual { return e.gelu(in[0]) }},
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
	p := e.polynomial(r, fit.Exp)
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
	p := e.polynomial(square, fit.Tanh)
	e.VMULPS(p, square, p)
	e.VMOVAPS(x, near)
	e.VFMADD231PS(p, x, near)

	e.VADDPS(abs, abs, twice)
	far := e.reciprocal(e.exp(twice))
	e.VADDPS(far, far, far)
	e.VSUBPS(far, e.inRegister(e.number(1)), far)
	e.VORPS(sign, far, far)
	return e.ifBelow(abs, fit.TanhSmall, near, far)
}

// erf returns x*P(x²) for small |x| and 1-e^-Q(|x|), with the sign of x, beyond.
func (e *elementwise) erf(x VecVirtual) VecVirtual {
	abs, sign := e.magnitude(x)
	square := e.vec()
	e.VMULPS(x, x, square)
	near := e.polynomial(square, fit.Erf)
	e.VMULPS(x, near, near)

	limited := e.vec()
	e.VMOVAPS(abs, limited)
	e.VMINPS(limited, e.inRegister(e.number(fit.ErfOne)), limited)
	q := e.polynomial(limited, fit.ErfTail)
	e.VXORPS(e.bits(1<<31), q, q)
	far := e.exp(q)
	e.VSUBPS(far, e.inRegister(e.number(1)), far)
	e.VORPS(sign, far, far)
	return e.ifBelow(abs, fit.ErfSmall, near, far)
}

// gelu returns max(x, 0) - |x|/2 * e^-Q(|x|), where e^-Q(a) = erfc(a/sqrt(2)): nothing cancels.
// The power is that of exp for an exponent that needs no care.
func (e *elementwise) gelu(x VecVirtual) VecVirtual {
	const magic = 3 << 22
	half, near, result := e.vec(), e.vec(), e.vec()
	e.VANDPS(e.bits(1<<31-1), x, half)
	e.VMINPS(half, e.inRegister(e.number(fit.GeluLimit)), half)
	e.VMINPS(half, e.inRegister(e.number(fit.GeluEnd)), near)
	q := e.polynomial(near, fit.GeluTail)
	e.VSUBPS(near, half, near)
	e.VFMADD231PS(e.number(fit.GeluGrowth), near, q)

	n, r := e.inRegister(e.number(1/math.Ln2)), q
	e.VFMADD213PS(e.number(magic), q, n)
	shift := e.vec()
	e.VPSLLD(Imm(23), n, shift)
	e.VSUBPS(e.number(magic), n, n)
	high := float64(math.Float32frombits(math.Float32bits(math.Ln2) &^ 0xfff))
	e.VFMSUB231PS(e.number(high), n, r)
	e.VFMADD231PS(e.number(math.Ln2-high), n, r)
	p, square := e.polynomial(r, fit.Exp), e.vec()
	e.VMULPS(r, r, square)
	e.VFMADD213PS(r, square, p)
	e.VADDPS(e.number(1), p, p)
	e.VPSUBD(shift, p, p)

	e.VMULPS(e.number(0.5), half, half)
	e.VXORPS(result, result, result)
	e.VMAXPS(x, result, result)
	e.VFNMADD231PS(p, half, result)
	return result
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
