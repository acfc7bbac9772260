package engine

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// isControl reports whether a node runs graphs that are its attributes: If, Loop and Scan.
func isControl(n *graph.Node) bool { return len(n.Subgraphs()) > 0 }

// checkOperators returns an error for a node that cannot be run, also in a subgraph.
func checkOperators(g *graph.Graph) error {
	for _, n := range g.Nodes {
		if _, err := op.Lookup(n.Domain, n.Op); err != nil {
			return fmt.Errorf("engine: %s: %w", n, err)
		}
		for _, sub := range n.Subgraphs() {
			if err := checkOperators(sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// body returns what is known of the results of a subgraph for inputs of some types, nil if it does not fit them: it may
// be a branch that is not taken.
func (f *facts) body(n *graph.Node, attr string, inputs []op.Type) []op.Type {
	sub, ok := n.Attrs[attr].(*graph.Graph)
	if !ok || len(inputs) != len(sub.Inputs) {
		return nil
	}
	in := newFacts(sub)
	in.outer = f
	for i, v := range sub.Inputs {
		if in.types[v] = inputs[i]; inputs[i].DType == tensor.Undefined {
			in.types[v] = op.Type{DType: v.Type.DType}
		}
	}
	for _, m := range sub.Nodes {
		if err := in.node(m); err != nil {
			return nil
		}
	}
	types := make([]op.Type, len(sub.Outputs))
	for i, v := range sub.Outputs {
		types[i] = in.typeOf(v)
	}
	return types
}

// body is a subgraph as a network of its own. What it reads of the graph around it are inputs behind its own.
type body struct {
	net      *Net
	captured []*graph.Value
}

// bodyOf returns the network for a subgraph of the net's graph, made when it is first asked for. The caller holds mu.
func (net *Net) bodyOf(sub *graph.Graph) (*body, error) {
	if b := net.bodies[sub]; b != nil {
		return b, nil
	}
	closed, captured := sub.Closed()
	for _, v := range closed.Inputs[:len(closed.Inputs)-len(captured)] {
		v.Type.Known, v.Type.Shape, v.Dims = false, nil, nil // what is carried may change its shape
	}
	options := []Option{WithThreads(net.threads), WithRequant(net.requant)}
	if net.float {
		options = append(options, WithFloat())
	}
	inner, err := Compile(closed, options...)
	if err != nil {
		return nil, err
	}
	b := &body{inner, captured}
	net.bodies[sub] = b
	return b, nil
}

// operand is where a step finds a plain tensor: a constant, or a slot.
type operand struct {
	fixed *tensor.Tensor
	slot  int // plus one; 0 for an input that is omitted
}

func (b *builder) operand(v *graph.Value) operand {
	switch {
	case v == nil:
		return operand{}
	case b.isConst(v):
		return operand{fixed: b.constant(v)}
	}
	return operand{slot: b.tensor(v)}
}

func (o operand) of(c *call) *tensor.Tensor {
	if o.slot > 0 {
		return c.slots[o.slot-1]
	}
	return o.fixed
}

// boundBody is a body with the places of what it captures.
type boundBody struct {
	*body
	reads []operand
}

// bodies returns the networks of a node's subgraphs by the attribute's name, nil for a node without.
func (b *builder) bodies(n *graph.Node) (map[string]boundBody, error) {
	if !isControl(n) {
		return nil, nil
	}
	bound := make(map[string]boundBody)
	for name, a := range n.Attrs {
		sub, ok := a.(*graph.Graph)
		if !ok {
			continue
		}
		inner, err := b.net.bodyOf(sub)
		if err != nil {
			return nil, err
		}
		reads := make([]operand, len(inner.captured))
		for i, v := range inner.captured {
			reads[i] = b.operand(v)
		}
		bound[name] = boundBody{inner, reads}
	}
	return bound, nil
}

// runBodies makes a call run the bodies.
func runBodies(oc *op.Call, c *call, bodies map[string]boundBody) {
	oc.Body = func(name string, inputs []*tensor.Tensor) ([]*tensor.Tensor, error) {
		b, ok := bodies[name]
		if !ok {
			return nil, fmt.Errorf("%w: it has no graph %q", op.ErrAttr, name)
		}
		given := append([]*tensor.Tensor(nil), inputs...)
		for _, r := range b.reads {
			given = append(given, r.of(c))
		}
		return b.net.Run(c.ctx, given...)
	}
	oc.BodyTypes = func(name string, inputs []op.Type) []op.Type {
		b := bodies[name]
		for _, r := range b.reads {
			inputs = append(inputs, op.TypeOf(r.of(c)))
		}
		if b.body == nil || len(inputs) != len(b.net.graph.Inputs) {
			return nil
		}
		f, err := infer(b.net.graph, inputs)
		if err != nil {
			return nil
		}
		var types []op.Type
		for _, v := range b.net.graph.Outputs {
			types = append(types, f.typeOf(v))
		}
		return types
	}
}
