package ptq

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// Prepare brings the network into the form that the other steps expect:
// constants folded, BatchNormalization within the convolution before it, MatMul and Add as one
// Gemm, padding within the convolution, shapes known; every node with a name of
// its own, sums as additions of two, the bias of a Gemm one value a column; the
// operator set at least the given version.
func Prepare(g *graph.Graph, opset int) error {
	if err := onnx.Upgrade(g, opset); err != nil {
		return fmt.Errorf("ptq: %w", err)
	}
	if err := graph.Simplify(g); err != nil {
		return fmt.Errorf("ptq: %w", err)
	}
	nameNodes(g)
	splitSums(g)
	widenGemmBiases(g)
	if err := g.Sort(); err != nil {
		return fmt.Errorf("ptq: %w", err)
	}
	return nil
}

// copied returns a copy of a network that was given, or an error if it is none.
func copied(g *graph.Graph) (*graph.Graph, error) {
	if g == nil {
		return nil, ErrNoGraph
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("ptq: %w", err)
	}
	return g.Clone(), nil
}

// nameNodes gives a name to every node that has none or another's.
func nameNodes(g *graph.Graph) {
	used := make(map[string]bool)
	for _, n := range g.Nodes {
		if n.Name == "" || used[n.Name] {
			name := n.Op
			if n.Outputs[0] != nil {
				name = n.Outputs[0].Name
			}
			n.Name = name
			for i := 1; used[n.Name]; i++ {
				n.Name = fmt.Sprintf("%s_%d", name, i)
			}
		}
		used[n.Name] = true
	}
}

// splitSums makes additions of two operands of a Sum of several.
func splitSums(g *graph.Graph) {
	for _, n := range g.Nodes {
		if n.Op != "Sum" || n.Domain != "" || len(n.Inputs) < 2 {
			continue
		}
		sum := n.Inputs[0]
		for i, v := range n.Inputs[1 : len(n.Inputs)-1] {
			next := g.New(g.Unique(fmt.Sprintf("%s_part%d", n.Outputs[0].Name, i)), "Add", nil, sum, v)
			next.Type, next.Dims = n.Outputs[0].Type, n.Outputs[0].Dims
			sum = next
		}
		n.Op, n.Inputs = "Add", []*graph.Value{sum, n.Inputs[len(n.Inputs)-1]}
	}
}

// widenGemmBiases replaces biases that are broadcast along the columns.
func widenGemmBiases(g *graph.Graph) {
	for _, n := range g.Nodes {
		b, w := n.In(2), n.In(1)
		if n.Op != "Gemm" || n.Domain != "" || !b.IsConst() || !w.IsConst() || b.Const.DType() != tensor.Float32 {
			continue
		}
		axis := channelAxis(n, w.Const)
		if axis < 0 || axis >= w.Const.Rank() {
			continue
		}
		columns := w.Const.Shape()[axis]
		old := b.Const.F32()
		if b.Const.Rank() == 1 && len(old) == columns || len(old) != 1 && len(old) != columns {
			continue
		}
		wide := make([]float32, columns)
		for i := range wide {
			wide[i] = old[i%len(old)]
		}
		n.Inputs[2] = graph.NewConst(g.Unique(b.Name+"_row"), tensor.From(wide, columns))
	}
}
