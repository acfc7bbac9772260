package ptq

import (
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

// tied are places that must have one scale, zero point and sign, because the nodes
// between them move integers without changing them.
type tied struct {
	places []*Place
	moved  map[*Place]bool // those whose values are just other members' values moved
}

// groups returns the places that are on, together with those that they are tied to, in the order of the graph. A
// place without such neighbours is a group of its own. A node in float ties nothing.
func (p *Plan) groups() []*tied {
	union := make(map[*Place]*Place) // towards the representative
	find := func(pl *Place) *Place {
		for union[pl] != nil {
			pl = union[pl]
		}
		return pl
	}
	moved := make(map[*Place]bool)
	for _, np := range p.Nodes {
		first, others := p.ties(np)
		if first == nil {
			continue
		}
		for _, pl := range others {
			if a, b := find(first), find(pl); a != b {
				union[b] = a
			}
		}
		for _, v := range np.Node.Outputs {
			if pl := p.byValue[v]; pl != nil && pl.On {
				moved[pl] = true
			}
		}
	}
	var groups []*tied
	byRoot := make(map[*Place]*tied)
	for _, pl := range p.Places {
		if !pl.On {
			continue
		}
		root := find(pl)
		if byRoot[root] == nil {
			byRoot[root] = &tied{moved: moved}
			groups = append(groups, byRoot[root])
		}
		byRoot[root].places = append(byRoot[root].places, pl)
	}
	return groups
}

// ties returns the places around a node that moves integers, nil for any other node.
func (p *Plan) ties(np *NodePlan) (first *Place, others []*Place) {
	last := 0 // of the inputs that are moved
	switch np.kind {
	case op.Moves:
	case op.Concat:
		last = len(np.Node.Inputs) - 1
	default:
		return nil, nil
	}
	if first = p.placeOf(np.Node, 0); first == nil {
		return nil, nil
	}
	for i := 1; i <= last; i++ {
		if pl := p.placeOf(np.Node, i); pl != nil {
			others = append(others, pl)
		}
	}
	for _, v := range np.Node.Outputs {
		if pl := p.byValue[v]; pl != nil && pl.On {
			others = append(others, pl)
		}
	}
	return first, others
}

// placeOf returns the place that input i of a node reads, nil if it is in float.
func (p *Plan) placeOf(n *graph.Node, i int) *Place {
	pl := p.byValue[n.In(i)]
	if n.In(i).IsConst() {
		pl = p.byInput[operand{n, i}]
	}
	if pl == nil || !pl.On {
		return nil
	}
	return pl
}

// group is a set of scaling nodes that have one scale, see [tied].
type group struct {
	nodes     []*graph.Node
	sources   []*graph.Node // those whose values are not just other members' values moved
	choice    Choice        // of the first source
	unshifted bool          // a member is to have no zero point
	net       *network
}

// groups returns the groups of the network's scaling nodes, in the order of its nodes.
func (net *network) groups() []*group {
	of, moved := make(map[*Place]*group), make(map[*Place]bool)
	for _, t := range net.plan.groups() {
		gr := &group{net: net}
		for _, pl := range t.places {
			of[pl] = gr
		}
		moved = t.moved
	}
	var groups []*group
	for _, n := range net.Nodes {
		pl := net.place[n]
		if pl == nil {
			continue
		}
		gr := of[pl]
		if len(gr.nodes) == 0 {
			groups = append(groups, gr)
		}
		gr.nodes = append(gr.nodes, n)
		gr.unshifted = gr.unshifted || pl.Choice.Zeros == ZeroPointsNone
		if !moved[pl] {
			if len(gr.sources) == 0 {
				gr.choice = pl.Choice
			}
			gr.sources = append(gr.sources, n)
		}
	}
	return groups
}

// isAffine reports whether a scaling node is on the weights of n.
func isAffine(n *graph.Node) bool {
	w := n.In(1)
	return w != nil && scalingOf(w.Node) != nil && isWeight(w.Node) && !constant(n.In(0)) && traitsOf(n).Flow == op.Affine
}
