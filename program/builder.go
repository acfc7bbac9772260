package program

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// builder turns a graph, with inputs of known shapes, into steps.
//
// It goes through the nodes in order. Each is lowered by the function that
// lowerers has for its operator, which adds steps and says where the outputs
// are; a node that has none, or whose function declines, runs by its reference
// kernel on plain tensors.
type builder struct {
	*facts
	Options
	samples int                  // of a batched program: capacity
	index   map[*graph.Value]int // of the observed values

	uses            map[*graph.Value][]*graph.Node
	values          map[*graph.Value]*value
	done            map[*graph.Node]bool
	seen            map[*graph.Value]bool // observed
	inputs, outputs []*Tensor
	tensors         []*Tensor
	steps           []*Step
	names           map[string]int // how many steps have asked for a name
	slots           int
	why             string // why the current node stays float
	requant         Mode
	err             error // the first that a lowerer found
}

// value is where an intermediate result is, in as many forms as its readers asked for.
type value struct {
	forms
	quant *quant // the quantized tensor that this one is the meaning of
}

// forms of one tensor.
type forms struct {
	of    *graph.Value           // whose elements these are, when they are a plain tensor or an input
	in    [2]*Tensor             // by layout
	late  func(l Layout) *Tensor // makes the first when it is known in what layout it is wanted
	slot  *Tensor                // the plain tensor
	input *Tensor                // the run's input
}

// empty reports whether there is nothing yet.
func (f *forms) empty() bool {
	return f.in == [2]*Tensor{} && f.late == nil && f.slot == nil && f.input == nil
}

// lowerer adds the steps of a node, or returns false if it has no way for it.
type lowerer func(b *builder, n *graph.Node) bool

func newBuilder(f *facts, o Options, requant Mode) *builder {
	b := &builder{facts: f, Options: o, requant: requant, samples: max(o.Samples, 1), uses: f.graph.Uses(), index: make(map[*graph.Value]int),
		values: make(map[*graph.Value]*value), done: make(map[*graph.Node]bool), seen: make(map[*graph.Value]bool), names: make(map[string]int)}
	for i, v := range o.Observed {
		b.index[v] = i
	}
	for i, v := range f.graph.Inputs {
		t := b.external(v, IsInput, i)
		b.inputs = append(b.inputs, t)
		b.value(v).input = t
	}
	return b
}

// external makes a tensor outside of the arena for v.
func (b *builder) external(v *graph.Value, p Place, index int) *Tensor {
	t := &Tensor{Name: v.Name, DType: b.typeOf(v).DType, Place: p, Index: index, pinned: true}
	if b.typeOf(v).Static() && b.fitsBatch(v) {
		var sample []int
		t.Samples, sample = b.samplesOf(b.shape(v))
		t.H, t.W, t.C, _ = dims(sample, Plain)
		t.Shape = b.shape(v)
	}
	return b.own(t)
}

// step appends a step; what it writes must be initialized by it.
func (b *builder) step(label string, kind Kind, a Action) *Step {
	s := &Step{Label: label, Kind: kind, Action: a}
	if kind != Integer {
		s.Why = b.why
	}
	b.steps = append(b.steps, s)
	return s
}

// of adds the nodes the step computes.
func (s *Step) of(nodes ...*graph.Node) *Step {
	s.Nodes = append(s.Nodes, nodes...)
	return s
}

// labelled names the step after all the operators it computes.
func (s *Step) labelled() *Step {
	s.Label = ""
	for i, n := range s.Nodes {
		if i > 0 {
			s.Label += "+"
		}
		s.Label += n.Op
	}
	return s
}

