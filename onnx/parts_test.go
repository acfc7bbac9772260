package onnx

import (
	"bytes"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Operators that came after the newest operator set that is written are in a file as
// their parts, which simplifying makes one of again.
func TestParts(t *testing.T) {
	for _, opset := range []int{13, 18} {
		g := &graph.Graph{Opset: map[string]int{"": opset}}
		x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{2, 3, 4}, Known: true}}
		g.Inputs = []*graph.Value{x}
		scale := graph.NewConst("scale", tensor.From([]float32{1, 2, 3, 4}, 4))
		v := g.New("norm", "RMSNormalization", op.Attrs{"axis": int64(-1), "epsilon": float32(1e-6)}, x, scale)
		v = g.New("swish", "Swish", nil, v)
		g.Outputs = []*graph.Value{g.New("scaled", "Swish", op.Attrs{"alpha": float32(1.5)}, v)}
		var file bytes.Buffer
		if err := Write(&file, g); err != nil {
			t.Fatal(err)
		}
		if len(g.Nodes) != 3 {
			t.Errorf("writing changed the graph to %d nodes", len(g.Nodes))
		}
		back, err := Read(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := back.Opset[""]; got != opset {
			t.Errorf("the operator set became %d", got)
		}
		for _, n := range back.Nodes {
			if inParts(n) {
				t.Errorf("%s is in the file", n)
			}
		}
		if err := graph.Simplify(back); err != nil {
			t.Fatal(err)
		}
		var ops []string
		for _, n := range back.Nodes {
			ops = append(ops, n.Op)
		}
		if want := []string{"RMSNormalization", "Swish", "Mul", "Sigmoid", "Mul"}; !slices.Equal(ops, want) {
			t.Errorf("operator set %d: simplified to %v, not %v", opset, ops, want)
		}
	}
}
