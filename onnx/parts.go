package onnx

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// parts has operators that simplifying a graph can make and that came after
// [LatestOpset]: how they are written in operators that are older.
var parts = map[string]func(u *upgrader, n *graph.Node, opset int){
	"Swish": swishParts, "RMSNormalization": rmsNormParts,
}

func inParts(n *graph.Node) bool { return n.Domain == "" && parts[n.Op] != nil }

// holdsParts reports whether g, or a graph within it, has such operators.
func holdsParts(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool {
		return inParts(n) || slices.ContainsFunc(n.Subgraphs(), holdsParts)
	})
}

// takeApart replaces these operators, in g and the graphs within it, by their
// parts in the version of the operator set.
func takeApart(g *graph.Graph, opset int) {
	u := &upgrader{root: g, used: make(map[string]bool)}
	u.reserve(g)
	u.takeApart(g, opset)
}

func (u *upgrader) takeApart(g *graph.Graph, opset int) {
	u.out = nil
	var nodes []*graph.Node
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			u.takeApart(sub, opset)
		}
		u.out = nil
		if inParts(n) {
			parts[n.Op](u, n, opset)
		}
		nodes = append(append(nodes, u.out...), n)
	}
	g.Nodes = nodes
}

// swishParts writes x*sigmoid(alpha*x).
func swishParts(u *upgrader, n *graph.Node, _ int) {
	x := n.Inputs[0]
	gate := x
	if alpha := n.Attrs.Float("alpha", 1); alpha != 1 {
		gate = u.insert(n, "scaled", "Mul", nil, x, u.scalar(n, "alpha", x, alpha))
	}
	*n = graph.Node{Name: n.Name, Op: "Mul", Inputs: []*graph.Value{x, u.insert(n, "gate", "Sigmoid", nil, gate)}, Outputs: n.Outputs}
}

// rmsNormParts writes x/sqrt(mean(x^2)+epsilon)*scale.
func rmsNormParts(u *upgrader, n *graph.Node, opset int) {
	x, rank := n.Inputs[0], len(n.Inputs[0].Type.Shape)
	var axes []int64
	for a := n.Attrs.Int("axis", -1); a < 0 || a >= 0 && a < rank; a++ {
		if axes = append(axes, int64(a)); a == -1 {
			break
		}
	}
	square := u.insert(n, "square", "Pow", nil, x, u.scalar(n, "two", x, 2))
	mean := u.insert(n, "mean", "ReduceMean", op.Attrs{"axes": axes}, square)
	if opset >= 18 {
		mean.Node.Attrs = nil
		mean.Node.Inputs = append(mean.Node.Inputs, graph.NewConst(u.name(n.Outputs[0].Name+"_axes"), tensor.From(axes, len(axes))))
	}
	sum := u.insert(n, "sum", "Add", nil, mean, u.scalar(n, "epsilon", x, n.Attrs.Float("epsilon", 1e-5)))
	whole := u.insert(n, "whole", "Div", nil, x, u.insert(n, "root", "Sqrt", nil, sum))
	*n = graph.Node{Name: n.Name, Op: "Mul", Inputs: []*graph.Value{whole, n.Inputs[1]}, Outputs: n.Outputs}
}

// scalar returns a constant number of the type of x.
func (u *upgrader) scalar(n *graph.Node, suffix string, x *graph.Value, f float32) *graph.Value {
	return graph.NewConst(u.name(n.Outputs[0].Name+"_"+suffix), scalarLike(x, f))
}
