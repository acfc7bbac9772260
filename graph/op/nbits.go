package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "MatMulNBits", domain: microsoft, min: 3, max: 6, infer: inferMatMulNBits, run: runMatMulNBits}.is(
		plain, inputs(Data, Weights, ScaleOf, ZeroPoint, Index, Bias), tensors, tensorScale, channels(-1), batch(firstInput)),
	spec{name: "GatherBlockQuantized", domain: microsoft, min: 3, max: 4, infer: inferGatherBlock, run: runGatherBlock, anyType: true}.is(
		plain, inputs(Data, Index, ScaleOf, ZeroPoint), tensors, batch(gatherBlockSamples)),
)

// packed are numbers of a few bits: several in a byte, the first in the low bits, row after row; every row begins a byte.
type packed struct {
	bytes []uint8
	bits  int
	row   int // bytes of a row
}

func (p packed) at(row, i int) int {
	at := i * p.bits
	return int(p.bytes[row*p.row+at/8]) >> (at % 8) & (1<<p.bits - 1)
}

// matMulBits are the attributes of MatMulNBits and what follows from them.
type matMulBits struct{ k, n, bits, block, blocks int }

func matMulBitsOf(c *Call) (m matMulBits, err error) {
	m = matMulBits{k: c.Attrs.Int("K", 0), n: c.Attrs.Int("N", 0), bits: c.Attrs.Int("bits", 4), block: c.Attrs.Int("block_size", 0)}
	switch {
	case m.bits != 2 && m.bits != 4 && m.bits != 8:
		return m, badAttr("bits %d: there are 2, 4 and 8", m.bits)
	case m.block < 16 || m.block&(m.block-1) != 0:
		return m, badAttr("block_size %d: it is a power of two from 16 up", m.block)
	case m.k <= 0 || m.n <= 0 || m.k > maxElements || m.n > maxElements/m.k:
		return m, badAttr("a matrix of K = %d and N = %d", m.k, m.n)
	}
	m.blocks = (m.k + m.block - 1) / m.block
	return m, nil
}

// check compares the sizes of the constants with the attributes.
func (m matMulBits) check(c *Call) error {
	row := (m.blocks*m.bits + 7) / 8
	zeros := m.n * row
	if d := c.typ(3).DType; d != tensor.Uint8 && d != tensor.Undefined {
		zeros = m.n * m.blocks // as floats
	}
	for i, want := range []int{1: m.n * m.blocks * m.block * m.bits / 8, 2: m.n * m.blocks, 3: zeros, 4: m.k, 5: m.n} {
		if t := c.typ(i); i > 0 && c.has(i) && t.Static() && tensor.Volume(t.Shape) != want && !(i == 4 && tensor.Volume(t.Shape) == m.blocks*m.block) {
			return badInput("input %d has shape %v, %d elements are needed", i, t.Shape, want)
		}
	}
	return nil
}

func inferMatMulNBits(c *Call) error {
	m, err := matMulBitsOf(c)
	if err != nil {
		return err
	}
	if err := c.wantType(0, floatTypes...); err != nil {
		return err
	}
	if err := c.wantType(1, tensor.Uint8); err != nil {
		return err
	}
	if err := c.wantType(2, floatTypes...); err != nil {
		return err
	}
	if err := m.check(c); err != nil {
		return err
	}
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	if len(x.Shape) == 0 || !compatible(x.Shape[len(x.Shape)-1], m.k) {
		return badInput("shape %v, the last axis has K = %d", x.Shape, m.k)
	}
	shape := slices.Clone(x.Shape)
	shape[len(shape)-1] = m.n
	c.setType(x.DType, shape)
	return nil
}

// runMatMulNBits computes x*W^T (+ bias) with W = scale*(code-zero), code by block of inputs. Without zero points
// zero is the middle code.
func runMatMulNBits(c *Call) error {
	m, err := matMulBitsOf(c)
	if err != nil {
		return err
	}
	x, out := c.In[0].Float32s(), c.out(0)
	w := m.weights(c)
	rows := len(x) / m.k
	y := make([]float32, rows*m.n)
	if err := matmul(y, x, w, []int{rows, m.k}, []int{m.k, m.n}); err != nil {
		return err
	}
	if bias := c.in(5); bias != nil {
		b := bias.Float32s()
		for i := range y {
			y[i] += b[i%m.n]
		}
	}
	setFloats(out, y)
	return nil
}

// weights returns the matrix, [K, N].
func (m matMulBits) weights(c *Call) []float32 {
	codes := packed{tensor.Data[uint8](c.In[1]), m.bits, m.blocks * m.block * m.bits / 8}
	scales := c.In[2].Float32s()
	zero := m.zeros(c)
	group := func(k int) int { return k / m.block }
	if order := c.in(4); order != nil {
		at := indices(order)
		group = func(k int) int { return min(max(at[k], 0), m.blocks-1) }
	}
	w := make([]float32, m.k*m.n)
	for n := range m.n {
		for k := range m.k {
			g := group(k)
			w[k*m.n+n] = scales[n*m.blocks+g] * (float32(codes.at(n, k)) - zero(n, g))
		}
	}
	return w
}

