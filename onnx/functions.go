package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
)

// Bounds on how much functions may grow a model: a few calls of calls can
// stand for any number of nodes.
const (
	maxCallDepth = 32
	maxInlined   = 100_000
)

// inliner replaces calls of a model's own functions by their nodes.
type inliner struct {
	functions map[[2]string]*onnxpb.Function
	opset     map[string]int
	made      int // nodes so far
	calls     int
}

func newInliner(m *onnxpb.Model, opset map[string]int) *inliner {
	in := &inliner{functions: make(map[[2]string]*onnxpb.Function), opset: opset}
	for _, f := range m.Functions {
		in.functions[[2]string{domain(f.Domain), f.Name}] = f
	}
	return in
}

// graph expands the calls in a graph and its subgraphs.
func (in *inliner) graph(g *onnxpb.Graph, depth int) error {
	var nodes []*onnxpb.Node
	for _, n := range g.Node {
		expanded, err := in.node(n, depth)
		if err != nil {
			return err
		}
		nodes = append(nodes, expanded...)
	}
	g.Node = nodes
	return nil
}

// node returns what n stands for: itself, or the nodes of the function it calls.
func (in *inliner) node(n *onnxpb.Node, depth int) ([]*onnxpb.Node, error) {
	f := in.functions[[2]string{domain(n.Domain), n.OpType}]
	if f == nil {
		for _, a := range n.Attribute {
			if a.G != nil {
				if err := in.graph(a.G, depth); err != nil {
					return nil, err
				}
			}
		}
		return []*onnxpb.Node{n}, nil
	}
	if in.made += len(f.Node); depth > maxCallDepth || in.made > maxInlined {
		return nil, fmt.Errorf("%w: function %s.%s is nested too deep", ErrFormat, f.Domain, f.Name)
	}
	for _, o := range f.OpsetImport {
		if v, ok := in.opset[domain(o.Domain)]; ok && int64(v) != o.Version {
			return nil, fmt.Errorf("function %s.%s for operator set %d in a model of %d is %w", f.Domain, f.Name, o.Version, v, ErrUnsupported)
		}
		in.opset[domain(o.Domain)] = int(o.Version)
	}
	body := in.bind(f, n)
	g := &onnxpb.Graph{Node: body}
	if err := in.graph(g, depth+1); err != nil {
		return nil, err
	}
	return g.Node, nil
}

// bind returns copies of a function's nodes that read and make the values of
// the calling node, with its attributes.
func (in *inliner) bind(f *onnxpb.Function, call *onnxpb.Node) []*onnxpb.Node {
	in.calls++
	b := &binding{
		names:  make(map[string]string),
		attrs:  make(map[string]*onnxpb.Attribute),
		prefix: fmt.Sprintf("%s_%d/", f.Name, in.calls),
	}
	for _, a := range f.AttributeProto {
		b.attrs[a.Name] = a
	}
	for _, a := range call.Attribute {
		b.attrs[a.Name] = a
	}
	bindNames := func(formal, actual []string) {
		for i, name := range formal {
			b.names[name] = ""
			if i < len(actual) {
				b.names[name] = actual[i]
			}
		}
	}
	bindNames(f.Input, call.Input)
	for i, name := range f.Output {
		if i < len(call.Output) && call.Output[i] != "" {
			b.names[name] = call.Output[i]
		}
	}
	var body []*onnxpb.Node
	for _, n := range f.Node {
		c := proto.CloneOf(n)
		c.Name = b.prefix + c.Name
		b.node(c)
		body = append(body, c)
	}
	return body
}

// binding renames what one call makes and passes on its attributes.
type binding struct {
	names  map[string]string
	attrs  map[string]*onnxpb.Attribute
	prefix string
}

func (b *binding) rename(names []string) {
	for i, name := range names {
		if actual, ok := b.names[name]; ok {
			names[i] = actual
		} else if name != "" {
			names[i] = b.prefix + name
		}
	}
}

func (b *binding) node(n *onnxpb.Node) {
	b.rename(n.Input)
	b.rename(n.Output)
	attrs := n.Attribute[:0]
	for _, a := range n.Attribute {
		if a.RefAttrName != "" {
			given := b.attrs[a.RefAttrName]
			if given == nil {
				continue // not given: the operator's default
			}
			name := a.Name
			a = proto.CloneOf(given)
			a.Name = name
		} else if a.G != nil {
			b.graph(a.G)
		}
		attrs = append(attrs, a)
	}
	n.Attribute = attrs
}

func (b *binding) graph(g *onnxpb.Graph) {
	rename := func(name *string) {
		one := []string{*name}
		b.rename(one)
		*name = one[0]
	}
	for _, v := range g.Input {
		rename(&v.Name)
	}
	for _, v := range g.Output {
		rename(&v.Name)
	}
	for _, t := range g.Initializer {
		rename(&t.Name)
	}
	for _, v := range g.ValueInfo {
		rename(&v.Name)
	}
	for _, n := range g.Node {
		b.node(n)
	}
}
