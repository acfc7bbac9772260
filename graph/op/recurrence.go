package op

import (
	"cmp"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Attention in linear time and its convolution: both walk over the steps of a
// sequence [batch, steps, ...] with a state that they are given and return.
var _ = register(
	spec{name: "LinearAttention", min: 3, max: 6, outs: 2, infer: inferLinearAttention, run: runLinearAttention, anyType: true}.
		is(plain, inputs(Data), tensors, channels(-1), batch(everyInput)),
	spec{name: "CausalConvWithState", min: 2, max: 4, outs: 2, infer: inferCausalConv, run: runCausalConv, anyType: true}.
		is(plain, inputs(Data, Weights, Bias, Data), tensors, channels(1), batch(causalConvSamples)),
)

// everyInput is the rule of operators all of whose inputs hold samples.
func everyInput(s *Samples) bool {
	for i := range s.Types {
		if s.has(i) && !s.isBatched(i) {
			return false
		}
	}
	return true
}

func causalConvSamples(s *Samples) bool {
	return s.isBatched(0) && !s.isBatched(1) && !s.isBatched(2) && (!s.has(3) || s.isBatched(3))
}

func inferLinearAttention(c *Call) error {
	for i := range c.Types {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
	}
	q, k, v := c.Types[0], c.Types[1], c.Types[2]
	heads, kvHeads := c.Attrs.Int("q_num_heads", 0), c.Attrs.Int("kv_num_heads", 0)
	if heads < 1 || kvHeads < 1 || heads%kvHeads != 0 {
		return badAttr("%d heads of queries, %d of keys", heads, kvHeads)
	}
	state := q.DType
	if c.has(3) {
		state = c.typ(3).DType
	}
	for i, d := range []tensor.DType{q.DType, state} {
		if i < len(c.OutType) {
			c.OutType[i] = Type{DType: d}
		}
	}
	if !q.Static() || !k.Static() || !v.Static() {
		return nil
	}
	if len(q.Shape) != 3 || len(k.Shape) != 3 || len(v.Shape) != 3 || !slices.Equal(q.Shape[:2], k.Shape[:2]) || !slices.Equal(k.Shape[:2], v.Shape[:2]) ||
		q.Shape[2]%heads != 0 || k.Shape[2]%kvHeads != 0 || v.Shape[2]%kvHeads != 0 || q.Shape[2]/heads != k.Shape[2]/kvHeads {
		return badInput("queries %v, keys %v and values %v", q.Shape, k.Shape, v.Shape)
	}
	batch, steps, size, vSize := q.Shape[0], q.Shape[1], k.Shape[2]/kvHeads, v.Shape[2]/kvHeads
	shapes := [][]int{{batch, steps, heads * vSize}, {batch, kvHeads, size, vSize}}
	for i := range c.OutType {
		c.OutType[i].Shape, c.OutType[i].Known = shapes[i], true
	}
	rows := func(i int, widths ...int) error {
		if t := c.typ(i); t.Static() && (len(t.Shape) != 3 || t.Shape[0] != batch || t.Shape[1] != steps || !slices.Contains(widths, t.Shape[2])) {
			return badInput("input %d has shape %v for keys %v", i, t.Shape, k.Shape)
		}
		return nil
	}
	if t := c.typ(3); t.Static() && !slices.Equal(t.Shape, shapes[1]) {
		return badInput("a state of shape %v, not %v", t.Shape, shapes[1])
	}
	if err := rows(4, kvHeads, kvHeads*size); err != nil {
		return err
	}
	return rows(5, 1, kvHeads)
}

// updateRule reports whether the state decays, and whether what it holds is taken off first.
func updateRule(c *Call) (gated, delta bool, err error) {
	rule := c.Attrs.String("update_rule", "gated_delta")
	gated, delta = rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
	switch {
	case !gated && !delta && rule != "linear":
		return false, false, badAttr("update_rule is %q", rule)
	case gated && c.in(4) == nil || delta && c.in(5) == nil:
		return false, false, badInput("update_rule %q without its decay or rate", rule)
	}
	return gated, delta, nil
}

// runLinearAttention keeps a matrix S of keys by values for every head: it decays
// by exp(g), k times what v differs from what it holds is added, and q reads it.
func runLinearAttention(c *Call) error {
	gated, delta, err := updateRule(c)
	if err != nil {
		return err
	}
	heads, kvHeads := c.Attrs.Int("q_num_heads", 0), c.Attrs.Int("kv_num_heads", 0)
	q, k, v := c.In[0].Float64s(), c.In[1].Float64s(), c.In[2].Float64s()
	shape := c.Types[1].Shape
	batch, steps, size, vSize := shape[0], shape[1], shape[2]/kvHeads, c.Types[2].Shape[2]/kvHeads
	scale := cmp.Or(float64(c.Attrs.Float("scale", 0)), 1/math.Sqrt(float64(size)))
	optional := func(i int) (x []float64, width int) {
		if t := c.in(i); t != nil {
			return t.Float64s(), t.Shape()[t.Rank()-1]
		}
		return nil, 0
	}
	state, _ := optional(3)
	if state == nil {
		state = make([]float64, batch*kvHeads*size*vSize)
	}
	decay, decayWidth := optional(4)
	beta, betaWidth := optional(5)
	y := make([]float64, batch*steps*heads*vSize)
	change := make([]float64, vSize)
	for b := range batch {
		for t := range steps {
			at := b*steps + t
			for h := range kvHeads {
				s := state[(b*kvHeads+h)*size*vSize:][:size*vSize]
				key, value := k[(at*kvHeads+h)*size:][:size], v[(at*kvHeads+h)*vSize:][:vSize]
				if gated {
					for i := range size {
						g := decay[at*decayWidth+min(h*(decayWidth/kvHeads)+i%(decayWidth/kvHeads), decayWidth-1)]
						for j := range vSize {
							s[i*vSize+j] *= math.Exp(g)
						}
					}
				}
				rate := 1.0
				if delta {
					rate = beta[at*betaWidth+h%betaWidth]
				}
				remember(s, change, key, value, delta, rate)
				for g := h * (heads / kvHeads); g < (h+1)*(heads/kvHeads); g++ {
					out := y[(at*heads+g)*vSize:][:vSize]
					for i, qi := range q[(at*heads+g)*size:][:size] {
						addScaled(out, scale*qi, s[i*vSize:])
					}
				}
			}
		}
	}
	setFloats(c.out(0), y)
	if len(c.Out) > 1 {
		setFloats(c.out(1), state)
	}
	return nil
}

// remember adds to a state the product of a key and a value or, by the delta rule, of a key and rate times what the value
// differs from what the state holds for it. It overwrites change, of a value's length.
func remember(state, change, key, value []float64, delta bool, rate float64) {
	n := len(value)
	copy(change, value)
	if delta {
		for i, k := range key {
			addScaled(change, -k, state[i*n:])
		}
		for j := range change {
			change[j] *= rate
		}
	}
	for i, k := range key {
		addScaled(state[i*n:][:n], k, change)
	}
}

func inferCausalConv(c *Call) error {
	for i := range c.Types {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
	}
	x, w := c.Types[0], c.Types[1]
	for i := range c.OutType {
		c.OutType[i] = Type{DType: x.DType}
	}
	c.OutType[0] = x
	if !x.Static() || !w.Static() {
		return nil
	}
	if len(x.Shape) != 3 || len(w.Shape) != 3 || w.Shape[0] != x.Shape[1] || w.Shape[1] != 1 || w.Shape[2] < 1 {
		return badInput("weights of shape %v for input of shape %v", w.Shape, x.Shape)
	}
	state := []int{x.Shape[0], x.Shape[1], w.Shape[2] - 1}
	if t := c.typ(3); t.Static() && !slices.Equal(t.Shape, state) {
		return badInput("a state of shape %v, not %v", t.Shape, state)
	}
	if t := c.typ(2); t.Static() && !slices.Equal(t.Shape, x.Shape[1:2]) {
		return badInput("bias of shape %v for %d channels", t.Shape, x.Shape[1])
	}
	if len(c.OutType) > 1 {
		c.OutType[1] = Type{DType: x.DType, Shape: state, Known: true}
	}
	return nil
}

// runCausalConv convolves every channel with a kernel of its own that ends at the
// step; before the first one stands the state, or zeros.
func runCausalConv(c *Call) error {
	x, w := c.In[0].Float64s(), c.In[1].Float64s()
	shape, taps := c.Types[0].Shape, c.Types[1].Shape[2]
	channels, steps := shape[1], shape[2]
	bias, state := make([]float64, channels), make([]float64, shape[0]*channels*(taps-1))
	if t := c.in(2); t != nil {
		bias = t.Float64s()
	}
	if t := c.in(3); t != nil {
		state = t.Float64s()
	}
	activation := c.Attrs.String("activation", "none")
	if !slices.Contains([]string{"none", "silu", "swish"}, activation) {
		return badAttr("activation is %q", activation)
	}
	y := make([]float64, 0, len(x))
	var after []float64
	for i := range shape[0] * channels {
		row := slices.Concat(state[i*(taps-1):(i+1)*(taps-1)], x[i*steps:(i+1)*steps])
		kernel := w[i%channels*taps:][:taps]
		for t := range steps {
			sum := bias[i%channels] + dot(kernel, row[t:])
			if activation != "none" {
				sum *= sigmoid(sum)
			}
			y = append(y, sum)
		}
		after = append(after, row[len(row)-(taps-1):]...)
	}
	setFloats(c.out(0), y)
	if len(c.Out) > 1 {
		setFloats(c.out(1), after)
	}
	return nil
}
