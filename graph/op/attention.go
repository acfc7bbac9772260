package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Attention", min: 3, max: 7, outs: 4, infer: inferAttention, run: runAttention, anyType: true}.
		is(plain, inputs(Data, Data, Data, Param, Data, Data, Index), tensors, channels(-1), macs(attentionMACs), batch(attentionSamples)),
	spec{name: "RotaryEmbedding", min: 3, max: 4, infer: inferRotary, run: runRotary, anyType: true}.
		is(plain, inputs(Data, Param, Param, Index), tensors, tensorScale, batch(rotarySamples)),
)

// attention is what the shapes and attributes of a call say. Its tensors are
// [batch, heads, steps, size], or [batch, steps, heads*size] if they are packed.
type attention struct {
	batch, heads, kvHeads int
	queries, keys         int // steps; keys with those of the past
	past                  int
	size, vSize           int // of a head
	packed                bool
}

// attentionOf reads the shapes; ok is false if one is not known yet.
func attentionOf(c *Call) (a attention, ok bool, err error) {
	q, k, v := c.Types[0], c.Types[1], c.Types[2]
	if !q.Static() || !k.Static() || !v.Static() || c.has(4) && !c.typ(4).Static() {
		return a, false, nil
	}
	a.packed = len(q.Shape) == 3
	if len(q.Shape) != len(k.Shape) || len(q.Shape) != len(v.Shape) || len(q.Shape) != 3 && len(q.Shape) != 4 || c.has(4) != c.has(5) {
		return a, false, badInput("queries %v, keys %v and values %v", q.Shape, k.Shape, v.Shape)
	}
	split := func(s []int, heads int) ([]int, error) {
		if !a.packed {
			return s, nil
		}
		if heads < 1 || s[2]%heads != 0 {
			return nil, badInput("shape %v for %d heads", s, heads)
		}
		return []int{s[0], heads, s[1], s[2] / heads}, nil
	}
	qs, err := split(q.Shape, c.Attrs.Int("q_num_heads", 0))
	if err != nil {
		return a, false, err
	}
	ks, err := split(k.Shape, c.Attrs.Int("kv_num_heads", 0))
	if err != nil {
		return a, false, err
	}
	vs, err := split(v.Shape, c.Attrs.Int("kv_num_heads", 0))
	if err != nil {
		return a, false, err
	}
	if qs[0] != ks[0] || !slices.Equal(ks[:3], vs[:3]) || qs[3] != ks[3] || ks[1] < 1 || qs[1]%ks[1] != 0 {
		return a, false, badInput("queries %v, keys %v and values %v", q.Shape, k.Shape, v.Shape)
	}
	a.batch, a.heads, a.kvHeads, a.queries, a.keys, a.size, a.vSize = qs[0], qs[1], ks[1], qs[2], ks[2], qs[3], vs[3]
	if c.has(4) {
		pk, pv := c.typ(4).Shape, c.typ(5).Shape
		if len(pk) != 4 || len(pv) != 4 || pk[0] != a.batch || pk[1] != a.kvHeads || pk[3] != a.size || !slices.Equal(pk[:3], pv[:3]) || pv[3] != a.vSize {
			return a, false, badInput("past keys %v and values %v for keys %v and values %v", pk, pv, k.Shape, v.Shape)
		}
		a.past = pk[2]
		a.keys += a.past
	}
	return a, true, nil
}

