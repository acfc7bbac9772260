package program

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Body is a subgraph of a node of control flow as a graph of its own: what it
// reads of the graph around it, Captured, are inputs behind its own.
type Body struct {
	Of       *graph.Graph // the attribute
	Graph    *graph.Graph
	Captured []*Tensor
}

// isControl reports whether a node runs graphs that are its attributes: If, Loop and Scan.
func isControl(n *graph.Node) bool { return len(n.Subgraphs()) > 0 }

// Infer returns what is known of a graph's outputs for inputs of some types.
func Infer(g *graph.Graph, inputs []op.Type) ([]op.Type, error) {
	f, err := infer(g, inputs)
	if err != nil {
		return nil, err
	}
	var types []op.Type
	for _, v := range g.Outputs {
		types = append(types, f.typeOf(v))
	}
	return types, nil
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

// bodies returns a node's subgraphs by the attribute's name, nil for a node without.
func (b *builder) bodies(n *graph.Node) map[string]*Body {
	if !isControl(n) {
		return nil
	}
	bodies := make(map[string]*Body)
	for name, a := range n.Attrs {
		sub, ok := a.(*graph.Graph)
		if !ok {
			continue
		}
		closed, captured := sub.Closed()
		for _, v := range closed.Inputs[:len(closed.Inputs)-len(captured)] {
			v.Type.Known, v.Type.Shape, v.Dims = false, nil, nil // what is carried may change its shape
		}
		body := &Body{Of: sub, Graph: closed}
		for _, v := range captured {
			body.Captured = append(body.Captured, b.operand(v))
		}
		bodies[name] = body
	}
	return bodies
}
