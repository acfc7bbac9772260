package engine

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// inOwnOrder returns v, a Float32 value, in the order in which it is already.
func (b *builder) inOwnOrder(v *graph.Value) *buffer {
	val := b.value(v)
	b.ensure(v, val)
	return b.ownForm(v, &val.forms)
}

// like makes a buffer for v with images of the size of src, and makes it v's form.
func (b *builder) like(v *graph.Value, src *buffer) *buffer {
	dst := b.own(&buffer{dtype: src.dtype, order: src.order, samples: src.samples, h: src.h, w: src.w, c: src.c})
	b.value(v).in[src.order] = dst
	return dst
}

// mapper computes dst from x, of the same length.
type mapper func(dst, x []float32)

// lowerUnary computes an operator of one operand, element by element.
func lowerUnary(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.typeOf(x).DType != tensor.Float32 || !slices.Equal(b.shape(x), b.shape(y)) {
		return false
	}
	if b.quantizedUnary(n) {
		return true
	}
	f := b.mapperOf(n)
	if f == nil {
		return false
	}
	b.mapStep(n, x, y, f)
	return true
}

func (b *builder) mapStep(n *graph.Node, x, y *graph.Value, f mapper) {
	src := b.inOwnOrder(x)
	dst := b.like(y, src)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.f32(c, s), y0, y1, f)
	})
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.of(n).reading(src))
}

// pairs calls f with runs of elements of two images of one size.
func pairs[T, U any](dst asm.Image[T], src asm.Image[U], y0, y1 int, f func(dst []T, src []U)) {
	if dst.PixStride != dst.C || src.PixStride != src.C {
		for y := y0; y < y1; y++ {
			for x := range dst.W {
				f(dst.Data[y*dst.RowStride+x*dst.PixStride:][:dst.C], src.Data[y*src.RowStride+x*src.PixStride:][:dst.C])
			}
		}
		return
	}
	n := dst.W * dst.C
	if dst.RowStride == n && src.RowStride == n {
		f(dst.Data[y0*n:y1*n], src.Data[y0*n:y1*n])
		return
	}
	for y := y0; y < y1; y++ {
		f(dst.Data[y*dst.RowStride:][:n], src.Data[y*src.RowStride:][:n])
	}
}

// mapperOf returns the kernel of a node of one operand, nil if there is none.
func (b *builder) mapperOf(n *graph.Node) mapper {
	switch n.Op {
	case "Sigmoid":
		return asm.SigmoidF32
	case "Tanh":
		return asm.TanhF32
	case "Erf":
		return asm.ErfF32
	case "Exp":
		return asm.ExpF32
	case "HardSwish":
		return asm.HardSwishF32
	case "LeakyRelu":
		alpha := n.Attrs.Float("alpha", 0.01)
		return func(dst, x []float32) { asm.LeakyReluF32(dst, x, alpha) }
	case "HardSigmoid":
		alpha, beta := n.Attrs.Float("alpha", 0.2), n.Attrs.Float("beta", 0.5)
		return func(dst, x []float32) {
			asm.AffineF32(dst, x, alpha, beta)
			asm.ClampF32(dst, dst, 0, 1)
		}
	case "Gelu":
		if n.Attrs.String("approximate", "none") == "none" {
			return gelu
		}
	case "Swish":
		if n.Attrs.Float("alpha", 1) == 1 {
			return swish
		}
	case "Neg":
		return func(dst, x []float32) { asm.AffineF32(dst, x, -1, 0) }
	}
	if lo, hi, ok := b.clamp(n); ok {
		return func(dst, x []float32) { asm.ClampF32(dst, x, lo, hi) }
	}
	return nil
}

// gelu sets dst = x/2 * (1 + erf(x/sqrt(2))). dst is not x.
func gelu(dst, x []float32) {
	asm.AffineF32(dst, x, math.Sqrt2/2, 0)
	asm.ErfF32(dst, dst)
	asm.AffineF32(dst, dst, 0.5, 0.5)
	asm.MulF32(dst, dst, x)
}

// swish sets dst = x*sigmoid(x). dst is not x.
func swish(dst, x []float32) {
	asm.SigmoidF32(dst, x)
	asm.MulF32(dst, dst, x)
}

