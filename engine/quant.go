package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// coding is how bytes stand for numbers: a number is (q - zero) * scale. A
// signed tensor is stored with its top bit flipped, and zero with it, so that all are unsigned.
type coding struct {
	scale  float32
	zero   uint8
	signed bool
}

// quant says that a float value is the meaning of a tensor of bytes.
type quant struct {
	*forms
	coding
}

// grid returns the kernels that convert from and to floats: round half to
// even, saturate; NaN gives zero.
func (c coding) grid() *asm.Grid[uint8] {
	g, err := asm.NewGrid(c.scale, c.zero, 0, 255)
	if err != nil {
		panic(err) // codingOf lets only good scales in
	}
	return &g
}

// code returns the byte for x.
func (c coding) code(x float32) uint8 {
	var q [1]uint8
	c.grid().Quantize(q[:], []float32{x})
	return q[0]
}

// number returns what q stands for.
func (c coding) number(q uint8) float32 { return float32(int32(q)-int32(c.zero)) * c.scale }

// clampTo returns the codes of the bounds of a clamp.
func (c coding) clampTo(lo, hi float32) (qlo, qhi uint8) {
	qlo, qhi = 0, 255
	if lo > -inf {
		qlo = c.code(lo)
	}
	if hi < inf {
		qhi = c.code(hi)
	}
	return qlo, max(qlo, qhi)
}

// codingOf reads constant scale and zero point of a whole tensor of type d;
// false if there is one for each channel, or d is no byte.
func (b *builder) codingOf(scale, zero *graph.Value, d tensor.DType) (coding, bool) {
	s := b.floats(scale)
	if len(s) != 1 || !(s[0] > 0) || s[0] > 1e30 || d != tensor.Uint8 && d != tensor.Int8 {
		return coding{}, false
	}
	c := coding{scale: s[0], signed: d == tensor.Int8}
	if zero != nil {
		z := b.constant(zero)
		if z == nil || z.Len() != 1 || z.DType() != d {
			return coding{}, false
		}
		c.zero = z.Bytes()[0]
	}
	if c.signed {
		c.zero ^= 0x80
	}
	return c, true
}

// outputCoding reads the parameters of a QuantizeLinear to bytes.
func (b *builder) outputCoding(n *graph.Node) (coding, bool) {
	if !b.fits(n.Outputs[0]) || n.In(1) == nil {
		return coding{}, false
	}
	return b.codingOf(n.In(1), n.In(2), b.typeOf(n.Outputs[0]).DType)
}

// quantOf returns the quantized tensor that v, not constant, is the meaning
// of; nil if it is none.
func (b *builder) quantOf(v *graph.Value) *quant {
	if v == nil || b.values[v] == nil || b.net.float {
		return nil
	}
	return b.values[v].quant
}

// lowerDequantize gives the output its meaning: floats are only made for those who ask for them.
func lowerDequantize(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if b.net.float || !b.fits(x) || b.isConst(x) || b.typeOf(y).DType != tensor.Float32 {
		return false
	}
	c, ok := b.codingOf(n.In(1), n.In(2), b.typeOf(x).DType)
	if !ok {
		return false
	}
	b.value(y).quant = &quant{&b.value(x).forms, c}
	return true
}

// dequantize makes floats of v.
func (b *builder) dequantize(v *graph.Value, val *value) {
	src := b.ownForm(v, val.quant.forms)
	grid := val.quant.grid()
	dst := b.own(&buffer{dtype: tensor.Float32, order: src.order, samples: src.samples, h: src.h, w: src.w, c: src.c})
	val.in[src.order] = dst
	s := rowStep("DequantizeLinear", dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.f32(c, s), src.u8(c, s), y0, y1, grid.Dequantize)
	})
	if v.Node != nil && v.Node.Op == "DequantizeLinear" {
		s.of(v.Node)
	}
	b.add(s.reading(src))
}

// ownForm returns a tensor in the order in which it is already, plain if it is in both or none.
func (b *builder) ownForm(v *graph.Value, f *forms) *buffer {
	if f.in[plain] == nil && f.in[last] != nil {
		return f.in[last]
	}
	return b.form(v, f, plain)
}

