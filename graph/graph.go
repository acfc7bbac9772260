// Package graph holds a neural network as nodes and values, with the passes
// that rewrite it. A graph has static single assignment: each value has one
// producer, or is an input or a constant.
package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrCycle reports a graph whose nodes depend on each other in a circle.
var ErrCycle = errors.New("graph has a cycle")

// Graph is a network.
type Graph struct {
	Name    string
	Nodes   []*Node // in topological order once Sort has run
	Inputs  []*Value
	Outputs []*Value
	Opset   map[string]int    // version by domain; "" is the ONNX default domain
	Meta    map[string]string // metadata properties of the file

	// External has the sizes of the files beside the graph's own that hold constants, by name; nil if there are none.
	External map[string]int64
}

// Node is one application of an operator.
type Node struct {
	Name    string
	Op      string // operator: "Conv"
	Domain  string // "" is the ONNX default domain
	Attrs   op.Attrs
	Inputs  []*Value // nil for an omitted optional input
	Outputs []*Value // nil for an output that is not asked for

	Scaling Scaling // how the input becomes integers; nil but on nodes that package ptq puts in while it quantizes
}

// Scaling is what a node knows of the integers its input becomes. A copy of the node gets a copy of its own.
type Scaling interface {
	Clone() Scaling
}

// Value is a tensor that nodes compute or read.
type Value struct {
	Name  string
	Type  op.Type        // what is known of it
	Dims  []string       // names of symbolic dimensions, "" for others; nil if there are none
	Const *tensor.Tensor // not nil for a constant (an initializer)
	Node  *Node          // producer; nil for inputs and constants
}

// IsConst reports whether v is a constant. A nil value is none.
func (v *Value) IsConst() bool { return v != nil && v.Const != nil }

// NewConst returns a constant value. It belongs to the graph by being an input
// of one of its nodes.
func NewConst(name string, t *tensor.Tensor) *Value {
	return &Value{Name: name, Type: op.TypeOf(t), Const: t}
}

// New appends a node with one output and returns the output. The value's name
// is the node's name; both should be unique (see [Graph.Unique]).
func (g *Graph) New(name, operator string, attrs op.Attrs, inputs ...*Value) *Value {
	n := &Node{Name: name, Op: operator, Attrs: attrs, Inputs: inputs}
	v := &Value{Name: name, Node: n}
	n.Outputs = []*Value{v}
	g.Nodes = append(g.Nodes, n)
	return v
}

// In returns input i, nil if it is omitted.
func (n *Node) In(i int) *Value {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return nil
}

// String names the node in messages: node "conv1" (Conv).
func (n *Node) String() string {
	for _, v := range n.Outputs {
		if n.Name == "" && v != nil && v.Name != "" {
			return fmt.Sprintf("node making %q (%s)", v.Name, n.Op)
		}
	}
	return fmt.Sprintf("node %q (%s)", n.Name, n.Op)
}

// Uses maps each value to the nodes that read it, one entry for each reading.
// A pass that changes edges makes it anew.
func (g *Graph) Uses() map[*Value][]*Node {
	uses := make(map[*Value][]*Node)
	for _, n := range g.Nodes {
		for _, v := range n.Reads() {
			if v != nil {
				uses[v] = append(uses[v], n)
			}
		}
	}
	return uses
}

// IsOutput reports whether v is an output of the graph.
func (g *Graph) IsOutput(v *Value) bool { return slices.Contains(g.Outputs, v) }

// Replace makes every reader of old, and the graph's outputs, read new
// instead. If old was an output of the graph, new takes its name, which is
// part of the network's interface.
func (g *Graph) Replace(old, new *Value) {
	named := g.IsOutput(old)
	g.replace(old, new)
	if named {
		old.Name, new.Name = new.Name, old.Name
	}
}

// replace is Replace but for the name: nobody knows the outputs of a subgraph by theirs.
func (g *Graph) replace(old, new *Value) {
	for _, n := range g.Nodes {
		for i, v := range n.Inputs {
			if v == old {
				n.Inputs[i] = new
			}
		}
		for _, sub := range n.Subgraphs() {
			sub.replace(old, new)
		}
	}
	for i, v := range g.Outputs {
		if v == old {
			g.Outputs[i] = new
		}
	}
}

// Sort puts the nodes in topological order, keeping the order they have where
// it is free, and drops nodes that no output needs.
func (g *Graph) Sort() error {
	const visiting, done = 1, 2
	state := make(map[*Node]int)
	order := make([]*Node, 0, len(g.Nodes))
	// An explicit stack: a long chain must not exhaust the goroutine's.
	type frame struct {
		node  *Node
		reads []*Value
		next  int
	}
	mine := make(map[*Node]bool, len(g.Nodes)) // a subgraph also reads what nodes around it make
	for _, n := range g.Nodes {
		mine[n] = true
	}
	visit := func(root *Node) error {
		stack := []frame{{node: root, reads: root.Reads()}}
		state[root] = visiting
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(f.reads) {
				state[f.node] = done
				order = append(order, f.node)
				stack = stack[:len(stack)-1]
				continue
			}
			v := f.reads[f.next]
			f.next++
			if v == nil || !mine[v.Node] {
				continue
			}
			switch state[v.Node] {
			case visiting:
				return fmt.Errorf("%w: %s depends on itself", ErrCycle, v.Node)
			case done:
			default:
				state[v.Node] = visiting
				stack = append(stack, frame{node: v.Node, reads: v.Node.Reads()})
			}
		}
		return nil
	}
	for _, n := range g.needed() {
		if state[n] == 0 {
			if err := visit(n); err != nil {
				return err
			}
		}
	}
	g.Nodes = order
	return nil
}

// needed returns the nodes that an output depends on, in their present order.
func (g *Graph) needed() []*Node {
	keep := make(map[*Node]bool)
	var todo []*Value
	todo = append(todo, g.Outputs...)
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if v == nil || v.Node == nil || keep[v.Node] {
			continue
		}
		keep[v.Node] = true
		todo = append(todo, v.Node.Reads()...)
	}
	return slices.DeleteFunc(slices.Clone(g.Nodes), func(n *Node) bool { return !keep[n] })
}

// Unique returns name, or name with a number behind it if a value or node of
// the graph has that name already.
func (g *Graph) Unique(name string) string {
	used := make(map[string]bool)
	for _, v := range g.Values() {
		used[v.Name] = true
	}
	for _, n := range g.Nodes {
		used[n.Name] = true
	}
	for i := 0; ; i++ {
		candidate := name
		if i > 0 {
			candidate = fmt.Sprintf("%s_%d", name, i)
		}
		if !used[candidate] {
			return candidate
		}
	}
}

// Values returns every value once: inputs, then what nodes read and make in
// the order of the nodes.
func (g *Graph) Values() []*Value {
	seen := make(map[*Value]bool)
	var all []*Value
	add := func(vs []*Value) {
		for _, v := range vs {
			if v != nil && !seen[v] {
				seen[v] = true
				all = append(all, v)
			}
		}
	}
	add(g.Inputs)
	for _, n := range g.Nodes {
		add(n.Reads())
		add(n.Outputs)
	}
	add(g.Outputs)
	return all
}
