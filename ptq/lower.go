package ptq

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// lowerQDQ replaces the scaling nodes by what ONNX has for them: those of
// weights and biases by integer constants with a DequantizeLinear, those of
// activations by a QuantizeLinear and a DequantizeLinear. Grids of less bits than the
// integer type that holds them are kept by clamping before. With floatBias, biases stay as they are.
func lowerQDQ(g *graph.Graph, floatBias bool) error {
	l := newLowering(g)
	for _, n := range l.scalings() {
		s := scalingOf(n)
		in, out := n.Inputs[0], n.Outputs[0]
		if s.Bias && floatBias {
			l.replace(out, in)
			continue
		}
		scale, zero := l.parameters(in.Name, s)
		var q *graph.Value
		if in.IsConst() {
			data, err := s.quantize(in.Const)
			if err != nil {
				return fmt.Errorf("ptq: constant %q: %w", in.Name, err)
			}
			q = graph.NewConst(l.name(in.Name+"_quantized"), data)
		} else {
			q = l.add(in.Name+"_quantized", "QuantizeLinear", nil, l.clamped(in, s), scale, zero)
		}
		l.replace(out, l.add(in.Name+"_dequantized", "DequantizeLinear", s.axisAttr(), q, scale, zero))
	}
	l.finish()
	return g.Sort()
}

// axisAttr returns the attribute that names the axis of several scales.
func (s *Scaling) axisAttr() op.Attrs {
	if s.Axis < 0 {
		return nil
	}
	return op.Attrs{"axis": int64(s.Axis)}
}

// dtype returns the type that holds the integers.
func (s *Scaling) dtype() tensor.DType {
	switch {
	case s.Bias:
		return tensor.Int32
	case s.Bits > 8 && s.Signed:
		return tensor.Int16
	case s.Bits > 8:
		return tensor.Uint16
	case s.Signed:
		return tensor.Int8
	}
	return tensor.Uint8
}

// quantize returns the integers that stand for the values of t.
func (s *Scaling) quantize(t *tensor.Tensor) (*tensor.Tensor, error) {
	if !finite(t) {
		return nil, ErrNotFinite
	}
	values := t.Float32s()
	ints := make([]int, len(values))
	s.runs(t.Shape(), func(l Levels, from, to int) {
		for i := from; i < to; i++ {
			ints[i] = l.Quantize(float64(values[i]))
		}
	})
	return integers(ints, s.dtype(), t.Shape()), nil
}

// integers returns a tensor of an integer type.
func integers(v []int, d tensor.DType, shape []int) *tensor.Tensor {
	switch d {
	case tensor.Int8:
		return tensor.From(convert[int8](v), shape...)
	case tensor.Uint8:
		return tensor.From(convert[uint8](v), shape...)
	case tensor.Int16:
		return tensor.From(convert[int16](v), shape...)
	case tensor.Uint16:
		return tensor.From(convert[uint16](v), shape...)
	}
	return tensor.From(convert[int32](v), shape...)
}

func convert[T int8 | uint8 | int16 | uint16 | int32](v []int) []T {
	out := make([]T, len(v))
	for i, x := range v {
		out[i] = T(x)
	}
	return out
}

// lowering makes names and nodes while a graph's scaling nodes are replaced.
type lowering struct {
	g     *graph.Graph
	names map[string]bool
	with  map[*graph.Value]*graph.Value // what readers of a scaling node read instead
}

func newLowering(g *graph.Graph) *lowering {
	l := &lowering{g: g, names: make(map[string]bool), with: make(map[*graph.Value]*graph.Value)}
	for _, v := range g.Values() {
		l.names[v.Name] = true
	}
	for _, n := range g.Nodes {
		l.names[n.Name] = true
	}
	return l
}

// within returns a lowering of a graph in that of l, whose names are not to be taken again.
func (l *lowering) within(sub *graph.Graph) *lowering {
	in := newLowering(sub)
	for name := range in.names {
		l.names[name] = true
	}
	in.names = l.names
	return in
}

// scalings returns the scaling nodes in the order of the graph.
func (l *lowering) scalings() []*graph.Node {
	var nodes []*graph.Node
	for _, n := range l.g.Nodes {
		if scalingOf(n) != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// name returns a name that nothing in the graph has.
func (l *lowering) name(want string) string {
	name := want
	for i := 1; l.names[name]; i++ {
		name = fmt.Sprintf("%s_%d", want, i)
	}
	l.names[name] = true
	return name
}

// add appends a node and returns its output.
func (l *lowering) add(name, operator string, attrs op.Attrs, inputs ...*graph.Value) *graph.Value {
	return l.g.New(l.name(name), operator, attrs, inputs...)
}

// parameters returns the constants for scale and zero point of a tensor.
func (l *lowering) parameters(name string, s *Scaling) (scale, zero *graph.Value) {
	var shape []int
	if s.Axis >= 0 {
		shape = []int{len(s.Scale)}
	}
	zeros := make([]int, len(s.Scale))
	for i := range zeros {
		zeros[i] = s.Zero
	}
	scale = graph.NewConst(l.name(name+"_scale"), tensor.From(s.Scale, shape...))
	if s.Bias {
		return scale, nil // an int32 zero point is always 0 and need not be written
	}
	return scale, graph.NewConst(l.name(name+"_zero_point"), integers(zeros, s.dtype(), shape))
}

// clamped returns v clamped to what the grid can hold, if the integer type
// could hold more.
func (l *lowering) clamped(v *graph.Value, s *Scaling) *graph.Value {
	if s.Bits == 8 || s.Bits == 16 {
		return v
	}
	bound := func(name string, q int) *graph.Value {
		x := float32(q-s.Zero) * s.Scale[0]
		return graph.NewConst(l.name(v.Name+name), tensor.Scalar(x))
	}
	return l.add(v.Name+"_clamped", "Clip", nil, v, bound("_min", s.Min()), bound("_max", s.Max()))
}

// replace makes everything that reads old read new instead.
func (l *lowering) replace(old, new *graph.Value) {
	new.Type, new.Dims = old.Type, old.Dims
	l.with[old] = new
}

// finish carries the replacements out.
func (l *lowering) finish() {
	for _, n := range l.g.Nodes {
		for i, v := range n.Inputs {
			if w := l.with[v]; w != nil {
				n.Inputs[i] = w
			}
		}
	}
	for i, v := range l.g.Outputs {
		if w := l.with[v]; w != nil {
			l.g.Outputs[i] = w
			w.Name, v.Name = v.Name, l.name(v.Name+"_replaced")
		}
	}
}
