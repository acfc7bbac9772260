package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	recurrent("LSTM", 4, 8, 3, []string{"Sigmoid", "Tanh", "Tanh"}, lstmStep).is(plain, inputs(Data, Weights, Weights, Bias, Index, Data), tensors, batch(recurrentSamples), weightAxes(recurrentWeightAxes), macs(recurrentMACs)),
	recurrent("GRU", 3, 6, 2, []string{"Sigmoid", "Tanh"}, gruStep).is(plain, inputs(Data, Weights, Weights, Bias, Index, Data), tensors, batch(recurrentSamples), weightAxes(recurrentWeightAxes), macs(recurrentMACs)),
	recurrent("RNN", 1, 6, 2, []string{"Tanh"}, rnnStep).is(plain, inputs(Data, Weights, Weights, Bias, Index, Data), tensors, batch(recurrentSamples), weightAxes(recurrentWeightAxes), macs(recurrentMACs)),
)

// cell is one direction of a recurrent layer while it runs. Matrices are
// row-major; gates stand one behind another.
type cell struct {
	input, hidden, batch int
	w, r                 []float32 // [gates*hidden, input] and [gates*hidden, hidden]
	wb, rb               []float32 // biases [gates*hidden], nil for none
	peepholes            []float32 // [3*hidden], nil for none
	f                    []func(float32) float32
	resetFirst           bool      // GRU: the reset gate multiplies h, not h's product
	coupled              bool      // LSTM: the forget gate is one less the input gate
	h, c                 []float32 // state [batch, hidden]
	x                    []float32 // products with the input at this step, [batch, gates*hidden]
	hr                   []float32 // products with the state, of the same shape
}

// recurrent makes an operator that walks over a sequence [steps, batch, input]
// with so many gates.
func recurrent(name string, gates, maxIn, outs int, activations []string, step func(c *cell, b int)) spec {
	return spec{name: name, min: 3, max: maxIn, outs: outs,
		infer: func(c *Call) error { return inferRecurrent(c, gates) },
		run:   func(c *Call) error { return runRecurrent(c, gates, activations, step) }}
}

func directions(a Attrs) (int, error) {
	switch d := a.String("direction", "forward"); d {
	case "forward", "reverse":
		return 1, nil
	case "bidirectional":
		return 2, nil
	default:
		return 0, badAttr("direction is %q", d)
	}
}

// inferRecurrent checks the shapes: X [steps, batch, input], W [directions,
// gates*hidden, input], R, B, lengths, initial h and c, peepholes.
func inferRecurrent(c *Call, gates int) error {
	for i := range c.Types {
		want := []tensor.DType{tensor.Float32, tensor.Float16, tensor.BFloat16}
		if i == 4 {
			want = []tensor.DType{tensor.Int32}
		}
		if err := c.wantType(i, want...); err != nil {
			return err
		}
	}
	dirs, err := directions(c.Attrs)
	if err != nil {
		return err
	}
	if c.Attrs.Int("layout", 0) != 0 {
		return badAttr("layout 1, batch first, is not supported")
	}
	for i := range c.OutType {
		c.OutType[i] = Type{DType: c.Types[0].DType}
	}
	x, r := c.Types[0], c.Types[2]
	if !x.Known || !r.Static() {
		return nil
	}
	if len(x.Shape) != 3 || len(r.Shape) != 3 {
		return badInput("input of shape %v, recurrence weights of shape %v", x.Shape, r.Shape)
	}
	hidden, batch := r.Shape[2], x.Shape[1]
	for i, want := range [][]int{x.Shape, {dirs, gates * hidden, x.Shape[2]}, {dirs, gates * hidden, hidden}, {dirs, 2 * gates * hidden}, {batch},
		{dirs, batch, hidden}, {dirs, batch, hidden}, {dirs, 3 * hidden}} {
		if t := c.typ(i); t.Known && (len(t.Shape) != len(want) || !slices.EqualFunc(t.Shape, want, compatible)) {
			return badInput("input %d has shape %v, should have %v", i, t.Shape, want)
		}
	}
	if hidden < 1 {
		return badInput("no hidden units")
	}
	for i := range c.OutType {
		shape := []int{dirs, batch, hidden}
		if i == 0 {
			shape = []int{x.Shape[0], dirs, batch, hidden}
		}
		c.OutType[i] = Type{DType: x.DType, Shape: shape, Known: true}
	}
	return nil
}

