package engine

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// affineNode is an integer convolution or product: x of bytes by a matrix of constant weights.
type affineNode struct {
	node    *graph.Node
	x       *quant
	weights matrix
	m, c    int // output and input channels
	bias    []int32
	scales  []float32 // of the sums, by output channel
}

// setBias reads the bias, to which the sums' scales belong already: int32
// with these scales (as quantizers write it), or any floats, which are rounded.
func (b *builder) setBias(a *affineNode, v *graph.Value) bool {
	a.scales = make([]float32, a.m)
	for i := range a.scales {
		a.scales[i] = a.x.scale * a.weights.scales[i]
	}
	if v == nil {
		return true
	}
	bias := b.floats(v)
	if len(bias) == 1 {
		bias = slices.Repeat(bias, a.m)
	}
	if len(bias) != a.m {
		return false
	}
	a.bias = make([]int32, a.m)
	for i, x := range bias {
		q := math.RoundToEven(float64(x) / float64(a.scales[i]))
		if !(math.Abs(q) < 1<<31) {
			b.why = "its bias does not fit 32 bits"
			return false
		}
		a.bias[i] = int32(q)
	}
	return true
}

// setIntegerBias reads an int32 bias as it is.
func (b *builder) setIntegerBias(a *affineNode, v *graph.Value) bool {
	a.scales = make([]float32, a.m)
	for i := range a.scales {
		a.scales[i] = a.x.scale * a.weights.scales[i]
	}
	if v == nil {
		return true
	}
	t := b.constant(v)
	if t == nil || t.DType() != tensor.Int32 || t.Len() != a.m {
		return false
	}
	a.bias = tensor.Data[int32](t)
	return true
}

// pack packs n weights, which arrange brings into the order of a convolution: element arrange(i)
// is weight i. With nil they are all in this order.
func (a *affineNode) pack(b *builder, kind string, spec asm.ConvSpec, n int, arrange func(i int) int) *asm.ConvS8 {
	return packedFor(b.net, a.node, kind, func() *asm.ConvS8 {
		conv, err := a.packed(spec, n, arrange)
		b.fail(a.node, err)
		return conv
	})
}

func (a *affineNode) packed(spec asm.ConvSpec, n int, arrange func(i int) int) (*asm.ConvS8, error) {
	if a.weights.symmetric() {
		return asm.PackConvS8(arranged(a.weights.s8, n, arrange), a.bias, a.x.zero, a.m, a.c, spec)
	}
	zeros := narrowed[uint8](a.weights.zeros)
	u8 := a.weights.u8
	if u8 == nil { // signed with zero points: the same moved up by 128
		u8 = make([]uint8, len(a.weights.s8))
		for i, v := range a.weights.s8 {
			u8[i] = uint8(v) ^ 0x80
		}
		for i := range zeros {
			zeros[i] ^= 0x80
		}
	}
	return asm.PackConvU8(arranged(u8, n, arrange), zeros, a.bias, a.x.zero, a.m, a.c, spec)
}

// arranged returns n elements of x, arrange(i) at i; x itself for nil.
func arranged[T any](x []T, n int, arrange func(i int) int) []T {
	if arrange == nil {
		return x
	}
	out := make([]T, n)
	for i := range out {
		out[i] = x[arrange(i)]
	}
	return out
}

// rescaled returns the factors from the sums to bytes of t.
func (a *affineNode) rescaled(t target) []float32 {
	out := make([]float32, a.m)
	for i := range out {
		out[i] = ratio(a.x.scale, a.weights.scales[i], t.scale)
	}
	return out
}

// quantizedOperands returns an input and constant weights if they are quantized.
func (b *builder) quantizedOperands(input, weights *graph.Value) (x *quant, w matrix, ok bool) {
	if x = b.quantOf(input); x == nil {
		b.why = "its input is not quantized"
		return nil, w, false
	}
	if w, ok = b.weightsOf(weights); !ok {
		b.why = "its weights are not quantized to 8 bits or less"
	}
	return x, w, ok
}

