package op

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	unary("Exp", math.Exp).is(function, nonNegative), unary("Log", math.Log).is(function, amplifies(0)), unary("Sqrt", math.Sqrt).is(function, nonNegative, amplifies(0)),
	unary("Reciprocal", func(x float64) float64 { return 1 / x }).is(function, keepsSign, amplifies(0)),
	unary("Floor", math.Floor).is(function, keepsSign), unary("Ceil", math.Ceil).is(function, keepsSign), unary("Round", roundEven).is(function, keepsSign),
	unary("Sin", math.Sin).is(function, withinOne), unary("Cos", math.Cos).is(function, withinOne), unary("Tan", math.Tan).is(function),
	unary("Asin", math.Asin).is(function, keepsSign, ranges(-math.Pi/2, math.Pi/2)), unary("Acos", math.Acos).is(function, ranges(0, math.Pi), keepsPositive), unary("Atan", math.Atan).is(function, keepsSign, ranges(-math.Pi/2, math.Pi/2)),
	unary("Sinh", math.Sinh).is(function, keepsSign), unary("Cosh", math.Cosh).is(function, ranges(1, math.Inf(1)), keepsPositive), unary("Tanh", math.Tanh).is(function, flow(Bounded, noQ), withinOne, keepsSign),
	unary("Asinh", math.Asinh).is(function, keepsSign), unary("Acosh", math.Acosh).is(function, nonNegative), unary("Atanh", math.Atanh).is(function, keepsSign),
	unary("Erf", math.Erf).is(function, withinOne, keepsSign), unary("Sigmoid", sigmoid).is(function, flow(Bounded, inQ(QOperands, microsoft, "QLinearSigmoid", true)), fraction),
	unary("Softplus", softplus).is(function, nonNegative),
	unary("Softsign", func(x float64) float64 { return x / (1 + math.Abs(x)) }).is(function, withinOne, keepsSign),
	unary("Mish", func(x float64) float64 { return x * math.Tanh(softplus(x)) }).is(function, keepsSign),
	unary("HardSwish", func(x float64) float64 { return x * clamp(x/6+0.5, 0, 1) }).is(function, flow(OneToOne, noQ), keepsSign),
	unaryWith("HardSigmoid", func(c *Call) func(float64) float64 {
		alpha, beta := float64(c.Attrs.Float("alpha", 0.2)), float64(c.Attrs.Float("beta", 0.5))
		return func(x float64) float64 { return clamp(float64(alpha*x)+beta, 0, 1) }
	}).is(function, flow(Bounded, noQ), fraction),
	unaryWith("LeakyRelu", func(c *Call) func(float64) float64 {
		alpha := float64(c.Attrs.Float("alpha", 0.01))
		return func(x float64) float64 {
			if x < 0 {
				return alpha * x
			}
			return x
		}
	}).is(function, flow(OneToOne, inQ(QOperands, microsoft, "QLinearLeakyRelu", true)), keepsSign, channelScale).where(leakySign),
	unaryWith("ThresholdedRelu", func(c *Call) func(float64) float64 {
		alpha := float64(c.Attrs.Float("alpha", 1))
		return func(x float64) float64 {
			if x <= alpha {
				return 0
			}
			return x
		}
	}).is(function, keepsPositive).where(thresholdedSign),
	unaryWith("Elu", func(c *Call) func(float64) float64 {
		return elu(float64(c.Attrs.Float("alpha", 1)), 1)
	}).is(function, keepsSign).where(eluSign),
	unaryWith("Celu", func(c *Call) func(float64) float64 {
		alpha := float64(c.Attrs.Float("alpha", 1))
		return func(x float64) float64 { return max(x, 0) + min(0, alpha*math.Expm1(x/alpha)) }
	}).is(function, keepsSign).where(eluSign),
	unaryWith("Selu", func(c *Call) func(float64) float64 {
		// The defaults are those of version 6; version 1 had them to fewer digits.
		return elu(float64(c.Attrs.Float("alpha", 1.67326319217681884765625)), float64(c.Attrs.Float("gamma", 1.05070102214813232421875)))
	}).is(function, keepsSign).where(eluSign),
	geluSpec("").is(function, keepsSign),
	geluSpec(microsoft).is(function, keepsSign),
	unaryWith("Shrink", func(c *Call) func(float64) float64 {
		bias, lambd := float64(c.Attrs.Float("bias", 0)), float64(c.Attrs.Float("lambd", 0.5))
		return func(x float64) float64 {
			switch {
			case x < -lambd:
				return x + bias
			case x > lambd:
				return x - bias
			}
			return 0
		}
	}).is(function),
	spec{name: "Relu", min: 1, infer: sameNumeric,
		run: mapNumber(relu[float32], relu[float64], relu[int8], relu[int16], relu[int32], relu[int64]).run}.is(function, flow(OneToOne, noQ), nonNegative, channelScale, clamps(func(*Call) (lo, hi float64, ok bool) { return 0, math.Inf(1), true })),
	spec{name: "Neg", min: 1, infer: sameNumeric,
		run: mapNumber(negate[float32], negate[float64], negate[int8], negate[int16], negate[int32], negate[int64]).run}.is(function, channelScale),
	spec{name: "Abs", min: 1, infer: sameNumeric,
		run: mapNumber(absolute[float32], absolute[float64], absolute[int8], absolute[int16], absolute[int32], absolute[int64]).run}.is(function, nonNegative, channelScale),
	spec{name: "Sign", min: 1, infer: sameNumeric, run: runSign}.is(function, withinOne, keepsSign),
	spec{name: "IsNaN", min: 1, infer: inferTest, run: func(c *Call) error {
		return testFloats(c, func(x float64) bool { return x != x })
	}}.is(perElement),
	spec{name: "IsInf", min: 1, infer: inferTest, run: func(c *Call) error {
		negative, positive := c.Attrs.Int("detect_negative", 1) != 0, c.Attrs.Int("detect_positive", 1) != 0
		return testFloats(c, func(x float64) bool {
			return positive && math.IsInf(x, 1) || negative && math.IsInf(x, -1)
		})
	}}.is(perElement),
	spec{name: "Not", min: 1, infer: func(c *Call) error {
		if err := c.wantType(0, tensor.Bool); err != nil {
			return err
		}
		return same(c)
	}, run: func(c *Call) error {
		mapInto(tensor.Data[bool](c.out(0)), tensor.Data[bool](c.In[0]), func(v bool) bool { return !v })
		return nil
	}}.is(perElement),
)