// lowerQuantize makes bytes of floats, if no integer step has made them.
func lowerQuantize(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if b.net.float || !b.fits(x) || b.typeOf(x).DType != tensor.Float32 || b.isConst(x) {
		return false
	}
	c, ok := b.outputCoding(n)
	if !ok {
		return false
	}
	if q := b.quantOf(x); q != nil {
		if q.coding == c {
			b.values[y] = &value{forms: *q.forms}
		} else {
			b.tableStep(q, x, y, b.recode(q.coding, c, func(x float32) float32 { return x }), n)
		}
		return true
	}
	val := b.value(y)
	if b.value(x).input > 0 && b.value(x).in == [2]*buffer{} {
		val.late = func(o order) *buffer { return b.quantizeInput(n, x, y, o, c) }
		return true
	}
	src, grid := b.inOwnOrder(x), c.grid()
	dst := b.own(&buffer{dtype: tensor.Uint8, order: src.order, samples: src.samples, h: src.h, w: src.w, c: src.c})
	val.in[src.order] = dst
	b.add(rowStep(n.Op, dst, func(cl *call, w *worker, s, y0, y1 int) {
		pairs(dst.u8(cl, s), src.f32(cl, s), y0, y1, grid.Quantize)
	}).of(n).reading(src))
	return true
}

// quantizeInput makes bytes of an input of the run, in the order that the
// first reader wants.
func (b *builder) quantizeInput(n *graph.Node, x, y *graph.Value, o order, c coding) *buffer {
	dst := b.buffer(tensor.Uint8, b.shape(y), o)
	_, sample := b.samplesOf(b.shape(y))
	size, i, grid := tensor.Volume(sample), b.value(x).input-1, c.grid()
	s := rowStep(n.Op, dst, func(cl *call, w *worker, s, y0, y1 int) {
		from := cl.in[i].F32()[(cl.first+s)*size:][:size]
		m := dst.u8(cl, s)
		if dst.order == plain || m.H*m.W == 1 || m.C == 1 {
			from = from[y0*m.W*m.C:]
			runs(m, y0, y1, func(at, n int) {
				grid.Quantize(m.Data[at:at+n], from[:n])
				from = from[n:]
			})
			return
		}
		// Channel by channel, then one row of all channels becomes pixels.
		area, rows := m.H*m.W, (y1-y0)*m.W
		bytes := w.bytes(m.C * rows)
		for ch := range m.C {
			grid.Quantize(bytes[ch*rows:][:rows], from[ch*area+y0*m.W:][:rows])
		}
		for y := y0; y < y1; y++ {
			asm.TransposeU8(m.Data[y*m.RowStride:], bytes[(y-y0)*m.W:], m.C, m.W, m.PixStride, rows)
		}
	})
	b.add(s.of(n))
	return dst
}

// recode returns the table that takes bytes in one coding, by way of f, to another.
func (b *builder) recode(from, to coding, f func(float32) float32) *[256]uint8 {
	var table [256]uint8
	for q := range table {
		table[q] = to.code(f(from.number(uint8(q))))
	}
	return &table
}

// tableStep makes y from the bytes that x, of the same shape, stands for.
func (b *builder) tableStep(q *quant, x, y *graph.Value, table *[256]uint8, nodes ...*graph.Node) {
	src := b.ownForm(x, q.forms)
	dst := b.own(&buffer{dtype: tensor.Uint8, order: src.order, samples: src.samples, h: src.h, w: src.w, c: src.c})
	b.value(y).in[src.order] = dst
	b.add(b.lookUp(dst, src, table).of(nodes...))
}

// lookUp returns the step dst = table[src].
func (b *builder) lookUp(dst, src *buffer, table *[256]uint8) *step {
	s := rowStep("table", dst, func(c *call, w *worker, s, y0, y1 int) {
		pairs(dst.u8(c, s), src.u8(c, s), y0, y1, func(d, x []uint8) { asm.LookupU8(d, x, table) })
	})
	s.ops = dst.h * dst.w * dst.c
	return s.as(Integer).reading(src)
}

