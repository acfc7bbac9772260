package ptq

import (
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Tensors that a Concat puts together are integers of one meaning, so one of
// more bits gives its bits to all.
func TestGroupsShareBits(t *testing.T) {
	g := &graph.Graph{Opset: map[string]int{"": 21}}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{1, 2, 4, 4}, Known: true}}
	g.Inputs = []*graph.Value{x}
	w := func(name string) *graph.Value { return graph.NewConst(name, tensor.New(tensor.Float32, 2, 2, 1, 1)) }
	a := g.New("a", "Conv", nil, x, w("wa"))
	b := g.New("b", "Conv", nil, x, w("wb"))
	c := g.New("c", "Concat", op.Attrs{"axis": int64(1)}, a, b)
	y := g.New("y", "Conv", nil, c, graph.NewConst("wy", tensor.New(tensor.Float32, 2, 4, 1, 1)))
	g.Outputs = []*graph.Value{y}
	if err := graph.Infer(g); err != nil {
		t.Fatal(err)
	}
	InsertScaling(g, func(n *graph.Node) (weights, activations int) {
		if n.Name == "a" {
			return 8, 16
		}
		return 8, 8
	}, func(*graph.Node) bool { return false })
	for _, gr := range groupsOf(g) {
		gr.widen()
	}
	for _, n := range g.Nodes {
		s := scalingOf(n)
		want := map[*graph.Value]int{a: 16, b: 16, c: 16, y: 8}
		if s != nil && want[n.Inputs[0]] != 0 && s.Bits != want[n.Inputs[0]] {
			t.Errorf("%s has %d bits, not %d", n.Inputs[0].Name, s.Bits, want[n.Inputs[0]])
		}
	}
}
