package graph

import (
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// FuseGemm makes one Gemm of a MatMul of matrices and the Add of a constant
// behind it.
func FuseGemm(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	for _, n := range g.Nodes {
		if n.Op != "Add" || n.Domain != "" || len(n.Inputs) != 2 {
			continue
		}
		for i, v := range n.Inputs {
			bias := n.Inputs[1-i]
			if v == nil || v.Node == nil || v.Node.Op != "MatMul" || v.Node.Domain != "" ||
				len(uses[v]) != 1 || g.IsOutput(v) || !isRowBias(v, bias) {
				continue
			}
			matmul := v.Node
			*n = Node{Name: matmul.Name, Op: "Gemm", Attrs: op.Attrs{},
				Inputs: []*Value{matmul.Inputs[0], matmul.Inputs[1], bias}, Outputs: n.Outputs}
			if n.Name == "" {
				n.Name = n.Outputs[0].Name
			}
			count++
			break
		}
	}
	return count, g.Sort()
}

// isRowBias reports whether product is a float32 matrix made of two, and bias
// a constant that Gemm can add to its rows.
func isRowBias(product, bias *Value) bool {
	for _, v := range product.Node.Inputs {
		if v == nil || !v.Type.Known || len(v.Type.Shape) != 2 || v.Type.DType != tensor.Float32 {
			return false
		}
	}
	if !bias.IsConst() || bias.Const.DType() != tensor.Float32 || bias.Const.Rank() > 2 || len(product.Type.Shape) != 2 {
		return false
	}
	columns := product.Type.Shape[1]
	return bias.Const.Len() == 1 || columns != op.Unknown && bias.Const.Len() == columns && bias.Const.Shape()[bias.Const.Rank()-1] == columns
}