// quantizedConv lowers a Conv whose input and weights are quantized.
func (b *builder) quantizedConv(n *graph.Node) bool {
	x, w, ok := b.quantizedOperands(n.In(0), n.In(1))
	return ok && b.integerConv(n, n.In(0), x, w, n.In(2), nil)
}

// integerConv adds the step of a convolution; fixed is where its result goes, nil to look behind it.
func (b *builder) integerConv(n *graph.Node, in *graph.Value, x *quant, w matrix, bias *graph.Value, fixed *target) bool {
	y := n.Outputs[0]
	win, ok := windowOf(n, b.shape(in), b.shape(y), w.shape[2:])
	a := affineNode{node: n, x: x, weights: w, m: w.shape[0], c: b.shape(in)[1]}
	if !ok || w.shape[1]*win.groups != a.c || !a.weights.along(0, a.m) {
		return false
	}
	if fixed == nil && !b.setBias(&a, bias) || fixed != nil && !b.setIntegerBias(&a, bias) {
		return false
	}
	if tensor.Volume(w.shape[1:]) > asm.MaxSumLength {
		b.why = "its sums do not fit 32 bits"
		return false
	}
	conv := a.pack(b, "s8", win.convSpec(), tensor.Volume(w.shape), nil)
	src := b.padded(b.form(in, x.forms, last), win.pad, uint32(x.zero))
	e := b.epilogueOf(&a, y, fixed, fixed == nil)
	if b.err != nil {
		return true
	}
	dst := b.resultOf(e, last)
	s := b.add(convS8Step(dst, src, conv, e))
	s.of(n).of(e.nodes...).reading(src)
	s.name = b.label(s.nodes...)
	s.ops = 2 * dst.h * dst.w * tensor.Volume(w.shape)
	s.slow = w.shape[1] == 1
	if e.add != nil {
		s.reading(e.add)
	}
	return true
}

// epilogue is what happens to the sums.
type epilogue struct {
	out    *graph.Value
	nodes  []*graph.Node
	req    *asm.Requant // to bytes; nil: to floats by scales
	scales []float32
	add    *buffer // the residual, in bytes
	spec   asm.AddU8Spec
}

// epilogueOf decides what becomes of the sums: bytes, with a residual added if there is
// one (and that is wanted), or floats if y is not quantized.
func (b *builder) epilogueOf(a *affineNode, y *graph.Value, fixed *target, residual bool) *epilogue {
	t := fixed
	if t == nil {
		found, ok := b.targetOf(y)
		if !ok {
			b.why = ""
			return &epilogue{out: y, scales: a.scales}
		}
		t = &found
	}
	e := &epilogue{out: t.out, nodes: t.nodes, req: b.rescale(a.node, a.rescaled(*t), *t)}
	b.claimTarget(*t)
	if residual {
		b.addResidual(e, a, *t)
	}
	return e
}

// addResidual takes an addition behind the convolution's bytes into its epilogue.
func (b *builder) addResidual(e *epilogue, a *affineNode, own target) {
	dq := b.single(own.out)
	if dq == nil || dq.Op != "DequantizeLinear" || b.done[dq] {
		return
	}
	c, ok := b.codingOf(dq.In(1), dq.In(2), b.typeOf(own.out).DType)
	v := dq.Outputs[0]
	sum := b.single(v)
	if !ok || sum == nil || sum.Op != "Add" || b.done[sum] {
		return
	}
	o := b.addend(sum, v)
	if o == nil || b.quantOf(o) == nil {
		return
	}
	t, ok := b.targetOf(sum.Outputs[0])
	if !ok {
		return
	}
	r := b.quantOf(o)
	e.add = b.form(o, r.forms, last)
	e.spec = b.addition(sum, c, r.coding, false, t)
	e.out = t.out
	e.nodes = append(append(e.nodes, dq, sum), t.nodes...)
	b.done[dq], b.done[sum] = true, true
	b.claimTarget(t)
}

// resultOf makes the buffer for what an epilogue gives.
func (b *builder) resultOf(e *epilogue, o order) *buffer {
	d := tensor.Uint8
	if e.req == nil {
		d = tensor.Float32
	}
	dst := b.buffer(d, b.shape(e.out), o)
	b.value(e.out).in[o] = dst
	return dst
}

