package engine

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// builder turns a graph, with inputs of known shapes, into the steps of a plan.
//
// It goes through the nodes in order. Each is lowered by the function that
// lowerers has for its operator, which adds steps and says where the outputs
// are; a node that has none, or whose function declines, runs by its reference
// kernel on plain tensors.
type builder struct {
	*facts
	net     *Net
	batched bool
	samples int // of a batched plan: capacity

	uses    map[*graph.Value][]*graph.Node
	values  map[*graph.Value]*value
	done    map[*graph.Node]bool
	seen    map[*graph.Value]bool // observed
	buffers []*buffer
	steps   []*step
	slots   int
	why     string // why the current node stays float
	requant Requant
	err     error // the first that a lowerer found
}

// value is where an intermediate result is, in as many forms as its readers asked for.
type value struct {
	forms
	quant *quant // the quantized tensor that this one is the meaning of
}

// forms of one tensor.
type forms struct {
	of    *graph.Value          // whose elements these are, when they are a plain tensor or an input
	in    [2]*buffer            // by order
	late  func(o order) *buffer // makes the first buffer when it is known in what order it is wanted
	slot  int                   // number of a plain tensor plus one
	input int                   // number of the graph's input plus one
}

// empty reports whether there is nothing yet.
func (f *forms) empty() bool {
	return f.in == [2]*buffer{} && f.late == nil && f.slot == 0 && f.input == 0
}

// lowerer adds the steps of a node, or returns false if it has no way for it.
type lowerer func(b *builder, n *graph.Node) bool

func newBuilder(net *Net, f *facts, batched bool, samples int, requant Requant) *builder {
	b := &builder{facts: f, net: net, requant: requant, batched: batched, samples: samples, uses: f.graph.Uses(),
		values: make(map[*graph.Value]*value), done: make(map[*graph.Node]bool), seen: make(map[*graph.Value]bool)}
	for i, v := range f.graph.Inputs {
		b.value(v).input = i + 1
	}
	return b
}

// build lowers the whole graph.
func (b *builder) build() error {
	for _, v := range b.graph.Inputs {
		b.observe(v)
	}
	for _, n := range b.graph.Nodes {
		if err := b.lower(n); err != nil {
			return err
		}
	}
	for i, v := range b.graph.Outputs {
		b.output(i, v)
	}
	b.explain()
	return nil
}

// explain gives a reason to steps that are float though what they read is quantized.
func (b *builder) explain() {
	for _, s := range b.steps {
		if s.kind != Float || s.why != "" {
			continue
		}
		for _, n := range s.nodes {
			if n.Op != "DequantizeLinear" && slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return b.quantOf(v) != nil }) {
				s.why = "there is no integer " + n.Op
			}
		}
	}
}

// lower adds the steps of one node, unless they are there already or all its
// outputs are constant.
func (b *builder) lower(n *graph.Node) error {
	if b.done[n] {
		b.observeOutputs(n) // of a node that was fused with the one before
		return nil
	}
	if !slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return v != nil && !b.isConst(v) }) {
		return nil
	}
	for _, v := range n.Reads() {
		if v != nil && v.Node != nil {
			if err := b.lower(v.Node); err != nil {
				return err
			}
		}
	}
	if b.done[n] { // by what makes its input
		return b.lower(n)
	}
	b.done[n] = true
	b.why = ""
	if fast := lowerers[n.Op]; fast == nil || n.Domain != "" && n.Domain != "ai.onnx" && n.Domain != "com.microsoft" || !fast(b, n) {
		b.generic(n)
	}
	if b.err != nil {
		return b.err
	}
	b.observeOutputs(n)
	return nil
}

// observeOutputs observes what n makes, once.
func (b *builder) observeOutputs(n *graph.Node) {
	for _, v := range n.Outputs {
		if v != nil && b.values[v] != nil && !b.seen[v] {
			b.seen[v] = true
			b.observe(v)
		}
	}
}

// add appends a step; what it writes must be initialized by it.
func (b *builder) add(s *step) *step {
	if s.kind != Integer && s.why == "" {
		s.why = b.why
	}
	b.steps = append(b.steps, s)
	return s
}

// value returns the forms of v, made when first asked for.
func (b *builder) value(v *graph.Value) *value {
	if b.values[v] == nil {
		b.values[v] = &value{forms: forms{of: v}}
	}
	return b.values[v]
}

