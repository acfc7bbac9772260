package graph

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// RemoveIdentities removes nodes that hand on their input: Identity, Dropout
// (outside of training), a Cast to the type it has, a Concat or Sum of one, a
// Pad by nothing.
func RemoveIdentities(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	for _, n := range g.Nodes {
		if !isIdentity(g, n, uses) {
			continue
		}
		in, out := n.In(0), n.Outputs[0]
		if g.IsOutput(out) && (in.Node == nil || g.IsOutput(in) || !slices.Contains(g.Nodes, in.Node)) {
			continue // an input or another output must keep its name
		}
		uses[in] = append(uses[in], uses[out]...)
		g.Replace(out, in)
		count++
	}
	return count, g.Sort()
}

func isIdentity(g *Graph, n *Node, uses map[*Value][]*Node) bool {
	in := n.In(0)
	if n.Domain != "" || in == nil || len(n.Outputs) == 0 || n.Outputs[0] == nil {
		return false
	}
	switch n.Op {
	case "Identity":
		return true
	case "Dropout":
		mask := len(n.Outputs) > 1 && n.Outputs[1] != nil && (len(uses[n.Outputs[1]]) > 0 || g.IsOutput(n.Outputs[1]))
		return !mask && !isTraining(n)
	case "Cast":
		out := n.Outputs[0].Type.DType
		return out != tensor.Undefined && out == in.Type.DType
	case "Concat", "Sum", "Max", "Min", "Mean":
		return len(n.Inputs) == 1
	case "Pad":
		pads, ok := padsOf(n)
		return ok && !slices.ContainsFunc(pads, func(p int) bool { return p != 0 })
	}
	return false
}

// isTraining reports whether a Dropout drops, or may drop, anything.
func isTraining(n *Node) bool {
	if n.Attrs.Int("is_test", 1) == 0 {
		return true // before opset 7
	}
	mode := n.In(2)
	if mode == nil {
		return false
	}
	return !mode.IsConst() || mode.Const.DType() != tensor.Bool || mode.Const.Len() != 1 || tensor.Data[bool](mode.Const)[0]
}