func runRecurrent(c *Call, gates int, defaults []string, step func(c *cell, b int)) error {
	steps, batch, input := c.Types[0].Shape[0], c.Types[0].Shape[1], c.Types[0].Shape[2]
	hidden := c.Types[2].Shape[2]
	dirs, err := directions(c.Attrs)
	if err != nil {
		return err
	}
	lengths := slices.Repeat([]int{steps}, batch)
	if t := c.in(4); t != nil {
		lengths = indices(t)
		if slices.ContainsFunc(lengths, func(n int) bool { return n < 0 || n > steps }) {
			return badInput("lengths %v of %d steps", lengths, steps)
		}
	}
	for d := range dirs {
		functions, err := cellFunctions(c.Attrs, defaults, d, dirs)
		if err != nil {
			return err
		}
		size := gates * hidden
		l := &cell{input: input, hidden: hidden, batch: batch, f: functions,
			w: part32(c.In[1], d, size*input), r: part32(c.In[2], d, size*hidden),
			h: make([]float32, batch*hidden), c: make([]float32, batch*hidden), x: make([]float32, batch*size), hr: make([]float32, batch*size),
			resetFirst: c.Attrs.Int("linear_before_reset", 0) == 0, coupled: c.Attrs.Int("input_forget", 0) != 0}
		if b := part32(c.in(3), d, 2*size); b != nil {
			l.wb, l.rb = b[:size], b[size:]
		}
		copy(l.h, part32(c.in(5), d, batch*hidden))
		if gates == 4 {
			copy(l.c, part32(c.in(6), d, batch*hidden))
			l.peepholes = part32(c.in(7), d, 3*hidden)
		}
		backward := d == 1 || c.Attrs.String("direction", "forward") == "reverse"
		l.walk(c.In[0].F32(), c.out(0).F32()[d*batch*hidden:], dirs*batch*hidden, lengths, backward, step)
		for i, state := range [][]float32{l.h, l.c} {
			if len(c.Out) > i+1 {
				copy(c.out(i + 1).F32()[d*batch*hidden:], state)
			}
		}
	}
	return nil
}

// part32 returns part i of n elements each, nil for an omitted tensor.
func part32(t *tensor.Tensor, i, n int) []float32 {
	if t == nil {
		return nil
	}
	return t.F32()[i*n : (i+1)*n]
}

// walk goes over the sequence, for each element of the batch up to its length,
// and writes every state to y, which is stride from step to step.
func (l *cell) walk(x, y []float32, stride int, lengths []int, backward bool, step func(c *cell, b int)) {
	size := len(l.w) / max(1, l.input)
	if l.input == 0 {
		size = len(l.r) / l.hidden
	}
	steps := 0
	if l.batch > 0 {
		steps = slices.Max(lengths)
	}
	for t := range steps {
		asm.SgemmF32(false, true, l.batch, size, l.hidden, 1, l.h, l.hidden, l.r, l.hidden, 0, l.hr, size)
		for b := range l.batch {
			if t >= lengths[b] {
				continue
			}
			at := t
			if backward {
				at = lengths[b] - 1 - t
			}
			row := l.x[b*size:][:size]
			asm.SgemmF32(false, true, 1, size, l.input, 1, x[(at*l.batch+b)*l.input:][:l.input], l.input, l.w, l.input, 0, row, size)
			for i := range l.wb {
				row[i] += l.wb[i]
			}
			step(l, b)
			copy(y[at*stride+b*l.hidden:], l.h[b*l.hidden:][:l.hidden])
		}
	}
}