// zeros returns the zero point of a block of an output.
func (m matMulBits) zeros(c *Call) func(n, block int) float32 {
	t := c.in(3)
	switch {
	case t == nil:
		return func(int, int) float32 { return float32(int(1) << (m.bits - 1)) }
	case t.DType() == tensor.Uint8:
		p := packed{tensor.Data[uint8](t), m.bits, (m.blocks*m.bits + 7) / 8}
		return func(n, block int) float32 { return float32(p.at(n, block)) }
	}
	floats := t.Float32s()
	return func(n, block int) float32 { return floats[n*m.blocks+block] }
}

// gatherBits is what GatherBlockQuantized reads: rows of a table, the elements of a row in blocks.
type gatherBits struct{ rows, row, bits, block, blocks int }

// gatherBitsOf takes tables of two dimensions whose rows are gathered: embeddings.
func gatherBitsOf(c *Call) (g gatherBits, err error) {
	g = gatherBits{bits: c.Attrs.Int("bits", 4), block: c.Attrs.Int("block_size", 128)}
	t := c.typ(0)
	if len(t.Shape) != 2 || c.Attrs.Int("gather_axis", 0) != 0 || c.Attrs.Int("quantize_axis", 1)%2 == 0 {
		return g, badInput("a table of shape %v, quantized along axis %d and gathered along axis %d: only rows of a matrix quantized along the other axis are", t.Shape, c.Attrs.Int("quantize_axis", 1), c.Attrs.Int("gather_axis", 0))
	}
	if g.block < 16 || g.block&(g.block-1) != 0 || g.bits != 2 && g.bits != 4 && g.bits != 8 {
		return g, badAttr("bits %d in blocks of %d", g.bits, g.block)
	}
	g.rows, g.row = t.Shape[0], t.Shape[1]
	if t.DType == tensor.Uint8 {
		g.row = g.row * 8 / g.bits
	}
	g.blocks = (g.row + g.block - 1) / g.block
	if s := c.typ(2); s.Static() && !slices.Equal(s.Shape, []int{g.rows, g.blocks}) {
		return g, badInput("scales of shape %v for %d rows of %d blocks", s.Shape, g.rows, g.blocks)
	}
	want := g.rows * g.blocks
	if t.DType == tensor.Uint8 {
		want = g.rows * ((g.blocks*g.bits + 7) / 8)
	}
	if z := c.typ(3); c.has(3) && z.Static() && tensor.Volume(z.Shape) != want {
		return g, badInput("zero points of shape %v for %d rows of %d blocks", z.Shape, g.rows, g.blocks)
	}
	return g, nil
}

func inferGatherBlock(c *Call) error {
	for i, types := range [][]tensor.DType{{tensor.Uint8, tensor.Int4, tensor.Uint4}, {tensor.Int32, tensor.Int64}, floatTypes} {
		if err := c.wantType(i, types...); err != nil {
			return err
		}
	}
	c.OutType[0] = Type{DType: c.typ(2).DType}
	if !c.typ(0).Static() {
		return nil
	}
	g, err := gatherBitsOf(c)
	if err != nil {
		return err
	}
	if i := c.Types[1]; i.Known {
		c.setType(c.typ(2).DType, append(slices.Clone(i.Shape), g.row))
	}
	return nil
}

// runGatherBlock looks rows up: scale*(code-zero).
func runGatherBlock(c *Call) error {
	g, err := gatherBitsOf(c)
	if err != nil {
		return err
	}
	code, zero := g.codes(c.In[0], g.row), g.zeros(c)
	scales := c.In[2].Float32s()
	out := make([]float32, 0, c.In[1].Len()*g.row)
	for _, r := range indices(c.In[1]) {
		if r < 0 {
			r += g.rows
		}
		if r < 0 || r >= g.rows {
			return badInput("index %d of a table of %d rows", r, g.rows)
		}
		for k := range g.row {
			b := k / g.block
			out = append(out, scales[r*g.blocks+b]*float32(code(r, k)-zero(r, b)))
		}
	}
	setFloats(c.out(0), out)
	return nil
}

// codes reads a table of so many codes a row, packed or of a type of 4 bits.
func (g gatherBits) codes(t *tensor.Tensor, row int) func(r, i int) int {
	if t.DType() == tensor.Uint8 {
		p := packed{tensor.Data[uint8](t), g.bits, (row*g.bits + 7) / 8}
		return p.at
	}
	values := t.Float32s()
	return func(r, i int) int { return int(values[r*row+i]) }
}

// zeros reads the zero points; without any it is the middle code of packed tables, 0 of others.
func (g gatherBits) zeros(c *Call) func(r, block int) int {
	if z := c.in(3); z != nil {
		return g.codes(z, g.blocks)
	}
	middle := 0
	if c.In[0].DType() == tensor.Uint8 {
		middle = 1 << (g.bits - 1)
	}
	return func(int, int) int { return middle }
}

func gatherBlockSamples(s *Samples) bool { return !s.isBatched(0) && s.isBatched(1) }
