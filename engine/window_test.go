package engine_test

import (
	"context"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Parts of signals, whose rows do not follow each other in memory.
func TestPartsOfSignals(t *testing.T) {
	list := func(name string, v ...int64) *graph.Value { return graph.NewConst(name, tensor.From(v, len(v))) }
	build := func(f func(g *graph.Graph, x *graph.Value) []*graph.Value) *graph.Graph {
		g := &graph.Graph{Opset: map[string]int{"": 13}}
		x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 2, 4}, Known: true}}
		g.Inputs = []*graph.Value{x}
		g.Outputs = f(g, g.New("relu", "Relu", nil, x))
		return g
	}
	x := tensor.New(tensor.Float32, 2, 2, 4)
	for i := range x.F32() {
		x.F32()[i] = float32(i)
	}
	for name, c := range map[string]struct {
		g    *graph.Graph
		want [][]float32
	}{
		"slice": {build(func(g *graph.Graph, x *graph.Value) []*graph.Value {
			return []*graph.Value{g.New("y", "Slice", nil, x, list("from", 1), list("to", 4), list("axes", 2))}
		}), [][]float32{{1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15}}},
		"split": {build(func(g *graph.Graph, x *graph.Value) []*graph.Value {
			a := g.New("a", "Split", op.Attrs{"axis": int64(2)}, x, list("sizes", 1, 3))
			b := &graph.Value{Name: "b", Node: a.Node}
			a.Node.Outputs = append(a.Node.Outputs, b)
			return []*graph.Value{a, b}
		}), [][]float32{{0, 4, 8, 12}, {1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15}}},
	} {
		t.Run(name, func(t *testing.T) {
			net, err := engine.Compile(c.g)
			if err != nil {
				t.Fatal(err)
			}
			got, err := net.Run(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if !slices.Equal(got[i].F32(), want) {
					t.Errorf("output %d is %v, not %v", i, got[i].F32(), want)
				}
			}
		})
	}
}
