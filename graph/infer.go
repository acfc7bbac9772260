package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Infer sets the type and shape of every value that a node makes, as far as
// the operators' rules tell; a dimension that depends on the input is
// [op.Unknown], with the input's name for it in Dims where it is one of the
// input's. What the file said of a value stays where nothing better is known,
// as for operators that are not in the table.
//
// An error is that of an operator whose inputs do not fit.
func Infer(g *Graph) error {
	s, err := inferShapes(g)
	if err != nil {
		return err
	}
	s.apply()
	return nil
}

// Rules of operators compute with numbers, not with names, so shapes that
// depend on symbolic dimensions are found by probing: the graph is inferred
// with the symbols unknown, which must succeed, and then again with numbers in
// their place, several times. A dimension that is the same in every probe is
// constant; one that is the number of a symbol in every probe is that symbol.
// The same holds for the elements of shape tensors.

// probes are the numbers that stand for the symbolic dimensions. Both of a
// pair must succeed; the first pair suits pictures and short sequences, the
// second long signals. The small probe shows where a large number was cut off
// (a Slice up to an end); it is left out if it is too small for the network.
var probes = [][2]probe{
	{{batch: 5, start: 224, step: 32}, {batch: 7, start: 288, step: 96}},
	{{batch: 5, start: 16000, step: 3200}, {batch: 7, start: 35200, step: 9600}},
}

var smallProbe = probe{batch: 3, start: 6, step: 1}

// probe gives symbol k the number start + k*step, or, if it is the first
// dimension of an input, batch + k: more would only make tensors too large.
type probe struct{ batch, start, step int }

func (p probe) number(k int, s symbol) int {
	if s.batch {
		return p.batch + k
	}
	return p.start + k*p.step
}

// maxEvaluated is the number of elements up to which a tensor is computed
// while shapes are inferred: lists of dimensions and what is made of them.
const maxEvaluated = 4096

// shapes is what inference found.
type shapes struct {
	graph   *Graph
	generic *walk
	settled []*walk // successful probes, none if nothing is symbolic
	symbols []symbol
}

// symbol is a dimension of an input that is not known.
type symbol struct {
	name  string // "" if it has none
	batch bool   // it is the first dimension of an input of several
	at    []int  // its number in each of settled
}

func inferShapes(g *Graph) (*shapes, error) {
	s := &shapes{graph: g}
	numbered := s.number()
	s.generic = newWalk(g)
	if err := s.generic.run(func(v *Value) op.Type { return v.Type }); err != nil {
		return nil, err
	}
	if len(s.symbols) == 0 {
		return s, nil
	}
	try := func(p probe) (*walk, bool) {
		w := newWalk(g)
		w.tolerant = true
		err := w.run(func(v *Value) op.Type {
			t := v.Type
			t.Shape = slices.Clone(t.Shape)
			for i, k := range numbered[v] {
				if k >= 0 {
					t.Shape[i] = p.number(k, s.symbols[k])
				}
			}
			return t
		})
		return w, err == nil && !w.failed
	}
	settle := func(w *walk, p probe) {
		s.settled = append(s.settled, w)
		for k, sy := range s.symbols {
			s.symbols[k].at = append(sy.at, p.number(k, sy))
		}
	}
	for _, pair := range probes {
		a, okA := try(pair[0])
		b, okB := try(pair[1])
		if okA && okB {
			settle(a, pair[0])
			settle(b, pair[1])
			if c, ok := try(smallProbe); ok {
				settle(c, smallProbe)
			}
			break
		}
	}
	return s, nil
}

// number gives each symbolic dimension of the inputs its number; dimensions
// with one name are one symbol.
func (s *shapes) number() map[*Value][]int {
	byName := make(map[string]int)
	numbered := make(map[*Value][]int)
	for _, v := range s.graph.Inputs {
		ks := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			ks[i] = -1
			if d != op.Unknown {
				continue
			}
			name := ""
			if i < len(v.Dims) {
				name = v.Dims[i]
			}
			k, ok := byName[name]
			if !ok || name == "" {
				k = len(s.symbols)
				byName[name] = k
				s.symbols = append(s.symbols, symbol{name: name, batch: i == 0 && len(ks) > 1})
			}
			ks[i] = k
		}
		numbered[v] = ks
	}
	return numbered
}