func inferAttention(c *Call) error {
	for i := range 3 {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
	}
	a, ok, err := attentionOf(c)
	if err != nil {
		return err
	}
	types := []tensor.DType{c.Types[0].DType, c.Types[1].DType, c.Types[2].DType, c.Types[0].DType}
	shapes := [][]int{{a.batch, a.heads, a.queries, a.vSize}, {a.batch, a.kvHeads, a.keys, a.size},
		{a.batch, a.kvHeads, a.keys, a.vSize}, {a.batch, a.heads, a.queries, a.keys}}
	if a.packed {
		shapes[0] = []int{a.batch, a.queries, a.heads * a.vSize}
	}
	for i := range c.OutType {
		if c.OutType[i] = (Type{DType: types[i]}); ok {
			c.OutType[i] = Type{DType: types[i], Shape: shapes[i], Known: true}
		}
	}
	if !ok {
		return nil
	}
	if m := c.typ(3); m.Known {
		shape := slices.Clone(m.Shape)
		if len(shape) == 0 || len(shape) > 4 || shape[len(shape)-1] > a.keys {
			return badInput("mask of shape %v for %d keys", m.Shape, a.keys)
		}
		if last := len(shape) - 1; shape[last] < a.keys {
			shape[last] = a.keys // what is missing is masked
		}
		if out, err := broadcast(shapes[3], shape); err != nil || !slices.Equal(out, shapes[3]) {
			return badInput("mask of shape %v for scores of shape %v", m.Shape, shapes[3])
		}
	}
	if n := c.typ(6); n.Static() && !slices.Equal(n.Shape, []int{a.batch}) {
		return badInput("lengths of shape %v for a batch of %d", n.Shape, a.batch)
	}
	return c.wantType(6, tensor.Int64, tensor.Int32)
}

func attentionMACs(c *Call) int64 {
	a, ok, err := attentionOf(c)
	if !ok || err != nil {
		return 0
	}
	return count([]int{a.batch, a.heads, a.queries, a.keys, a.size + a.vSize})
}

// at returns where head h of step i of sample b begins, in a tensor of that many
// heads, steps and elements in a head.
func (a *attention) at(b, h, i, heads, steps, size int) int {
	if a.packed {
		return ((b*steps+i)*heads + h) * size
	}
	return ((b*heads+h)*steps + i) * size
}

// joined returns keys or values [batch, heads, steps, size] with the past before them.
func (a *attention) joined(c *Call, input, past, size int) []float64 {
	x := c.In[input].Float64s()
	steps := a.keys - a.past
	var before []float64
	if a.past > 0 {
		before = c.In[past].Float64s()
	}
	out := make([]float64, 0, a.batch*a.kvHeads*a.keys*size)
	for b := range a.batch {
		for h := range a.kvHeads {
			at := (b*a.kvHeads + h) * a.past * size
			out = append(out, before[at:at+a.past*size]...)
			for i := range steps {
				at := a.at(b, h, i, a.kvHeads, steps, size)
				out = append(out, x[at:at+size]...)
			}
		}
	}
	return out
}

// attentionBias says what is added to a score: minus infinity where a key is not seen.
type attentionBias struct {
	*attention
	mask        []float64 // nil for none
	isBool      bool
	strides     []int // of the mask, in [batch, heads, queries, keys]
	given       int   // keys the mask has
	valid       []int // keys that are no padding, by sample; nil for all
	causal      bool
	left, right int
}

func newAttentionBias(c *Call, a *attention) *attentionBias {
	m := &attentionBias{attention: a, given: a.keys, causal: c.Attrs.Int("is_causal", 0) != 0,
		left: c.Attrs.Int("left_window_size", -1), right: c.Attrs.Int("right_window_size", -1)}
	if t := c.in(3); t != nil {
		m.mask, m.isBool = t.Float64s(), t.DType() == tensor.Bool
		m.strides = broadcastStrides(t.Shape(), make([]int, 4))
		if n := t.Shape()[t.Rank()-1]; n < a.keys {
			m.given = n
			m.strides[3] = 1
		}
	}
	if t := c.in(6); t != nil {
		m.valid = t.Ints()
	}
	return m
}

func (m *attentionBias) at(b, h, i, j int) float64 {
	offset := m.past
	if m.valid != nil {
		if j >= m.valid[b] {
			return math.Inf(-1)
		}
		if m.past == 0 {
			offset = m.valid[b] - m.queries
		}
	}
	p := offset + i
	if m.causal && j > p || m.left >= 0 && j < p-m.left || m.right >= 0 && j > p+m.right || j >= m.given {
		return math.Inf(-1)
	}
	if m.mask == nil {
		return 0
	}
	v := m.mask[b*m.strides[0]+h*m.strides[1]+i*m.strides[2]+j*m.strides[3]]
	switch {
	case !m.isBool:
		return v
	case v == 0:
		return math.Inf(-1)
	}
	return 0
}

