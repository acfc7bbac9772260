package graph

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Subgraphs returns the graphs among the attributes of n (the branches of If,
// the body of Loop), in the order of the attributes' names. Their nodes may
// read values of the graphs around them.
func (n *Node) Subgraphs() []*Graph {
	var names []string // few nodes have any
	for name, a := range n.Attrs {
		if _, ok := a.(*Graph); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var subs []*Graph
	for _, name := range names {
		subs = append(subs, n.Attrs[name].(*Graph))
	}
	return subs
}

// Reads returns all that n depends on: its inputs (nil for an omitted one),
// then what its subgraphs read of the graphs around them.
func (n *Node) Reads() []*Value {
	reads := n.Inputs
	for _, sub := range n.Subgraphs() {
		reads = append(reads[:len(reads):len(reads)], sub.captured()...)
	}
	return reads
}

// captured returns the values that g reads and neither makes nor is given.
// Constants count as its own.
func (g *Graph) captured() []*Value {
	own := make(map[*Value]bool)
	for _, v := range g.Inputs {
		own[v] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			own[v] = true
		}
	}
	var out []*Value
	add := func(vs []*Value) {
		for _, v := range vs {
			if v != nil && !own[v] && !v.IsConst() {
				out = append(out, v)
			}
		}
	}
	for _, n := range g.Nodes {
		add(n.Reads())
	}
	add(g.Outputs)
	return out
}

// ReplaceCaptured makes the subgraphs of n read new instead of old.
func (n *Node) ReplaceCaptured(old, new *Value) {
	for _, sub := range n.Subgraphs() {
		sub.replace(old, new)
	}
}

// Closed returns a copy of a subgraph that reads nothing of the graphs around
// it: what it reads there, captured, are inputs of the copy behind its own.
func (g *Graph) Closed() (closed *Graph, captured []*Value) {
	c := cloner{values: make(map[*Value]*Value), nodes: make(map[*Node]*Node)}
	closed = c.graph(g)
	seen := make(map[*Value]bool)
	for _, v := range g.captured() {
		if !seen[v] {
			seen[v] = true
			captured = append(captured, v)
			closed.Inputs = append(closed.Inputs, c.values[v])
		}
	}
	return closed, captured
}

// InlineIfs puts the branch that is taken in the place of an If whose
// condition is constant.
func InlineIfs(g *Graph) (int, error) {
	count := 0
	for _, n := range slices.Clone(g.Nodes) {
		cond := n.In(0)
		if n.Op != "If" || n.Domain != "" || !cond.IsConst() || cond.Const.DType() != tensor.Bool || cond.Const.Len() != 1 {
			continue
		}
		name := "else_branch"
		if tensor.Data[bool](cond.Const)[0] {
			name = "then_branch"
		}
		sub, ok := n.Attrs[name].(*Graph)
		if !ok || len(sub.Inputs) > 0 || len(sub.Outputs) < len(n.Outputs) {
			return count, fmt.Errorf("%s: it has no graph %s for %d outputs", n, name, len(n.Outputs))
		}
		sub.inlineInto(g, n)
		count++
	}
	return count, g.Sort()
}

// inlineInto appends the nodes of a branch to the graph around it. The outputs of n, the If, are made from the
// branch's by nodes that change nothing: so they keep their names, whatever the branch hands on.
func (sub *Graph) inlineInto(g *Graph, n *Node) {
	names := make(map[string]bool)
	g.allNames(names, n)
	known := make(map[*Value]bool)
	for _, v := range g.Values() {
		known[v] = true
	}
	for _, v := range sub.Values() {
		if !known[v] && (v.IsConst() || slices.ContainsFunc(sub.Nodes, func(m *Node) bool { return m == v.Node })) {
			v.Name = fresh(v.Name, names)
		}
	}
	for _, m := range sub.Nodes {
		m.Name = fresh(m.Name, names)
	}
	g.Nodes = append(g.Nodes, sub.Nodes...)
	for i, v := range n.Outputs {
		if v != nil {
			v.Node = &Node{Name: fresh(n.Name, names), Op: "Identity", Inputs: []*Value{sub.Outputs[i]}, Outputs: []*Value{v}}
			g.Nodes = append(g.Nodes, v.Node)
		}
	}
	n.Outputs = nil
}

// fresh returns a name that is in none of the graphs, and adds it.
func fresh(name string, names map[string]bool) string {
	if name == "" {
		return ""
	}
	unique := name
	for i := 1; names[unique]; i++ {
		unique = fmt.Sprintf("%s_%d", name, i)
	}
	names[unique] = true
	return unique
}

// allNames adds the names of all values and nodes, and those of subgraphs, but for what is in node without.
func (g *Graph) allNames(names map[string]bool, without *Node) {
	for _, v := range g.Values() {
		names[v.Name] = true
	}
	for _, n := range g.Nodes {
		names[n.Name] = true
		if n == without {
			continue
		}
		for _, sub := range n.Subgraphs() {
			sub.allNames(names, nil)
		}
	}
}