// apply writes what was found into the values.
func (s *shapes) apply() {
	for _, n := range s.graph.Nodes {
		for _, v := range n.Outputs {
			if v == nil {
				continue
			}
			old := v.Type
			if t := s.typeOf(v); t.DType != tensor.Undefined || t.Known {
				v.Type = merge(t, old)
			}
			if !v.Type.Known {
				v.Dims = nil
				continue
			}
			if dims := s.dimNames(v); dims != nil || len(v.Dims) != len(v.Type.Shape) {
				v.Dims = dims
			}
		}
	}
}

// merge completes what was inferred by what the file said.
func merge(t, hint op.Type) op.Type {
	if t.DType == tensor.Undefined {
		t.DType = hint.DType
	}
	switch {
	case !hint.Known:
	case !t.Known:
		t.Shape, t.Known = hint.Shape, true
	case len(t.Shape) == len(hint.Shape):
		t.Shape = slices.Clone(t.Shape)
		for i, d := range hint.Shape {
			if t.Shape[i] == op.Unknown {
				t.Shape[i] = d
			}
		}
	}
	return t
}

// typeOf returns the type of v with what the probes agree on.
func (s *shapes) typeOf(v *Value) op.Type {
	t := s.generic.types[v]
	if len(s.settled) == 0 {
		return t
	}
	first := s.settled[0].types[v]
	for _, w := range s.settled[1:] {
		if o := w.types[v]; o.Known != first.Known || len(o.Shape) != len(first.Shape) {
			return t
		}
	}
	if !first.Known {
		return t
	}
	t = op.Type{DType: first.DType, Known: true, Shape: make([]int, len(first.Shape))}
	for i := range t.Shape {
		t.Shape[i], _ = s.agreed(func(w *walk) int { return w.types[v].Shape[i] })
	}
	return t
}

// dimNames returns the names of the dimensions of v that are symbols.
func (s *shapes) dimNames(v *Value) []string {
	var names []string
	if len(s.settled) == 0 || s.settled[0].types[v].Shape == nil {
		return nil
	}
	for i, d := range v.Type.Shape {
		if d != op.Unknown {
			continue
		}
		_, k := s.agreed(func(w *walk) int {
			if sh := w.types[v].Shape; i < len(sh) {
				return sh[i]
			}
			return op.Unknown
		})
		if k >= 0 && s.symbols[k].name != "" {
			if names == nil {
				names = make([]string, len(v.Type.Shape))
			}
			names[i] = s.symbols[k].name
		}
	}
	return names
}

// agreed looks at a number in every probe. It returns it if it is the same in
// all, else [op.Unknown] and the symbol that it is, or -1.
func (s *shapes) agreed(number func(*walk) int) (n, sym int) {
	first := number(s.settled[0])
	same := true
	for _, w := range s.settled[1:] {
		same = same && number(w) == first
	}
	if same {
		return first, -1
	}
	for k, sy := range s.symbols {
		is := true
		for i, w := range s.settled {
			is = is && number(w) == sy.at[i]
		}
		if is {
			return op.Unknown, k
		}
	}
	return op.Unknown, -1
}

// walk infers the graph once.
type walk struct {
	graph    *Graph
	outer    *walk // through the graph around a subgraph
	types    map[*Value]op.Type
	values   map[*Value]*tensor.Tensor // small tensors that are known
	tolerant bool                      // an operator's error makes its outputs unknown
	failed   bool                      // and is remembered here
}

func newWalk(g *Graph) *walk {
	return &walk{graph: g, types: make(map[*Value]op.Type), values: make(map[*Value]*tensor.Tensor)}
}

func (w *walk) run(input func(*Value) op.Type) error {
	for _, v := range w.graph.Inputs {
		w.types[v] = input(v)
	}
	for _, n := range w.graph.Nodes {
		if err := w.node(n); err != nil {
			if !w.tolerant {
				return fmt.Errorf("%s: %w", n, err)
			}
			w.failed = true
		}
	}
	return nil
}

