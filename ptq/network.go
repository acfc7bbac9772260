package ptq

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// network is a copy of a plan's network with scaling nodes: what the steps behind calibration work on.
type network struct {
	*graph.Graph
	plan    *Plan
	nodes   map[*graph.Node]*NodePlan // by node of the copy
	place   map[*graph.Node]*Place    // by scaling node on an activation or a constant operand
	scaling map[*Place]*graph.Node
}

// insertScaling returns the plan's network with a scaling node at every place that is on, and on the weights
// and biases of affine nodes: behind every affine node with its activation function, behind every
// join, on the inputs of the network that such nodes read, and on constant operands.
func (p *Plan) insertScaling() (*network, error) {
	net := &network{
		Graph: p.Graph.Clone(), plan: p, nodes: make(map[*graph.Node]*NodePlan),
		place: make(map[*graph.Node]*Place), scaling: make(map[*Place]*graph.Node),
	}
	copied := make(map[*graph.Value]*graph.Value)
	pair := func(from, to []*graph.Value) {
		for i, v := range from {
			copied[v] = to[i]
		}
	}
	pair(p.Graph.Inputs, net.Inputs)
	own := make(map[*graph.Node]*graph.Node)
	nodes := net.Nodes
	for i, n := range nodes {
		np := p.Nodes[i]
		net.nodes[n], own[np.Node] = np, n
		pair(np.Node.Inputs, n.Inputs)
		pair(np.Node.Outputs, n.Outputs)
	}
	uses := net.Uses()
	for _, pl := range p.Places {
		if pl.On && pl.reader == nil {
			net.insertAt(pl, copied[pl.Value], uses)
		}
	}
	for i, n := range nodes {
		if p.Nodes[i].kind == op.Affine {
			net.scaleParameters(n)
		}
	}
	for _, pl := range p.Places {
		if pl.On && pl.reader != nil {
			net.scaleConstant(pl, own[pl.reader])
		}
	}
	return net, net.Sort()
}

// kind returns how a node of the copy takes part: a scaling node not at all.
func (net *network) kind(n *graph.Node) op.Flow {
	if np := net.nodes[n]; np != nil {
		return np.kind
	}
	return op.FloatOnly
}

// insertAt puts a scaling node on v, between it and those who read integers.
func (net *network) insertAt(pl *Place, v *graph.Value, uses map[*graph.Value][]*graph.Node) {
	out := newScaling(net.Graph, v, &Scaling{Grid: Grid{Bits: pl.Choice.Bits, Signed: true}, Axis: -1})
	net.place[out.Node], net.scaling[pl] = pl, out.Node
	whole := net.plan.whole(pl.Value)
	for _, n := range uses[v] {
		if net.kind(n) == op.FloatOnly && !whole {
			continue // takes it as it is
		}
		for i, in := range n.Inputs {
			if in == v {
				n.Inputs[i] = out
			}
		}
	}
	for i, o := range net.Outputs {
		if o == v && (whole || net.plan.wantsResult(pl.Value)) {
			net.Outputs[i] = out
			v.Name, out.Name = net.Unique(v.Name+"_float"), v.Name
			out.Node.Name = out.Name + "_scaled"
		}
	}
}

// scaleParameters puts scaling nodes on the weights and the bias of an affine node.
func (net *network) scaleParameters(n *graph.Node) {
	n.Inputs[1] = newScaling(net.Graph, n.Inputs[1], &Scaling{Grid: Grid{Bits: net.nodes[n].WeightBits, Signed: true}, Axis: -1})
	if b := n.In(2); b != nil {
		n.Inputs[2] = newScaling(net.Graph, b, &Scaling{Grid: Grid{Bits: 32, Signed: true}, Axis: -1, Bias: true})
	}
}

// scaleConstant puts a scaling node on a constant operand.
func (net *network) scaleConstant(pl *Place, reader *graph.Node) {
	out := newScaling(net.Graph, pl.Value, &Scaling{Grid: Grid{Bits: pl.Choice.Bits, Signed: true}, Axis: -1})
	net.place[out.Node], net.scaling[pl] = pl, out.Node
	reader.Inputs[pl.input] = out
}