// target is where an integer step's results go: the QuantizeLinear behind a
// node, and the clamp between them.
type target struct {
	out    *graph.Value // the bytes
	nodes  []*graph.Node
	coding       // of out
	lo, hi uint8 // the clamp
}

// targetOf finds the QuantizeLinear that v goes into, alone or after a Relu or Clip.
func (b *builder) targetOf(v *graph.Value) (target, bool) {
	var t target
	lo, hi := -inf, inf
	for {
		n := b.single(v)
		if n == nil || b.done[n] || n.In(0) != v {
			b.why = "its result is not quantized"
			return t, false
		}
		t.nodes = append(t.nodes, n)
		if n.Op == "QuantizeLinear" {
			var ok bool
			if t.coding, ok = b.outputCoding(n); !ok {
				b.why = "its result is not quantized to 8 bits with one scale"
				return t, false
			}
			t.out = n.Outputs[0]
			t.lo, t.hi = t.clampTo(lo, hi)
			return t, true
		}
		l, h, ok := b.clamp(n)
		if !ok {
			b.why = "its result is not quantized"
			return t, false
		}
		lo, hi = min(max(lo, l), h), max(min(hi, h), l)
		v = n.Outputs[0]
	}
}

func (b *builder) claimTarget(t target) {
	for _, n := range t.nodes {
		b.done[n] = true
	}
}

// matrix is a constant quantized tensor of weights.
type matrix struct {
	s8     []int8
	u8     []uint8 // instead of s8
	zeros  []int   // by channel, or one
	scales []float32
	axis   int // of the channels
	shape  []int
}

// weightsOf reads a constant that is made by DequantizeLinear from bytes or less.
func (b *builder) weightsOf(v *graph.Value) (matrix, bool) {
	if v == nil || v.Node == nil || v.Node.Op != "DequantizeLinear" || !b.isConst(v) || v.Node.Attrs.Int("block_size", 0) != 0 {
		return matrix{}, false
	}
	n := v.Node
	return b.matrixOf(n.In(0), n.In(1), n.In(2), n.Attrs.Int("axis", 1))
}

func (b *builder) matrixOf(q, scale, zero *graph.Value, axis int) (matrix, bool) {
	t := b.constant(q)
	m := matrix{scales: b.floats(scale), axis: axis}
	if t == nil || len(m.scales) == 0 {
		return m, false
	}
	m.shape = t.Shape()
	if m.axis < 0 {
		m.axis += len(m.shape)
	}
	switch t.DType() {
	case tensor.Int8:
		m.s8 = tensor.Data[int8](t)
	case tensor.Uint8:
		m.u8 = tensor.Data[uint8](t)
	case tensor.Int4:
		m.s8 = narrowed[int8](t.Ints())
	case tensor.Uint4:
		m.u8 = narrowed[uint8](t.Ints())
	default:
		return m, false
	}
	m.zeros = []int{0}
	if zero != nil {
		z := b.constant(zero)
		if z == nil || z.Len() != len(m.scales) {
			return m, false
		}
		m.zeros = z.Ints()
	}
	for _, s := range m.scales {
		if !(s > 0) {
			return m, false
		}
	}
	return m, true
}

func narrowed[T int8 | uint8](x []int) []T {
	out := make([]T, len(x))
	for i, v := range x {
		out[i] = T(v)
	}
	return out
}

// along makes scales and zeros one for each of n channels of an axis; false if they
// are along another.
func (m *matrix) along(axis, n int) bool {
	if len(m.scales) == 1 {
		m.scales = slices.Repeat(m.scales, n)
	} else if m.axis != axis || len(m.scales) != n {
		return false
	}
	if len(m.zeros) == 1 {
		m.zeros = slices.Repeat(m.zeros, n)
	}
	return len(m.zeros) == n
}

// symmetric reports whether the elements are signed bytes as they are.
func (m *matrix) symmetric() bool {
	return m.s8 != nil && !slices.ContainsFunc(m.zeros, func(z int) bool { return z != 0 })
}