func (w *walk) typeOf(v *Value) op.Type {
	switch {
	case v == nil:
		return op.Type{}
	case v.IsConst():
		return op.TypeOf(v.Const)
	}
	for ; w != nil; w = w.outer {
		if t, ok := w.types[v]; ok {
			return t
		}
	}
	return v.Type // made outside of the graph
}

func (w *walk) valueOf(v *Value) *tensor.Tensor {
	if v.IsConst() {
		return v.Const
	}
	for ; w != nil; w = w.outer {
		if t := w.values[v]; t != nil {
			return t
		}
	}
	return nil
}

// body returns what is known of the results of a subgraph for inputs of some types, nil if it does not fit them: it may
// be a branch that is not taken.
func (w *walk) body(n *Node, attr string, inputs []op.Type) []op.Type {
	sub, ok := n.Attrs[attr].(*Graph)
	if !ok || len(inputs) != len(sub.Inputs) {
		return nil
	}
	in := newWalk(sub)
	in.outer = w
	next := 0
	err := in.run(func(v *Value) op.Type {
		next++
		return merge(inputs[next-1], op.Type{DType: v.Type.DType})
	})
	if err != nil {
		return nil
	}
	types := make([]op.Type, len(sub.Outputs))
	for i, v := range sub.Outputs {
		types[i] = in.typeOf(v)
	}
	return types
}

func (w *walk) node(n *Node) error {
	o, err := op.Lookup(n.Domain, n.Op)
	if errors.Is(err, op.ErrUnknown) {
		for _, v := range n.Outputs {
			if v != nil {
				w.types[v] = v.Type
			}
		}
		return nil
	}
	c := &op.Call{
		Attrs:   n.Attrs,
		Version: w.graph.Opset[n.Domain],
		Types:   make([]op.Type, len(n.Inputs)),
		In:      make([]*tensor.Tensor, len(n.Inputs)),
		Out:     make([]*tensor.Tensor, len(n.Outputs)),
		OutType: make([]op.Type, len(n.Outputs)),
	}
	c.BodyTypes = func(attr string, inputs []op.Type) []op.Type { return w.body(n, attr, inputs) }
	known := true
	for i, v := range n.Inputs {
		if v == nil {
			if err := o.Given(i); err != nil {
				return err
			}
			continue
		}
		c.Types[i], c.In[i] = w.typeOf(v), w.valueOf(v)
		known = known && c.In[i] != nil
	}
	if n.Op == "Shape" && n.Domain == "" && len(c.Types) == 1 && c.Types[0].Static() {
		w.setShape(n, c.Types[0].Shape)
		return nil
	}
	if err := o.Infer(c); err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v != nil {
			w.types[v] = c.OutType[i]
		}
	}
	if !known || !deterministic(n) || !smallEnough(c) {
		return nil
	}
	if err := o.Run(c); err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v != nil {
			w.values[v], w.types[v] = c.Out[i], op.TypeOf(c.Out[i])
		}
	}
	return nil
}

// setShape evaluates a Shape node, which needs only a type.
func (w *walk) setShape(n *Node, shape []int) {
	clip := func(i int) int {
		if i < 0 {
			i += len(shape)
		}
		return min(max(i, 0), len(shape))
	}
	from, to := clip(n.Attrs.Int("start", 0)), clip(n.Attrs.Int("end", len(shape)))
	dims := []int64{}
	for i := from; i < to; i++ {
		dims = append(dims, int64(shape[i]))
	}
	t := tensor.From(dims, len(dims))
	w.values[n.Outputs[0]], w.types[n.Outputs[0]] = t, op.TypeOf(t)
}

// smallEnough reports whether a call computes little.
func smallEnough(c *op.Call) bool {
	small := func(t op.Type) bool {
		volume := 1
		for _, d := range t.Shape {
			if d < 0 || d > maxEvaluated {
				return false
			}
			if volume *= d; volume > maxEvaluated {
				return false
			}
		}
		return t.Known
	}
	for i, t := range c.Types {
		if c.In[i] != nil && !small(t) {
			return false
		}
	}
	for _, t := range c.OutType {
		if !small(t) {
			return false
		}
	}
	return true
}

// deterministic reports whether a node gives the same for the same inputs,
// without a look at anything else.
func deterministic(n *Node) bool {
	return !n.Traits().Random && len(n.Subgraphs()) == 0
}