// recurrentBias is the bias of the recurrence for gate element i.
func (l *cell) recurrentBias(i int) float32 {
	if l.rb == nil {
		return 0
	}
	return l.rb[i]
}

// peephole is the weight with which gate number g looks at the cell's state.
func (l *cell) peephole(g, i int) float32 {
	if l.peepholes == nil {
		return 0
	}
	return l.peepholes[g*l.hidden+i]
}

// lstmStep has the gates input, output, forget and cell.
func lstmStep(l *cell, b int) {
	n := l.hidden
	h, c, x, hr := l.h[b*n:][:n], l.c[b*n:][:n], l.x[b*4*n:][:4*n], l.hr[b*4*n:][:4*n]
	for i := range n {
		sum := func(gate int) float32 { return x[gate*n+i] + hr[gate*n+i] + l.recurrentBias(gate*n+i) }
		in := l.f[0](sum(0) + float32(l.peephole(0, i)*c[i]))
		forget := 1 - in
		if !l.coupled {
			forget = l.f[0](sum(2) + float32(l.peephole(2, i)*c[i]))
		}
		c[i] = float32(forget*c[i]) + float32(in*l.f[1](sum(3)))
		out := l.f[0](sum(1) + float32(l.peephole(1, i)*c[i]))
		h[i] = out * l.f[2](c[i])
	}
}

// gruStep has the gates update, reset and hidden.
func gruStep(l *cell, b int) {
	n := l.hidden
	h, x, hr := l.h[b*n:][:n], l.x[b*3*n:][:3*n], l.hr[b*3*n:][:3*n]
	gate := func(g, i int) float32 { return l.f[0](x[g*n+i] + hr[g*n+i] + l.recurrentBias(g*n+i)) }
	last := hr[2*n:]
	if l.resetFirst {
		reset := make([]float32, n)
		for i := range n {
			reset[i] = gate(1, i) * h[i]
		}
		asm.SgemmF32(false, true, 1, n, n, 1, reset, n, l.r[2*n*n:], n, 0, last, n)
	}
	next := make([]float32, n)
	for i := range n {
		inner := last[i] + l.recurrentBias(2*n+i)
		if !l.resetFirst {
			inner *= gate(1, i)
		}
		z := gate(0, i)
		next[i] = float32((1-z)*l.f[1](x[2*n+i]+inner)) + float32(z*h[i])
	}
	copy(h, next)
}

func rnnStep(l *cell, b int) {
	n := l.hidden
	for i := range n {
		l.h[b*n+i] = l.f[0](l.x[b*n+i] + l.hr[b*n+i] + l.recurrentBias(i))
	}
}

// cellFunctions returns the activation functions of direction d, limited by
// the clip attribute.
func cellFunctions(a Attrs, defaults []string, d, dirs int) ([]func(float32) float32, error) {
	names := a.Strings("activations")
	if names == nil {
		names = slices.Repeat(defaults, dirs)
	}
	if len(names) != dirs*len(defaults) {
		return nil, badAttr("activations are %q, %d are needed", names, dirs*len(defaults))
	}
	if a.Floats("activation_alpha") != nil || a.Floats("activation_beta") != nil {
		return nil, badAttr("activation_alpha and activation_beta are not supported")
	}
	limit := a.Float("clip", 0)
	var all []func(float32) float32
	for _, name := range names[d*len(defaults):][:len(defaults)] {
		f, ok := map[string]func(float64) float64{"Sigmoid": sigmoid, "Tanh": math.Tanh, "Relu": func(x float64) float64 { return max(x, 0) },
			"Softsign": func(x float64) float64 { return x / (1 + math.Abs(x)) }, "Softplus": softplus}[name]
		if !ok {
			return nil, badAttr("activation %q is not supported", name)
		}
		all = append(all, func(x float32) float32 {
			if limit > 0 {
				x = min(max(x, -limit), limit)
			}
			return float32(f(float64(x)))
		})
	}
	return all, nil
}
