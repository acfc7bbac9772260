package onnx

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
	"github.com/narrow-ml/narrow/tensor"
)

// nodes decodes nodes and defines what they make in s. A Constant becomes a
// constant value and no node. Nodes may stand in any order, though the format
// asks for a topological one.
func (r *reader) nodes(ps []*onnxpb.Node, s *scope) ([]*graph.Node, error) {
	nodes := make([]*graph.Node, 0, len(ps))
	decoded := make([]*graph.Node, len(ps)) // nil for a Constant
	for i, p := range ps {
		if p.OpType == "" {
			return nil, fmt.Errorf("%w: node %q has no operator", ErrFormat, p.Name)
		}
		n := &graph.Node{Name: p.Name, Op: p.OpType, Domain: domain(p.Domain)}
		for _, name := range p.Output {
			if name == "" {
				n.Outputs = append(n.Outputs, nil)
				continue
			}
			v := &graph.Value{Name: name, Node: n}
			if err := s.define(v); err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
			n.Outputs = append(n.Outputs, v)
		}
		if n.Op == "Constant" && n.Domain == "" {
			if err := r.constant(n, p, s); err != nil {
				return nil, fmt.Errorf("%s: %w", n, err)
			}
			continue
		}
		decoded[i] = n
		nodes = append(nodes, n)
	}
	for i, p := range ps {
		if decoded[i] == nil {
			continue
		}
		if err := r.node(decoded[i], p, s); err != nil {
			return nil, fmt.Errorf("%s: %w", decoded[i], err)
		}
	}
	return nodes, nil
}

// node decodes the inputs and attributes of n.
func (r *reader) node(n *graph.Node, p *onnxpb.Node, s *scope) error {
	for _, name := range p.Input {
		if name == "" {
			n.Inputs = append(n.Inputs, nil)
			continue
		}
		v := s.find(name)
		if v == nil {
			return fmt.Errorf("%w: input %q is made by no node", ErrFormat, name)
		}
		n.Inputs = append(n.Inputs, v)
	}
	n.Attrs = make(op.Attrs, len(p.Attribute))
	for _, a := range p.Attribute {
		v, err := r.attr(a, s)
		if err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		n.Attrs[a.Name] = v
	}
	return nil
}

// constant makes the output of a Constant node a constant value.
func (r *reader) constant(n *graph.Node, p *onnxpb.Node, s *scope) error {
	if len(n.Outputs) != 1 || n.Outputs[0] == nil || len(p.Attribute) != 1 {
		return fmt.Errorf("%w: a Constant has one output and one attribute", ErrFormat)
	}
	value, err := r.attr(p.Attribute[0], s)
	if err != nil {
		return err
	}
	t := attrTensor(value)
	if t == nil {
		return fmt.Errorf("%w: attribute %q holds no constant", ErrFormat, p.Attribute[0].Name)
	}
	*n.Outputs[0] = *graph.NewConst(n.Outputs[0].Name, t)
	return nil
}

// attrTensor returns an attribute's value as a tensor, nil if it cannot be one.
func attrTensor(value any) *tensor.Tensor {
	switch v := value.(type) {
	case *tensor.Tensor:
		return v
	case float32:
		return tensor.Scalar(v)
	case int64:
		return tensor.Scalar(v)
	case string:
		return tensor.Scalar(v)
	case []float32:
		return tensor.From(v, len(v))
	case []int64:
		return tensor.From(v, len(v))
	case []string:
		return tensor.From(v, len(v))
	}
	return nil
}