// attentionScores is how the weights of one query are made.
type attentionScores struct {
	scale, softcap float64
	show           func(stage int) // called behind each of the stages that an output may ask for
}

// compute sets the weights of all keys for a query.
func (a *attentionScores) compute(scores, query, keys []float64, bias func(key int) float64) {
	for j := range scores {
		scores[j] = a.scale * dot(query, keys[j*len(query):])
	}
	a.show(0)
	if a.softcap != 0 {
		for j, s := range scores {
			scores[j] = a.softcap * math.Tanh(s/a.softcap)
		}
	}
	a.show(1)
	for j, s := range scores {
		if add := bias(j); math.IsInf(add, -1) {
			scores[j] = add // whatever the score
		} else {
			scores[j] = s + add
		}
	}
	a.show(2)
	softmaxOrZero(scores)
	a.show(3)
}

// runAttention is softmax(scale*q*k + bias)*v. A query that sees no key gives zeros.
func runAttention(c *Call) error {
	a, _, err := attentionOf(c)
	if err != nil {
		return err
	}
	k, v := a.joined(c, 1, 4, a.size), a.joined(c, 2, 5, a.vSize)
	for i, x := range [][]float64{nil, k, v} {
		if i > 0 && len(c.Out) > i {
			setFloats(c.out(i), x)
		}
	}
	scale, softcap := float64(c.Attrs.Float("scale", 0)), float64(c.Attrs.Float("softcap", 0))
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(a.size))
	}
	q, bias := c.In[0].Float64s(), newAttentionBias(c, &a)
	y := make([]float64, a.batch*a.heads*a.queries*a.vSize)
	var shown []float64 // the scores, at the stage that is asked for
	mode := c.Attrs.Int("qk_matmul_output_mode", 0)
	if len(c.Out) > 3 {
		shown = make([]float64, a.batch*a.heads*a.queries*a.keys)
	}
	scores := make([]float64, a.keys)
	for b := range a.batch {
		for h := range a.heads {
			kv := (b*a.kvHeads + h/(a.heads/a.kvHeads)) * a.keys
			for i := range a.queries {
				row := ((b*a.heads+h)*a.queries + i) * a.keys
				stages := attentionScores{scale: scale, softcap: softcap, show: func(stage int) {
					if shown != nil && mode == stage {
						copy(shown[row:row+a.keys], scores)
					}
				}}
				stages.compute(scores, q[a.at(b, h, i, a.heads, a.queries, a.size):][:a.size], k[kv*a.size:], func(j int) float64 { return bias.at(b, h, i, j) })
				out := y[a.at(b, h, i, a.heads, a.queries, a.vSize):][:a.vSize]
				for j, p := range scores {
					if p != 0 {
						addScaled(out, p, v[(kv+j)*a.vSize:])
					}
				}
			}
		}
	}
	setFloats(c.out(0), y)
	if shown != nil {
		setFloats(c.out(3), shown)
	}
	return nil
}

