package onnx

import (
	"fmt"
	"maps"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// The versions of the default operator set that can be upgraded and written.
const (
	OldestOpset = 7
	LatestOpset = 21
)

// Upgrade rewrites g, in place, for a later version of the default operator
// set: attributes that became inputs, operators that were replaced, defaults
// that changed. A graph of that version or a later one is left alone.
func Upgrade(g *graph.Graph, version int) error {
	from := g.Opset[""]
	if version <= from {
		return nil
	}
	if from < OldestOpset || version > LatestOpset {
		return fmt.Errorf("onnx: an upgrade from operator set %d to %d is %w, only from %d on up to %d: export the model for a later one",
			from, version, ErrUnsupported, OldestOpset, LatestOpset)
	}
	// Ranks make some rewrites simpler. Where they are not known, or the graph
	// is broken, the general form is as right.
	_ = graph.Infer(g)
	g.Opset = maps.Clone(g.Opset)
	u := &upgrader{root: g, used: make(map[string]bool)}
	u.reserve(g)
	for v := from + 1; v <= version; v++ {
		g.Opset[""] = v
		if err := u.graph(g, steps[v]); err != nil {
			return fmt.Errorf("onnx: to operator set %d: %w", v, err)
		}
	}
	return nil
}

// neededOpset returns the version that g needs at least for operators that are
// newer than the graph was, and for the quantization it holds: scales for each
// channel came with 13, blocks and 16 and 4 bits with 21.
func neededOpset(g *graph.Graph) int {
	need := 0
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			need = max(need, neededOpset(sub))
		}
		if n.Domain == "" {
			if !inParts(n) { // it is taken apart for older ones
				need = max(need, op.Since(n.Op))
			}
		}
		if n.Domain != "" || n.Op != "QuantizeLinear" && n.Op != "DequantizeLinear" {
			continue
		}
		need = max(need, 10)
		if scale := n.In(1); scale != nil && len(scale.Type.Shape) > 0 {
			need = max(need, 13)
		}
		for _, v := range []*graph.Value{n.In(0), n.In(2)} {
			if v == nil {
				continue
			}
			switch v.Type.DType {
			case tensor.Int16, tensor.Uint16, tensor.Int4, tensor.Uint4:
				need = max(need, 21)
			}
		}
		if n.Attrs.Int("block_size", 0) != 0 || n.Attrs.Int("output_dtype", 0) != 0 {
			need = max(need, 21)
		}
	}
	return need
}

// A step rewrites one node for the version that changed its operator.
type step func(u *upgrader, n *graph.Node) error

// upgrader holds what steps need: the names in use, and the nodes of the graph
// they write.
type upgrader struct {
	root *graph.Graph
	used map[string]bool
	out  []*graph.Node
}

// reserve notes the names of g and its subgraphs.
func (u *upgrader) reserve(g *graph.Graph) {
	for _, v := range g.Values() {
		u.used[v.Name] = true
	}
	for _, n := range g.Nodes {
		u.used[n.Name] = true
		for _, sub := range n.Subgraphs() {
			u.reserve(sub)
		}
	}
}

func (u *upgrader) graph(g *graph.Graph, steps map[string]step) error {
	g.Opset = u.root.Opset
	outer := u.out
	u.out = nil
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			if err := u.graph(sub, steps); err != nil {
				return err
			}
		}
		if s := steps[n.Op]; s != nil && n.Domain == "" {
			n.Attrs = maps.Clone(n.Attrs)
			if n.Attrs == nil {
				n.Attrs = op.Attrs{}
			}
			n.Inputs = slices.Clone(n.Inputs)
			if err := s(u, n); err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
		}
		u.out = append(u.out, n)
	}
	g.Nodes, u.out = u.out, outer
	return nil
}

// name returns a name that nothing has.
func (u *upgrader) name(base string) string {
	name := base
	for i := 1; u.used[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	u.used[name] = true
	return name
}

// insert adds a node before the one at work and returns its output.
func (u *upgrader) insert(n *graph.Node, suffix, operator string, attrs op.Attrs, inputs ...*graph.Value) *graph.Value {
	name := u.name(n.Outputs[0].Name + "_" + suffix)
	m := &graph.Node{Name: name, Op: operator, Attrs: attrs, Inputs: inputs}
	v := &graph.Value{Name: name, Node: m}
	m.Outputs = []*graph.Value{v}
	u.out = append(u.out, m)
	return v
}

// setInput makes t input i of n.
func (u *upgrader) setInput(n *graph.Node, i int, suffix string, t *tensor.Tensor) {
	for len(n.Inputs) <= i {
		n.Inputs = append(n.Inputs, nil)
	}
	base := n.Name
	if len(n.Outputs) > 0 && n.Outputs[0] != nil {
		base = n.Outputs[0].Name
	}
	n.Inputs[i] = graph.NewConst(u.name(base+"_"+suffix), t)
}

// intsToInput moves a list of integers from an attribute to input i.
func intsToInput(attr string, i int) step {
	return func(u *upgrader, n *graph.Node) error {
		if v, ok := n.Attrs[attr].([]int64); ok {
			u.setInput(n, i, attr, tensor.From(v, len(v)))
			delete(n.Attrs, attr)
		}
		return nil
	}
}

// floatToInput moves a float from an attribute to input i, as the type that
// the node's first input has.
func floatToInput(attr string, i int) step {
	return func(u *upgrader, n *graph.Node) error {
		if v, ok := n.Attrs[attr].(float32); ok {
			u.setInput(n, i, attr, scalarLike(n.In(0), v))
			delete(n.Attrs, attr)
		}
		return nil
	}
}

// scalarLike returns a scalar of the element type of v, float32 if that is not
// known.
func scalarLike(v *graph.Value, f float32) *tensor.Tensor {
	if v != nil {
		switch v.Type.DType {
		case tensor.Float16:
			return tensor.Scalar(tensor.HalfFrom(f))
		case tensor.BFloat16:
			return tensor.Scalar(tensor.BHalfFrom(f))
		case tensor.Float64:
			return tensor.Scalar(float64(f))
		case tensor.Int32:
			return tensor.Scalar(int32(f))
		case tensor.Int64:
			return tensor.Scalar(int64(f))
		}
	}
	return tensor.Scalar(f)
}

// together makes one step of several.
func together(all ...step) step {
	return func(u *upgrader, n *graph.Node) error {
		for _, s := range all {
			if err := s(u, n); err != nil {
				return err
			}
		}
		return nil
	}
}