// samplesOf returns how many samples a tensor of that shape is cut into, and
// the shape of one of them.
func (b *builder) samplesOf(shape []int) (n int, sample []int) {
	if len(shape) == 0 {
		return 1, nil
	}
	if b.batched {
		return b.samples, shape[1:]
	}
	return shape[0], shape[1:]
}

// dims returns the image that a sample of the shape makes in an order; false
// if it makes none.
func dims(sample []int, o order) (h, w, c int, ok bool) {
	if o == last {
		switch len(sample) {
		case 2:
			return 1, sample[1], sample[0], true
		case 3:
			return sample[1], sample[2], sample[0], true
		case 1:
			return 1, 1, sample[0], true
		case 0:
			return 1, 1, 1, true
		}
		return 0, 0, 0, false
	}
	if len(sample) == 0 {
		return 1, 1, 1, true
	}
	c = sample[len(sample)-1]
	return 1, tensor.Volume(sample[:len(sample)-1]), c, true
}

// buffer makes an empty buffer for a tensor of that shape.
func (b *builder) buffer(dtype tensor.DType, shape []int, o order) *buffer {
	n, sample := b.samplesOf(shape)
	h, w, c, _ := dims(sample, o)
	return b.own(&buffer{dtype: dtype, order: o, samples: n, h: h, w: w, c: c})
}

// own makes b lay the buffer out.
func (b *builder) own(u *buffer) *buffer {
	u.fixed = !b.batched
	b.buffers = append(b.buffers, u)
	return u
}

// fits reports whether v is a tensor that buffers can hold: static, of a type
// they have, not empty, with whole samples.
func (b *builder) fits(v *graph.Value) bool {
	t := b.typeOf(v)
	if !t.Static() || len(t.Shape) == 0 && b.batched {
		return false
	}
	volume, ok := tensor.CheckedVolume(t.Shape)
	return ok && volume > 0 && storage(t.DType) != tensor.Undefined
}

// storage returns the element type of buffers that hold tensors of a type.
func storage(d tensor.DType) tensor.DType {
	switch d {
	case tensor.Float32:
		return tensor.Float32
	case tensor.Uint8, tensor.Int8:
		return tensor.Uint8
	}
	return tensor.Undefined
}

// shape returns the dimensions of v.
func (b *builder) shape(v *graph.Value) []int { return b.typeOf(v).Shape }

// rank returns the number of dimensions of v.
func (b *builder) rank(v *graph.Value) int { return len(b.shape(v)) }

// single reports whether v has exactly one reader, and returns it: only then
// may v be fused away.
func (b *builder) single(v *graph.Value) *graph.Node {
	if len(b.uses[v]) != 1 || b.graph.IsOutput(v) || b.observed(v) {
		return nil
	}
	return b.uses[v][0]
}

func (b *builder) observed(v *graph.Value) bool {
	_, ok := b.net.observed[v]
	return ok
}

// label returns what to call the step of some nodes.
func (b *builder) label(nodes ...*graph.Node) string {
	s := ""
	for i, n := range nodes {
		if i > 0 {
			s += "+"
		}
		s += n.Op
	}
	return s
}

// errorAt wraps an error with the node it comes from.
func errorAt(n *graph.Node, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("engine: %s: %w", n, err)
}

// generic runs a node by its reference kernel.
func (b *builder) generic(n *graph.Node) {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil { // Compile has looked all of them up
		panic(err)
	}
	ins := make([]operand, len(n.Inputs))
	for i, v := range n.Inputs {
		ins[i] = b.operand(v)
	}
	bodies, err := b.bodies(n)
	b.fail(n, err)
	outs := make([]int, len(n.Outputs))
	for i, v := range n.Outputs {
		if v != nil {
			b.slots++
			outs[i] = b.slots
			delete(b.values, v) // what a lowerer that declined has left
			b.value(v).slot = b.slots
		}
	}
	version := b.graph.Opset[n.Domain]
	b.add(wholeStep(n.Op, func(c *call, w *worker) error {
		oc := &op.Call{Attrs: n.Attrs, Version: version, In: make([]*tensor.Tensor, len(ins)), Out: make([]*tensor.Tensor, len(outs))}
		for i, o := range ins {
			oc.In[i] = o.of(c)
		}
		if bodies != nil {
			runBodies(oc, c, bodies)
		}
		if err := o.Run(oc); err != nil {
			return errorAt(n, err)
		}
		for i, slot := range outs {
			if slot > 0 {
				c.slots[slot-1] = oc.Out[i]
			}
		}
		return nil
	}).of(n))
}