// dot returns the sum of products of x and as many elements of y.
func dot(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// addScaled adds p times x to dst.
func addScaled(dst []float64, p float64, x []float64) {
	for i := range dst {
		dst[i] += p * x[i]
	}
}

// softmaxOrZero is a softmax in place; a row of minus infinities becomes zeros.
func softmaxOrZero(x []float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for i, v := range x {
		if math.IsInf(top, -1) {
			x[i] = 0
			continue
		}
		x[i] = math.Exp(v - top)
		sum += x[i]
	}
	for i := range x {
		if sum != 0 {
			x[i] /= sum
		}
	}
}

// attentionSamples: queries, keys, values, past and lengths hold samples, and the
// mask may.
func attentionSamples(s *Samples) bool {
	for i, t := range s.Types {
		switch {
		case !s.has(i):
		case i == 3 && !s.isBatched(i):
			if len(t.Shape) == 4 && t.Shape[0] != 1 {
				return false
			}
		case !s.isBatched(i) || i == 3 && len(t.Shape) != 4:
			return false
		}
	}
	return true
}

// rotarySamples: the angles are given by sample, or chosen by the positions of each.
func rotarySamples(s *Samples) bool {
	if s.has(3) {
		return s.isBatched(0) && !s.isBatched(1) && !s.isBatched(2) && (s.isBatched(3) || s.repeats(3))
	}
	return s.isBatched(0) && (s.isBatched(1) || s.repeats(1)) && (s.isBatched(2) || s.repeats(2))
}

func inferRotary(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = x
	if err := c.wantType(0, floatTypes...); err != nil || !x.Static() {
		return err
	}
	heads, _, size, err := rotaryHeads(c)
	if err != nil {
		return err
	}
	turned := rotaryTurned(c, size)
	if heads < 1 || turned < 0 || turned > size || turned%2 != 0 {
		return badInput("%d of %d elements of a head are to be turned", turned, size)
	}
	if err := c.wantType(3, tensor.Int64, tensor.Int32); err != nil {
		return err
	}
	rank, want := 3, "one row for each sample and step"
	if c.has(3) {
		rank, want = 2, "one row for each position"
	}
	for i := 1; i < 3; i++ {
		if t := c.Types[i]; t.Static() && (len(t.Shape) != rank || t.Shape[rank-1] != turned/2) {
			return badInput("input %d has shape %v; it should have %s of %d", i, t.Shape, want, turned/2)
		}
	}
	return nil
}

// rotaryHeads returns heads, steps and the size of a head.
func rotaryHeads(c *Call) (heads, steps, size int, err error) {
	s := c.Types[0].Shape
	if len(s) == 4 {
		return s[1], s[2], s[3], nil
	}
	if heads = c.Attrs.Int("num_heads", 0); len(s) != 3 || heads < 1 || s[2]%heads != 0 {
		return 0, 0, 0, badInput("shape %v for %d heads", s, heads)
	}
	return heads, s[1], s[2] / heads, nil
}

func rotaryTurned(c *Call, size int) int {
	if n := c.Attrs.Int("rotary_embedding_dim", 0); n != 0 {
		return n
	}
	return size
}

// runRotary turns pairs of elements of every head by the angles of its step.
func runRotary(c *Call) error {
	heads, steps, size, err := rotaryHeads(c)
	if err != nil {
		return err
	}
	shape := c.Types[0].Shape
	a := attention{packed: len(shape) == 3}
	half := rotaryTurned(c, size) / 2
	x, cos, sin := c.In[0].Float64s(), c.In[1].Float64s(), c.In[2].Float64s()
	y := slices.Clone(x)
	var positions []int
	if t := c.in(3); t != nil {
		positions = t.Ints()
	}
	for i := range shape[0] * steps {
		row := i
		if positions != nil {
			if i >= len(positions) {
				return badInput("%d positions for %d steps", len(positions), shape[0]*steps)
			}
			row = positions[i]
		}
		if row < 0 || (row+1)*half > len(cos) || (row+1)*half > len(sin) {
			return badInput("there are no angles for position %d", row)
		}
		for h := range heads {
			at := a.at(i/steps, h, i%steps, heads, steps, size)
			for k := range half {
				p, q := at+k, at+k+half
				if c.Attrs.Int("interleaved", 0) != 0 {
					p, q = at+2*k, at+2*k+1
				}
				cs, sn := cos[row*half+k], sin[row*half+k]
				y[p] = float64(cs*x[p]) - sn*x[q]
				y[q] = float64(sn*x[p]) + cs*x[q]
			}
		}
	}
	setFloats(c.out(0), y)
	return nil
}