func runSign(c *Call) error {
	b := mapNumber(sign[float32], sign[float64], sign[int8], sign[int16], sign[int32], sign[int64])
	b.u8, b.u16, b.u32, b.u64 = mapped(sign[uint8]), mapped(sign[uint16]), mapped(sign[uint32]), mapped(sign[uint64])
	return b.run(c)
}

func inferTest(c *Call) error {
	if err := sameFloat(c); err != nil {
		return err
	}
	c.OutType[0].DType = tensor.Bool
	return nil
}

func testFloats(c *Call, f func(float64) bool) error {
	mapInto(tensor.Data[bool](c.out(0)), c.In[0].Float64s(), f)
	return nil
}

func clamp(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x) // does not overflow
	return e / (1 + e)
}

// softplus is log(1 + e^x).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func elu(alpha, gamma float64) func(float64) float64 {
	return func(x float64) float64 {
		if x < 0 {
			return gamma * alpha * math.Expm1(x)
		}
		return gamma * x
	}
}

// geluSpec makes Gelu; float32 goes through the vector kernels, in pieces that
// stay in cache.
func geluSpec(domain string) spec {
	s := unaryWith("Gelu", func(c *Call) func(float64) float64 {
		if c.Attrs.String("approximate", "none") == "tanh" {
			return geluTanh
		}
		return gelu
	})
	slow := s.run
	s.domain = domain
	s.run = func(c *Call) error {
		if c.In[0].DType() != tensor.Float32 || c.Attrs.String("approximate", "none") != "none" {
			return slow(c)
		}
		geluF32(c.out(0).F32(), c.In[0].F32())
		return nil
	}
	return s
}

func geluF32(dst, x []float32) {
	const piece = 4096
	for lo := 0; lo < len(x); lo += piece {
		hi := min(lo+piece, len(x))
		y := dst[lo:hi]
		asm.AffineF32(y, x[lo:hi], math.Sqrt2/2, 0)
		asm.ErfF32(y, y)
		asm.AffineF32(y, y, 0.5, 0.5)
		asm.MulF32(y, y, x[lo:hi])
	}
}

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func leakySign(c *Call, t *Traits) {
	if c.Attrs.Float("alpha", 0.01) < 0 {
		t.Sign = NonNegative
	}
}

func thresholdedSign(c *Call, t *Traits) {
	if c.Attrs.Float("alpha", 1) >= 0 {
		t.Range.Lo = 0
	}
}

func eluSign(c *Call, t *Traits) {
	switch {
	case c.Attrs.Float("gamma", 1) < 0:
		t.Sign = AnySign
	case c.Attrs.Float("alpha", 1) < 0:
		t.Sign = NonNegative
	}
}
