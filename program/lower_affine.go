package program

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// affineNode is an integer convolution or product: x of bytes by a matrix of constant weights.
type affineNode struct {
	node    *graph.Node
	x       *quant
	weights matrix
	m       int // output channels
	bias    []int32
	scales  []float32 // of the sums, by output channel
}

// scaleSums sets the scales of the sums.
func (a *affineNode) scaleSums() {
	a.scales = make([]float32, a.m)
	for i := range a.scales {
		a.scales[i] = a.x.Scale * a.weights.scales[i]
	}
}

// setBias reads the bias, to which the sums' scales belong already: int32
// with these scales (as quantizers write it), or any floats, which are rounded.
func (b *builder) setBias(a *affineNode, v *graph.Value) bool {
	a.scaleSums()
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
	a.scaleSums()
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

// rescaled returns the factors from the sums to bytes of t.
func (a *affineNode) rescaled(t target) []float32 {
	out := make([]float32, a.m)
	for i := range out {
		out[i] = ratio(a.x.Scale, a.weights.scales[i], t.Scale)
	}
	return out
}

// affine returns the step's part that all affine steps have, but for the weights' order.
func (a *affineNode) affine(e *epilogue) Affine {
	return Affine{Weights: a.weights.view(), Bias: a.bias, ZeroIn: a.x.Zero, Requant: e.req, Scales: a.scales, Residual: e.residual}
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
	a := affineNode{node: n, x: x, weights: w, m: w.shape[0]}
	if !ok || w.shape[1]*win.Groups != b.shape(in)[1] || !a.weights.along(0, a.m) {
		return false
	}
	if fixed == nil && !b.setBias(&a, bias) || fixed != nil && !b.setIntegerBias(&a, bias) {
		return false
	}
	if tensor.Volume(w.shape[1:]) > maxSumLength {
		b.why = "its sums do not fit 32 bits"
		return false
	}
	src := b.room(b.form(in, x.forms, Last), win.Pad, uint32(bits(x.Zero)))
	e := b.epilogueOf(&a, y, fixed, fixed == nil)
	c := &Conv{In: src, Out: b.resultOf(e, Last), Geometry: win, Affine: a.affine(e)}
	c.Weights = c.Weights.convolution(win, a.m, w.shape[1])
	s := b.step("Conv", Integer, c).of(n).of(e.nodes...).labelled()
	s.Ops = 2 * c.Out.H * c.Out.W * tensor.Volume(w.shape)
	s.Slow = w.shape[1] == 1
	return true
}

// epilogue is what happens to the sums.
type epilogue struct {
	out      *graph.Value
	nodes    []*graph.Node
	req      *Requant // to bytes; nil: to floats
	Coding            // of the bytes
	residual *Residual
}

// epilogueOf decides what becomes of the sums: bytes, with a residual added if there is
// one (and that is wanted), or floats if y is not quantized.
func (b *builder) epilogueOf(a *affineNode, y *graph.Value, fixed *target, residual bool) *epilogue {
	t := fixed
	if t == nil {
		found, ok := b.targetOf(y)
		if !ok {
			b.why = ""
			return &epilogue{out: y}
		}
		t = &found
	}
	if t.Scale == 0 { // the operator gives floats
		return &epilogue{out: t.out}
	}
	e := &epilogue{out: t.out, nodes: t.nodes, Coding: t.Coding, req: b.rescale(a.node, a.rescaled(*t), *t)}
	b.claimTarget(*t)
	if residual {
		b.addResidual(e, *t)
	}
	return e
}

// addResidual takes an addition behind the convolution's bytes into its epilogue.
func (b *builder) addResidual(e *epilogue, own target) {
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
	e.residual = &Residual{In: b.form(o, r.forms, Last), Sum: b.addition(sum, c, r.Coding, false, t)}
	e.out, e.Coding = t.out, t.Coding
	e.nodes = append(append(e.nodes, dq, sum), t.nodes...)
	b.done[dq], b.done[sum] = true, true
	b.claimTarget(t)
}

// resultOf makes the tensor for what an epilogue gives.
func (b *builder) resultOf(e *epilogue, l Layout) *Tensor {
	if e.req == nil {
		return b.floatResult(e.out, l)
	}
	dst := b.coded(b.tensor(e.Type, b.shape(e.out), l), e.out, e.Coding)
	b.value(e.out).in[l] = dst
	return dst
}

// quantizedProduct lowers a Gemm or MatMul of quantized operands.
func (b *builder) quantizedProduct(n *graph.Node, p product) bool {
	x, w, ok := b.quantizedOperands(p.a, p.b)
	return ok && b.integerProduct(n, p, x, w, nil)
}

// integerProduct adds the step of a product; fixed as in integerConv.
func (b *builder) integerProduct(n *graph.Node, p product, x *quant, w matrix, fixed *target) bool {
	a := affineNode{node: n, x: x, weights: w, m: p.n}
	axis := 1
	if p.transB {
		axis = 0
	}
	if p.k > maxSumLength {
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
	src := b.rows(b.form(p.a, x.forms, Plain))
	e := b.epilogueOf(&a, y, fixed, false)
	for _, add := range extra {
		b.done[add] = true
	}
	m := &MatMul{In: src, Out: b.pin(b.resultOf(e, Plain)), K: p.k, N: p.n, Affine: a.affine(e)}
	m.Weights = m.Weights.product(p.k, p.n, p.transB)
	s := b.step("MatMul", Integer, m).of(n).of(extra...).of(e.nodes...).labelled()
	s.Ops = 2 * m.Out.W * p.k * p.n
	return true
}