// convS8Step is cut by rows or, where there is one row only, by output channels.
func convS8Step(dst, src *buffer, conv *asm.ConvS8, e *epilogue) *step {
	if e.req == nil {
		return rowStep("Conv", dst, func(c *call, w *worker, s, y0, y1 int) {
			conv.RunF32(dst.f32(c, s), src.u8(c, s), e.scales, y0, y1)
		}).as(Integer)
	}
	residual := func(c *call, w *worker, s int) *asm.Residual {
		if e.add == nil {
			return nil
		}
		w.bytesToAdd = asm.Residual{Image: e.add.u8(c, s), Add: e.spec}
		return &w.bytesToAdd
	}
	if dst.h > 1 {
		return rowStep("Conv", dst, func(c *call, w *worker, s, y0, y1 int) {
			conv.Run(dst.u8(c, s), src.u8(c, s), e.req, residual(c, w, s), y0, y1)
		}).as(Integer)
	}
	return panelStep(dst, conv.Panels(), func(c *call, w *worker, s, p0, p1 int) {
		conv.RunPanels(dst.u8(c, s), src.u8(c, s), e.req, residual(c, w, s), 0, 1, p0, p1)
	}).as(Integer)
}

// quantizedProduct lowers a Gemm or MatMul of quantized operands.
func (b *builder) quantizedProduct(n *graph.Node, p product) bool {
	x, w, ok := b.quantizedOperands(p.a, p.b)
	return ok && b.integerProduct(n, p, x, w, nil)
}

// integerProduct adds the step of a product; fixed as in integerConv.
func (b *builder) integerProduct(n *graph.Node, p product, x *quant, w matrix, fixed *target) bool {
	a := affineNode{node: n, x: x, weights: w, m: p.n, c: p.k}
	axis := 1
	if p.transB {
		axis = 0
	}
	if p.k > asm.MaxSumLength {
		b.why = "its sums do not fit 32 bits"
		return false
	}
	y, bias, extra := n.Outputs[0], p.c, []*graph.Node(nil)
	if bias == nil && fixed == nil { // MatMul, then Add
		if add := b.single(y); add != nil && add.Op == "Add" && b.channelConst(add, y, p.n, b.rank(y)-1) != nil {
			y, bias, extra = add.Outputs[0], other(add, y), []*graph.Node{add}
		}
	}
	if !a.weights.along(axis, a.m) || fixed == nil && !b.setBias(&a, bias) || fixed != nil && !b.setIntegerBias(&a, bias) {
		return false
	}
	arrange := func(i int) int { return i%p.k*p.n + i/p.k }
	if p.transB {
		arrange = nil
	}
	gemm := a.pack(b, "s8", asm.ConvSpec{KH: 1, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}, p.k*p.n, arrange)
	src := b.rows(b.form(p.a, x.forms, plain))
	e := b.epilogueOf(&a, y, fixed, false)
	if b.err != nil {
		return true
	}
	for _, add := range extra {
		b.done[add] = true
	}
	dst := b.pin(b.resultOf(e, plain))
	panels := gemm.Panels()
	if e.req == nil {
		panels = 1 // floats are not made by panels
	}
	s := b.add(productStep(dst, panels, func(c *call, first, rows, p0, p1 int) {
		from := src.off + first*src.sampleStep
		image := asm.Rows(c.u8[from:from+(rows-1)*p.lda(src)+p.k+slack], rows, p.k, p.lda(src))
		to := dst.off + first*dst.sampleStep
		if e.req == nil {
			gemm.RunF32(asm.Rows(c.f32[to:to+rows*p.n], rows, p.n, p.n), image, e.scales, 0, 1)
			return
		}
		gemm.RunPanels(asm.Rows(c.u8[to:to+rows*p.n], rows, p.n, p.n), image, e.req, nil, 0, 1, p0, p1)
	}).as(Integer))
	s.of(n).of(extra...).of(e.nodes...).reading(src)
	s.name = b.label(s.nodes...)
	s.ops = 2 * dst.w * p.k * p.n
	return true
}
