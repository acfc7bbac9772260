package graph

import (
	"maps"
	"slices"
)

// Subgraphs returns the graphs among the attributes of n (the branches of If,
// the body of Loop), in the order of the attributes' names. Their nodes may
// read values of the graphs around them.
func (n *Node) Subgraphs() []*Graph {
	var subs []*Graph
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		if sub, ok := n.Attrs[name].(*Graph); ok {
			subs = append(subs, sub)
		}
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
