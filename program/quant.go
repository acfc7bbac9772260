package program

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// quant says that a float value is the meaning of a tensor of bytes.
type quant struct {
	*forms
	Coding
}

func (c Coding) signed() bool { return c.Type == tensor.Int8 }

// bounds returns the ends of the integers.
func (c Coding) bounds() (lo, hi int) {
	if c.signed() {
		return -128, 127
	}
	return 0, 255
}

// Code returns the integer for x: round half to even, saturate; NaN gives the zero point.
func (c Coding) Code(x float32) int {
	q := float64(x / c.Scale)
	if math.IsNaN(q) {
		return c.Zero
	}
	lo, hi := c.bounds()
	return min(max(int(math.RoundToEven(min(max(q, -1024), 1024)))+c.Zero, lo), hi)
}

// Number returns what q stands for.
func (c Coding) Number(q int) float32 { return float32(q-c.Zero) * c.Scale }

// bits returns how the integer q is stored.
func bits(q int) uint8 { return uint8(q) }

// ofBits returns the integer that is stored as these bits.
func (c Coding) ofBits(q uint8) int {
	if c.signed() {
		return int(int8(q))
	}
	return int(q)
}

// clampTo returns the codes of the bounds of a clamp.
func (c Coding) clampTo(lo, hi float32) (qlo, qhi int) {
	qlo, qhi = c.bounds()
	if lo > -inf {
		qlo = c.Code(lo)
	}
	if hi < inf {
		qhi = c.Code(hi)
	}
	return qlo, max(qlo, qhi)
}

// codingOf reads constant scale and zero point of a whole tensor of type d;
// false if there is one for each channel, or d is no byte.
func (b *builder) codingOf(scale, zero *graph.Value, d tensor.DType) (Coding, bool) {
	s := b.floats(scale)
	if len(s) != 1 || !(s[0] > 0) || s[0] > 1e30 || d != tensor.Uint8 && d != tensor.Int8 {
		return Coding{}, false
	}
	c := Coding{Scale: s[0], Type: d}
	if zero != nil {
		z := b.constant(zero)
		if z == nil || z.Len() != 1 || z.DType() != d {
			return Coding{}, false
		}
		c.Zero = z.Ints()[0]
	}
	return c, true
}

// outputCoding reads the parameters of a QuantizeLinear to bytes.
func (b *builder) outputCoding(n *graph.Node) (Coding, bool) {
	if !b.fits(n.Outputs[0]) || n.In(1) == nil {
		return Coding{}, false
	}
	return b.codingOf(n.In(1), n.In(2), b.typeOf(n.Outputs[0]).DType)
}

// quantOf returns the quantized tensor that v, not constant, is the meaning
// of; nil if it is none.
func (b *builder) quantOf(v *graph.Value) *quant {
	if v == nil || b.values[v] == nil || b.Float {
		return nil
	}
	return b.values[v].quant
}

// lowerDequantize gives the output its meaning: floats are only made for those who ask for them.
func lowerDequantize(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if b.Float || !b.fits(x) || b.isConst(x) || b.typeOf(y).DType != tensor.Float32 {
		return false
	}
	c, ok := b.codingOf(n.In(1), n.In(2), b.typeOf(x).DType)
	if !ok {
		return false
	}
	f := &b.value(x).forms
	b.value(y).quant = &quant{f, c}
	for _, t := range f.in {
		if t != nil && t.Scale == 0 {
			t.Coding = c
		}
	}
	return true
}

// dequantize makes floats of v.
func (b *builder) dequantize(v *graph.Value, val *value) {
	src := b.ownForm(v, val.quant.forms)
	dst := b.own(src.like(tensor.Float32))
	dst.Name = v.Name
	val.in[src.Layout] = dst
	s := b.step("DequantizeLinear", Float, &Dequantize{In: src, Out: dst, Coding: val.quant.Coding})
	if v.Node != nil && v.Node.Op == "DequantizeLinear" {
		s.of(v.Node)
	}
}

// ownForm returns a tensor in the layout in which it is already, plain if it is in both or none.
func (b *builder) ownForm(v *graph.Value, f *forms) *Tensor {
	if f.in[Plain] == nil && f.in[Last] != nil {
		return f.in[Last]
	}
	return b.form(v, f, Plain)
}

// lowerQuantize makes bytes of floats, if no integer step has made them.
func lowerQuantize(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if b.Float || !b.fits(x) || b.typeOf(x).DType != tensor.Float32 || b.isConst(x) {
		return false
	}
	c, ok := b.outputCoding(n)
	if !ok {
		return false
	}
	if q := b.quantOf(x); q != nil {
		if q.Coding == c {
			b.values[y] = &value{forms: *q.forms}
		} else {
			b.tableStep(q, x, y, c, recode(q.Coding, c), n)
		}
		return true
	}
	val := b.value(y)
	if b.value(x).input != nil && b.value(x).in == [2]*Tensor{} {
		val.late = func(l Layout) *Tensor { // in the layout that the first reader wants
			dst := b.coded(b.tensor(c.Type, b.shape(y), l), y, c)
			b.step(n.Op, Float, &Quantize{In: b.value(x).input, Out: dst, Coding: c}).of(n)
			return dst
		}
		return true
	}
	src := b.inOwnLayout(x)
	dst := b.coded(b.own(src.like(c.Type)), y, c)
	val.in[src.Layout] = dst
	b.step(n.Op, Float, &Quantize{In: src, Out: dst, Coding: c}).of(n)
	return true
}

// coded names a tensor and says what its bytes stand for.
func (b *builder) coded(t *Tensor, v *graph.Value, c Coding) *Tensor {
	t.Name, t.Coding = v.Name, c
	return t
}

// recode returns the table that takes bytes in one coding to another.
func recode(from, to Coding) *[256]uint8 {
	var table [256]uint8
	for q := range table {
		table[q] = bits(to.Code(from.Number(from.ofBits(uint8(q)))))
	}
	return &table
}

// tableStep makes y from the bytes that x, of the same shape, stands for.
func (b *builder) tableStep(q *quant, x, y *graph.Value, c Coding, table *[256]uint8, nodes ...*graph.Node) {
	src := b.ownForm(x, q.forms)
	dst := b.coded(b.own(src.like(b.typeOf(y).DType)), y, c)
	b.value(y).in[src.Layout] = dst
	b.lookUp(dst, src, table).of(nodes...)
}

// lookUp adds the step dst = table[src].
func (b *builder) lookUp(dst, src *Tensor, table *[256]uint8) *Step {
	s := b.step("table", Integer, &Table{In: src, Out: dst, Table: *table})
	s.Ops = dst.H * dst.W * dst.C
	return s
}

// target is where an integer step's results go: the QuantizeLinear behind a
// node, and the clamp between them.
type target struct {
	out    *graph.Value // the bytes
	nodes  []*graph.Node
	Coding     // of out
	lo, hi int // the clamp
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
			if t.Coding, ok = b.outputCoding(n); !ok {
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

// view returns the weights as a step has them, without groups, kernel and strides.
func (m *matrix) view() Weights {
	w := Weights{S8: m.s8, U8: m.u8}
	if slices.ContainsFunc(m.zeros, func(z int) bool { return z != 0 }) {
		w.Zeros = m.zeros
	}
	return w
}
