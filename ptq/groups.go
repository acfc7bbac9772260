package ptq

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// scales finds the scaling nodes around the nodes of a graph.
type scales struct {
	of   map[*graph.Value]*graph.Node // the scaling node that reads a computed value
	uses map[*graph.Value][]*graph.Node
}

func scalesOf(g *graph.Graph) *scales {
	s := &scales{of: make(map[*graph.Value]*graph.Node), uses: g.Uses()}
	for _, n := range g.Nodes {
		if scalingOf(n) != nil && !isWeight(n) {
			s.of[n.Inputs[0]] = n
		}
	}
	return s
}

// input returns the scaling node that makes input i of n, nil if it is in float.
func (s *scales) input(n *graph.Node, i int) *graph.Node {
	if v := n.In(i); v != nil && scalingOf(v.Node) != nil {
		return v.Node
	}
	return nil
}

// output returns the scaling node behind n and behind the activation function
// that follows it, nil if its result stays in float.
func (s *scales) output(n *graph.Node) *graph.Node {
	v := n.Outputs[0]
	if s.of[v] == nil && len(s.uses[v]) == 1 && isActivationFunction(s.uses[v][0]) {
		v = s.uses[v][0].Outputs[0]
	}
	return s.of[v]
}

// group is a set of scaling nodes that must have one scale, zero point and sign,
// because the nodes between them move integers without changing them.
type group struct {
	nodes   []*graph.Node // all of them
	sources []*graph.Node // those whose values are not just other members' values moved
}

// groupsOf returns the groups of activations, in the order of the graph. A
// scaling node without such neighbours is a group of its own.
func groupsOf(g *graph.Graph) []*group {
	s := scalesOf(g)
	union := make(map[*graph.Node]*graph.Node) // towards the representative
	find := func(n *graph.Node) *graph.Node {
		for union[n] != nil {
			n = union[n]
		}
		return n
	}
	moved := make(map[*graph.Node]bool)
	for _, n := range g.Nodes {
		var members []*graph.Node
		switch k, _ := kindOf(g, n); k {
		case op.Moves:
			members = []*graph.Node{s.input(n, 0)}
		case op.Concat:
			for i := range n.Inputs {
				members = append(members, s.input(n, i))
			}
		default:
			continue
		}
		for _, v := range n.Outputs {
			if v != nil && s.of[v] != nil && members[0] != nil {
				moved[s.of[v]] = true
				members = append(members, s.of[v])
			}
		}
		for _, m := range members[1:] {
			if a, b := find(members[0]), find(m); members[0] != nil && m != nil && a != b {
				union[b] = a
			}
		}
	}
	var groups []*group
	byRoot := make(map[*graph.Node]*group)
	for _, n := range g.Nodes {
		if sc := scalingOf(n); sc == nil || isWeight(n) && !s.isOperand(n) {
			continue
		}
		root := find(n)
		if byRoot[root] == nil {
			byRoot[root] = new(group)
			groups = append(groups, byRoot[root])
		}
		gr := byRoot[root]
		gr.nodes = append(gr.nodes, n)
		if !moved[n] {
			gr.sources = append(gr.sources, n)
		}
	}
	return groups
}

// isOperand reports whether a scaling node on a constant makes an operand of a
// join or product, which is quantized like an activation.
func (s *scales) isOperand(n *graph.Node) bool {
	r := s.uses[n.Outputs[0]][0]
	t := traitsOf(r)
	return t.Role(slices.Index(r.Inputs, n.Outputs[0])) == op.Data
}

// isAffine reports whether a scaling node is on the weights of n.
func isAffine(n *graph.Node) bool {
	w := n.In(1)
	return w != nil && scalingOf(w.Node) != nil && isWeight(w.Node) && !constant(n.In(0)) && traitsOf(n).Flow == op.Affine
}
