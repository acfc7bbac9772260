package program

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// smallConst is the number of elements up to which a computed constant is
// evaluated while shapes are inferred: lists of dimensions, not weights.
const smallConst = 4096

// facts is what is known of a graph's values once the inputs' shapes are: the
// type of each, and which are constant.
type facts struct {
	graph  *graph.Graph
	outer  *facts // of the graph around a subgraph
	types  map[*graph.Value]op.Type
	values map[*graph.Value]*tensor.Tensor // constants that have been evaluated
	lazy   map[*graph.Value]bool           // constants that have not
}

func newFacts(g *graph.Graph) *facts {
	return &facts{graph: g, types: make(map[*graph.Value]op.Type), values: make(map[*graph.Value]*tensor.Tensor), lazy: make(map[*graph.Value]bool)}
}

// infer works through the graph for inputs of the given types.
func infer(g *graph.Graph, inputs []op.Type) (*facts, error) {
	f := newFacts(g)
	for i, v := range g.Inputs {
		f.types[v] = inputs[i]
	}
	for _, n := range g.Nodes {
		if err := f.node(n); err != nil {
			return nil, fmt.Errorf("program: %s: %w", n, err)
		}
	}
	return f, nil
}

func (f *facts) node(n *graph.Node) error {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil {
		return err
	}
	c := f.call(n, f.known)
	c.Types = make([]op.Type, len(n.Inputs))
	c.OutType = make([]op.Type, len(n.Outputs))
	constant := !isControl(n)
	for i, v := range n.Inputs {
		if v == nil {
			if err := o.Given(i); err != nil {
				return err
			}
			continue
		}
		c.Types[i] = f.typeOf(v)
		constant = constant && f.isConst(v)
	}
	c.BodyTypes = func(attr string, inputs []op.Type) []op.Type { return f.body(n, attr, inputs) }
	if n.Op == "Shape" && f.typeOf(n.In(0)).Static() {
		return f.shape(n, o)
	}
	if err := o.Infer(c); err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v == nil {
			continue
		}
		f.types[v] = c.OutType[i]
		f.lazy[v] = constant
	}
	if constant && f.small(n) {
		return f.evaluate(n)
	}
	return nil
}

// known returns the value of v if it has been evaluated.
func (f *facts) known(v *graph.Value) *tensor.Tensor {
	if v.IsConst() {
		return v.Const
	}
	for ; f != nil; f = f.outer {
		if t := f.values[v]; t != nil {
			return t
		}
	}
	return nil
}

// shape evaluates a Shape node from the shape alone.
func (f *facts) shape(n *graph.Node, o *op.Op) error {
	dims := f.typeOf(n.In(0)).Shape
	from, to := n.Attrs.Int("start", 0), n.Attrs.Int("end", len(dims))
	clip := func(i int) int {
		if i < 0 {
			i += len(dims)
		}
		return min(max(i, 0), len(dims))
	}
	from, to = clip(from), clip(to)
	list := make([]int64, 0, len(dims))
	for i := from; i < to; i++ {
		list = append(list, int64(dims[i]))
	}
	f.set(n.Outputs[0], tensor.From(list, len(list)))
	return nil
}

func (f *facts) set(v *graph.Value, t *tensor.Tensor) {
	f.values[v], f.types[v] = t, op.TypeOf(t)
}

// small reports whether the node's outputs are worth having at once.
func (f *facts) small(n *graph.Node) bool {
	if n.Op == "Constant" {
		return true
	}
	for _, v := range n.Outputs {
		if v == nil {
			continue
		}
		t := f.types[v]
		if !t.Static() {
			return true // only its value tells its shape
		}
		if volume, ok := tensor.CheckedVolume(t.Shape); !ok || volume > smallConst {
			return false
		}
	}
	return true
}

// evaluate computes a node whose inputs are constant.
func (f *facts) evaluate(n *graph.Node) error {
	o, err := op.Lookup(n.Domain, n.Op)
	if err != nil {
		return err
	}
	c := f.call(n, f.constant)
	for i, v := range n.Inputs {
		if v != nil && c.In[i] == nil {
			return fmt.Errorf("%s: constant input %q has no value", n, v.Name)
		}
	}
	if err := o.Run(c); err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v != nil {
			f.set(v, c.Out[i])
		}
	}
	return nil
}

func (f *facts) call(n *graph.Node, in func(*graph.Value) *tensor.Tensor) *op.Call {
	c := &op.Call{Attrs: n.Attrs, Version: f.graph.Opset[n.Domain],
		In: make([]*tensor.Tensor, len(n.Inputs)), Out: make([]*tensor.Tensor, len(n.Outputs))}
	for i, v := range n.Inputs {
		if v != nil {
			c.In[i] = in(v)
		}
	}
	return c
}

// typeOf returns the type of a value that is an input, a constant, or made by
// a node that infer has passed.
func (f *facts) typeOf(v *graph.Value) op.Type {
	if v.IsConst() {
		return op.TypeOf(v.Const)
	}
	for ; f != nil; f = f.outer {
		if t, ok := f.types[v]; ok {
			return t
		}
	}
	return op.Type{}
}

// isConst reports whether v does not depend on the inputs' elements.
func (f *facts) isConst(v *graph.Value) bool {
	for ; f != nil; f = f.outer {
		if f.lazy[v] || f.values[v] != nil {
			return true
		}
	}
	return v.IsConst()
}

// constant returns the value of v, evaluating it if need be; nil if it is not
// constant or cannot be computed.
func (f *facts) constant(v *graph.Value) *tensor.Tensor {
	switch {
	case v == nil:
		return nil
	case v.IsConst():
		return v.Const
	case f.values[v] == nil && f.lazy[v]:
		if err := f.evaluate(v.Node); err != nil {
			return nil
		}
	}
	if t := f.values[v]; t != nil || f.outer == nil {
		return t
	}
	return f.outer.constant(v)
}

// floats returns the elements of a constant Float32 value, nil if it is none.
func (f *facts) floats(v *graph.Value) []float32 {
	if t := f.constant(v); t != nil && t.DType() == tensor.Float32 {
		return t.F32()
	}
	return nil
}

// ints returns the elements of a constant integer list; false if v is not
// constant. An omitted value gives nil and true.
func (f *facts) ints(v *graph.Value) ([]int, bool) {
	if v == nil {
		return nil, true
	}
	t := f.constant(v)
	if t == nil || t.DType() == tensor.String {
		return nil, false
	}
	return t.Ints(), true
}