// lowerBinary computes Add, Sub, Mul, Div, Max and Min of two tensors of one
// shape, or with numbers by channel.
func lowerBinary(b *builder, n *graph.Node) bool {
	y := n.Outputs[0]
	if len(n.Inputs) != 2 || !b.fits(y) || b.typeOf(y).DType != tensor.Float32 {
		return false
	}
	if b.quantizedBinary(n) {
		return true
	}
	a, c := n.In(0), n.In(1)
	switch {
	case b.isConst(c) && b.affineBy(n, a, c), b.isConst(a) && b.affineBy(n, c, a):
		return true
	case b.isConst(a) || b.isConst(c):
		return false
	case slices.Equal(b.shape(a), b.shape(y)) && slices.Equal(b.shape(c), b.shape(y)):
		b.binaryStep(n, a, c)
		return true
	case b.gate(n, a, c), b.gate(n, c, a):
		return true
	}
	return false
}

var binaryKernels = map[string]func(dst, a, b []float32){
	"Add": asm.AddF32, "Sub": asm.SubF32, "Mul": asm.MulF32, "Div": asm.DivF32, "Max": asm.MaxF32, "Min": asm.MinF32,
}

// binaryStep computes a node of two tensors of one shape, and a clamp behind it.
func (b *builder) binaryStep(n *graph.Node, x, z *graph.Value) {
	kernel := binaryKernels[n.Op]
	left, right := b.sameOrder(x, z)
	t := b.follow(n.Outputs[0], 0, 0, false, false)
	b.claim(t)
	dst := b.like(t.out, left)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		m, l, r := dst.f32(c, s), left.f32(c, s), right.f32(c, s)
		for y := y0; y < y1; y++ {
			eachRun(m, l, r, y, kernel)
			if t.lo != -inf || t.hi != inf {
				pairs(m, m, y, y+1, func(d, x []float32) { asm.ClampF32(d, x, t.lo, t.hi) })
			}
		}
	})
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.of(n).of(t.nodes...).reading(left, right))
	s.name = b.label(s.nodes...)
}

// sameOrder returns two values of one shape as buffers in the same order, the
// one that costs less.
func (b *builder) sameOrder(x, z *graph.Value) (*buffer, *buffer) {
	left := b.inOwnOrder(x)
	if other := b.value(z); left.order == plain && other.in[last] != nil && other.in[plain] == nil {
		return b.float(x, last), other.in[last]
	}
	return left, b.float(z, left.order)
}

// eachRun calls f with the runs of elements of row y of three images of one size.
func eachRun[T any](dst, a, b asm.Image[T], y int, f func(dst, a, b []T)) {
	n, count := dst.W*dst.C, 1
	if dst.PixStride != dst.C || a.PixStride != dst.C || b.PixStride != dst.C {
		n, count = dst.C, dst.W
	}
	for x := range count {
		f(dst.Data[y*dst.RowStride+x*dst.PixStride:][:n], a.Data[y*a.RowStride+x*a.PixStride:][:n], b.Data[y*b.RowStride+x*b.PixStride:][:n])
	}
}

// affineBy computes x op k for a constant k that has one number for each
// channel, in the order x is in, or one for all.
func (b *builder) affineBy(n *graph.Node, x, k *graph.Value) bool {
	y := n.Outputs[0]
	if !b.fits(x) || !slices.Equal(b.shape(x), b.shape(y)) || b.value(x) == nil {
		return false
	}
	src, numbers := b.channelOrder(x, k)
	if src == nil {
		return false
	}
	if n.Op == "Div" && k == n.In(1) {
		b.divideStep(n, src, numbers)
		return true
	}
	scale, shift := make([]float32, src.c), make([]float32, src.c)
	for i := range scale {
		scale[i] = 1
		switch v := numbers[i]; n.Op {
		case "Add":
			shift[i] = v
		case "Mul":
			scale[i] = v
		case "Sub":
			if shift[i] = -v; k == n.In(0) {
				scale[i], shift[i] = -1, v
			}
		default:
			return false
		}
	}
	b.affineStep(n, src, scale, shift)
	return true
}

