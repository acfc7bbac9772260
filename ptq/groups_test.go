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
	j := scaled(t, g, images(t, 1, 2, 4, 4), WithNodeBits("a", 8, 16))
	want := map[string]int{"a": 16, "b": 16, "c": 16, "y": 8}
	for n, pl := range j.net.place {
		if bits := scalingOf(n).Bits; want[pl.Value.Name] != 0 && bits != want[pl.Value.Name] {
			t.Errorf("%s has %d bits, not %d", pl.Value.Name, bits, want[pl.Value.Name])
		}
	}
}
