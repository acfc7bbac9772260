package engine

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
)

// bindFloat binds steps that compute floats element by element or row by row; nil for others.
func bindFloat(a program.Action) *step {
	if b, ok := a.(*program.Binary); ok {
		return bindBinary(b)
	}
	f := mapperOfAction(a)
	if f == nil {
		return nil
	}
	dst, src := viewOf(a.Writes()[0]), viewOf(a.Reads()[0])
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.f32(c, s), y0, y1, f)
	})
}

// mapperOfAction returns what computes runs of whole pixels of a step with one operand; nil for others.
func mapperOfAction(a program.Action) mapper {
	switch a := a.(type) {
	case *program.Map:
		return mapperOf(a)
	case *program.ChannelAffine:
		return clamped(a.Lo, a.Hi, func(dst, x []float32) { asm.ChannelAffineF32(dst, x, a.Scale, a.Shift) })
	case *program.ChannelDivide:
		return func(d, x []float32) {
			for n := len(a.By); len(d) > 0; d, x = d[n:], x[n:] {
				asm.DivF32(d[:n], x[:n], a.By)
			}
		}
	case *program.LayerNorm:
		return func(d, x []float32) {
			for n := len(a.Scale); len(d) > 0; d, x = d[n:], x[n:] {
				normalize(d[:n], x[:n], a.Scale, a.Shift, a.Epsilon, a.Centered)
			}
		}
	case *program.Softmax:
		return func(d, x []float32) { asm.SoftmaxF32(d, x, a.Out.C) }
	}
	return nil
}

// mapper computes dst from x, of the same length.
type mapper func(dst, x []float32)

// clamped is f and a clamp behind it.
func clamped(lo, hi float32, f mapper) mapper {
	if lo == -inf && hi == inf {
		return f
	}
	return func(dst, x []float32) {
		f(dst, x)
		asm.ClampF32(dst, dst, lo, hi)
	}
}

// mapperOf returns the kernel of a function.
func mapperOf(a *program.Map) mapper {
	switch a.Func {
	case program.Sigmoid:
		return asm.SigmoidF32
	case program.Tanh:
		return asm.TanhF32
	case program.Erf:
		return asm.ErfF32
	case program.Exp:
		return asm.ExpF32
	case program.HardSwish:
		return asm.HardSwishF32
	case program.LeakyRelu:
		return func(dst, x []float32) { asm.LeakyReluF32(dst, x, a.A) }
	case program.HardSigmoid:
		return clamped(0, 1, func(dst, x []float32) { asm.AffineF32(dst, x, a.A, a.B) })
	case program.Gelu:
		return asm.GeluF32
	case program.Swish:
		return swish
	case program.Neg:
		return func(dst, x []float32) { asm.AffineF32(dst, x, -1, 0) }
	}
	return func(dst, x []float32) { asm.ClampF32(dst, x, a.A, a.B) }
}

// swish sets dst = x*sigmoid(x). dst is not x.
func swish(dst, x []float32) {
	asm.SigmoidF32(dst, x)
	asm.MulF32(dst, dst, x)
}

var binaryKernels = map[string]func(dst, a, b []float32){
	"Add": asm.AddF32, "Sub": asm.SubF32, "Mul": asm.MulF32, "Div": asm.DivF32, "Max": asm.MaxF32, "Min": asm.MinF32,
}

func bindBinary(a *program.Binary) *step {
	kernel := binaryKernels[a.Op]
	dst, left, right := viewOf(a.Out), viewOf(a.A), viewOf(a.B)
	if a.PerChannel {
		return gateStep(dst, left, right, a.Swap, kernel)
	}
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, r := dst.f32(c, s), left.f32(c, s), right.f32(c, s)
		for y := y0; y < y1; y++ {
			eachRun(m, l, r, y, kernel)
			if a.Lo != -inf || a.Hi != inf {
				pairs(m, m, y, y+1, func(d, x []float32) { asm.ClampF32(d, x, a.Lo, a.Hi) })
			}
		}
	})
}

// gateStep computes every pixel of one operand with the only pixel of the other, which is a with swap, else b.
func gateStep(dst, a, b *view, swap bool, kernel func(dst, a, b []float32)) *step {
	src, by := a, b
	if swap {
		src, by = b, a
	}
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, numbers := dst.f32(c, s), src.f32(c, s), by.f32(c, s).Data[:dst.c]
		for y := y0; y < y1; y++ {
			for x := range m.W {
				d, e := m.Data[y*m.RowStride+x*m.PixStride:][:m.C], l.Data[y*l.RowStride+x*l.PixStride:][:m.C]
				if swap {
					kernel(d, numbers, e)
				} else {
					kernel(d, e, numbers)
				}
			}
		}
	})
}

// normalize brings x to mean 0, if it is to be centered, and mean square 1, then scales and shifts it by element.
func normalize(dst, x, scale, shift []float32, epsilon float32, centered bool) {
	mean := float32(0)
	if centered {
		mean = asm.MeanF32(x)
	}
	variance := asm.SumSquaresF32(x, mean) / float32(len(x))
	inverse := float32(1 / math.Sqrt(float64(variance+epsilon)))
	asm.AffineF32(dst, x, 1, -mean)
	asm.AffineF32(dst, dst, inverse, 0)
	asm.ChannelAffineF32(dst, dst, scale, shift)
}