// nameSteps gives every step a name of its own.
func (b *builder) nameSteps() {
	for _, s := range b.steps {
		name := s.Label
		for _, t := range s.Action.Writes() {
			if t.Name != "" {
				name = t.Name
			}
		}
		if len(s.Nodes) > 0 && s.Nodes[0].Name != "" {
			name = s.Nodes[0].Name
		}
		s.Name = name
		if b.names[name]++; b.names[name] > 1 {
			s.Name = fmt.Sprintf("%s:%d", name, b.names[name])
		}
	}
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
	if b.Chains {
		b.chain()
	}
	b.nameSteps()
	return b.err
}

// explain gives a reason to steps that are float though what they read is quantized.
func (b *builder) explain() {
	for _, s := range b.steps {
		if s.Kind != Float || s.Why != "" {
			continue
		}
		for _, n := range s.Nodes {
			if n.Op != "DequantizeLinear" && slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return b.quantOf(v) != nil }) {
				s.Why = "there is no integer " + n.Op
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
	if b.Batched {
		return b.samples, shape[1:]
	}
	return shape[0], shape[1:]
}

// dims returns the image that a sample of the shape makes in an order; false
// if it makes none.
func dims(sample []int, l Layout) (h, w, c int, ok bool) {
	if l == Last {
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

// tensor makes an empty tensor in the arena for a value of that shape.
func (b *builder) tensor(dtype tensor.DType, shape []int, l Layout) *Tensor {
	n, sample := b.samplesOf(shape)
	h, w, c, _ := dims(sample, l)
	return b.own(&Tensor{DType: dtype, Layout: l, Samples: n, H: h, W: w, C: c})
}

// own makes t part of the program.
func (b *builder) own(t *Tensor) *Tensor {
	t.Fixed = !b.Batched
	b.tensors = append(b.tensors, t)
	return t
}

// fits reports whether v is a tensor that the arena can hold: static, of a type
// it has, not empty, with whole samples.
func (b *builder) fits(v *graph.Value) bool {
	t := b.typeOf(v)
	if !t.Static() || !b.fitsBatch(v) {
		return false
	}
	volume, ok := tensor.CheckedVolume(t.Shape)
	return ok && volume > 0 && (t.DType == tensor.Float32 || bytewide(t.DType))
}

// fitsBatch reports whether v, of known shape, consists of samples.
func (b *builder) fitsBatch(v *graph.Value) bool { return !b.Batched || len(b.shape(v)) > 0 }

// bytewide reports whether the arena has tensors of a type as bytes.
func bytewide(d tensor.DType) bool { return d == tensor.Uint8 || d == tensor.Int8 }

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
	_, ok := b.index[v]
	return ok
}

// errorAt wraps an error with the node it comes from.
func errorAt(n *graph.Node, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("program: %s: %w", n, err)
}

// generic runs a node by its reference kernel.
func (b *builder) generic(n *graph.Node) {
	a := &Reference{Node: n, Version: b.graph.Opset[n.Domain], In: make([]*Tensor, len(n.Inputs)), Out: make([]*Tensor, len(n.Outputs))}
	for i, v := range n.Inputs {
		if v != nil {
			a.In[i] = b.operand(v)
		}
	}
	a.Bodies = b.bodies(n)
	for i, v := range n.Outputs {
		if v != nil {
			delete(b.values, v) // what a lowerer that declined has left
			a.Out[i] = b.newSlot(v)
			b.value(v).slot = a.Out[i]
		}
	}
	b.step(n.Op, Float, a).of(n)
}

// operand returns v as a plain tensor or constant.
func (b *builder) operand(v *graph.Value) *Tensor {
	if b.isConst(v) {
		return b.constantTensor(v)
	}
	return b.slot(v)
}

// newSlot makes a plain tensor for v.
func (b *builder) newSlot(v *graph.Value) *Tensor {
	b.slots++
	return b.external(v, InSlot, b.slots-1)
}

// constantTensor makes a plain tensor of a constant.
func (b *builder) constantTensor(v *graph.Value) *Tensor {
	t := b.external(v, IsConstant, 0)
	t.Value = b.constant(v)
	return t
}