// divideStep computes x/numbers by channel. It divides: multiplying by the
// reciprocal would round twice.
func (b *builder) divideStep(n *graph.Node, src *buffer, numbers []float32) {
	dst := b.like(n.Outputs[0], src)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.f32(c, s), y0, y1, func(d, x []float32) {
			for ; len(d) > 0; d, x = d[len(numbers):], x[len(numbers):] {
				asm.DivF32(d[:len(numbers)], x[:len(numbers)], numbers)
			}
		})
	})
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.of(n).reading(src))
}

// channelOrder returns x in an order in which constant k has one number for each channel, and the numbers;
// nil if there is none.
func (b *builder) channelOrder(x, k *graph.Value) (*buffer, []float32) {
	rank, shape := b.rank(x), b.shape(x)
	own := b.inOwnOrder(x)
	for _, o := range []order{own.order, 1 - own.order} {
		if o == last && (rank < 2 || rank > 4) {
			continue
		}
		axis := rank - 1
		if o == last {
			axis = 1
		}
		if rank > 1 {
			if numbers := b.perChannel(k, rank, shape[axis], axis); numbers != nil {
				return b.float(x, o), numbers
			}
		}
	}
	return nil, nil
}

// affineStep computes x*scale + shift by channel, and a clamp behind it.
func (b *builder) affineStep(n *graph.Node, src *buffer, scale, shift []float32) {
	t := b.follow(n.Outputs[0], 0, 0, false, false)
	b.claim(t)
	dst := b.like(t.out, src)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.f32(c, s), y0, y1, func(d, x []float32) {
			asm.ChannelAffineF32(d, x, scale, shift)
			if t.lo != -inf || t.hi != inf {
				asm.ClampF32(d, d, t.lo, t.hi)
			}
		})
	})
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.of(n).of(t.nodes...).reading(src))
	s.name = b.label(s.nodes...)
}

// gate computes x op g where g has one number for each sample and channel of
// x: the squeeze-and-excitation product.
func (b *builder) gate(n *graph.Node, x, g *graph.Value) bool {
	xs, gs := b.shape(x), b.shape(g)
	swap := x == n.In(1)
	if len(xs) != len(gs) || len(xs) < 3 || len(xs) > 4 || !slices.Equal(xs[:2], gs[:2]) || tensor.Volume(gs[2:]) != 1 || !slices.Equal(xs, b.shape(n.Outputs[0])) {
		return false
	}
	kernel := binaryKernels[n.Op]
	src, by := b.float(x, last), b.float(g, last)
	dst := b.like(n.Outputs[0], src)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
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
	s.ops = 4 * dst.h * dst.w * dst.c
	b.add(s.of(n).reading(src, by))
	return true
}

// lowerBatchNorm computes an inference BatchNormalization as x*scale + shift.
func lowerBatchNorm(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.rank(x) < 2 || b.rank(x) > 4 || b.typeOf(x).DType != tensor.Float32 || n.Attrs.Int("training_mode", 0) != 0 {
		return false
	}
	gamma, beta, mean, variance := b.floats(n.In(1)), b.floats(n.In(2)), b.floats(n.In(3)), b.floats(n.In(4))
	c := b.shape(x)[1]
	if len(gamma) != c || len(beta) != c || len(mean) != c || len(variance) != c {
		return false
	}
	scale, shift := make([]float32, c), make([]float32, c)
	for i := range scale {
		k := float64(gamma[i]) / math.Sqrt(float64(variance[i])+float64(n.Attrs.Float("epsilon", 1e-5)))
		scale[i] = float32(k)
		shift[i] = float32(float64(beta[i]) - float64(k*float64(mean[i])))
	}
	b.affineStep(n, b.float(x, last), scale, shift)
	return true
}

// lowerSoftmax computes Softmax along the last dimension.
func lowerSoftmax(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.typeOf(x).DType != tensor.Float32 {
		return false
	}
	rank, def := b.rank(x), 1
	if b.graph.Opset[""] >= 13 {
		def = -1
	}
	if axis := n.Attrs.Int("axis", def); rank < 2 || axis != -1 && axis != rank-1 {
		return false
	}
	src := b.float(x, plain)
	dst := b.like(y, src)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.f32(c, s), y0, y1, func(d, x []float32) { asm.SoftmaxF32(d, x, dst.c) })
	})
	s.ops = 16 * dst.h * dst.w * dst.c
	b.add(s.of(n).reading(src))
	return true
}
