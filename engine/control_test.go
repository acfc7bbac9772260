package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// subgraph returns a graph with these inputs and what f makes of them.
func subgraph(inputs []*graph.Value, f func(g *graph.Graph) []*graph.Value) *graph.Graph {
	g := &graph.Graph{Opset: map[string]int{"": 17}, Inputs: inputs}
	g.Outputs = f(g)
	return g
}

func typed(name string, d tensor.DType, shape ...int) *graph.Value {
	return &graph.Value{Name: name, Type: op.Type{DType: d, Shape: shape, Known: true}}
}

// runGraph runs a graph as it is, and written and read again.
func runGraph(t *testing.T, g *graph.Graph, inputs ...*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	var b strings.Builder
	if err := onnx.Write(&b, g); err != nil {
		t.Fatal(err)
	}
	again, err := onnx.Read([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var first []*tensor.Tensor
	for _, g := range []*graph.Graph{g, again} {
		out, err := compile(t, g, engine.WithThreads(2)).Run(context.Background(), inputs...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range first {
			if err := compareTensors(out[i], first[i], true); err != nil {
				t.Errorf("read again: output %d: %v", i, err)
			}
		}
		first = out
	}
	return first
}

// TestIf takes a branch by what the input holds. Both branches name their result alike, and read what is around them.
func TestIf(t *testing.T) {
	g := &graph.Graph{Opset: map[string]int{"": 17}}
	x := typed("x", tensor.Float32, -1, 3)
	g.Inputs = []*graph.Value{x}
	h := g.New("h", "Relu", nil, x)
	max := g.New("max", "ReduceMax", op.Attrs{"keepdims": int64(0)}, x)
	cond := g.New("cond", "Greater", nil, max, graph.NewConst("two", tensor.Scalar[float32](2)))
	branch := func(operator string) *graph.Graph {
		return subgraph(nil, func(g *graph.Graph) []*graph.Value { return []*graph.Value{g.New("r", operator, nil, h, h)} })
	}
	y := g.New("y", "If", op.Attrs{"then_branch": branch("Add"), "else_branch": branch("Sub")}, cond)
	g.Outputs = []*graph.Value{g.New("z", "Neg", nil, y)}
	for _, c := range []struct{ in, want []float32 }{{[]float32{-1, 2, 3}, []float32{0, -4, -6}}, {[]float32{-1, 2, 1}, []float32{0, 0, 0}}} {
		if out := runGraph(t, g, tensor.From(c.in, 1, 3)); !slices.Equal(out[0].F32(), c.want) {
			t.Errorf("%v gives %v, want %v", c.in, out[0].F32(), c.want)
		}
	}
}

// TestIfInlined puts the branch in the place of an If whose condition follows from the shape.
func TestIfInlined(t *testing.T) {
	g := &graph.Graph{Opset: map[string]int{"": 17}}
	x := typed("x", tensor.Float32, -1, 3, 1)
	g.Inputs = []*graph.Value{x}
	last := g.New("last", "Gather", nil, g.New("shape", "Shape", nil, x), graph.NewConst("two", tensor.Scalar[int64](2)))
	cond := g.New("cond", "Equal", nil, last, graph.NewConst("one", tensor.Scalar[int64](1)))
	squeeze := subgraph(nil, func(g *graph.Graph) []*graph.Value {
		return []*graph.Value{g.New("s", "Squeeze", nil, x, graph.NewConst("axes", tensor.From([]int64{2}, 1)))}
	})
	keep := subgraph(nil, func(g *graph.Graph) []*graph.Value { return []*graph.Value{g.New("s", "Identity", nil, x)} })
	y := g.New("y", "If", op.Attrs{"then_branch": squeeze, "else_branch": keep}, cond)
	g.Outputs = []*graph.Value{y}
	s := g.Clone()
	if err := graph.Simplify(s); err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != 1 || s.Nodes[0].Op != "Squeeze" || s.Outputs[0].Name != "y" {
		t.Errorf("it became\n%s", graph.Format(s))
	}
	if out := runGraph(t, g, tensor.From([]float32{1, 2, 3}, 1, 3, 1)); !slices.Equal(out[0].Shape(), []int{1, 3}) {
		t.Errorf("shape %v", out[0].Shape())
	}
}

// TestLoop sums rounds, keeps every partial sum, and grows what it carries.
func TestLoop(t *testing.T) {
	g := &graph.Graph{Opset: map[string]int{"": 17}}
	x := typed("x", tensor.Float32, 2)
	m := typed("m", tensor.Int64)
	g.Inputs = []*graph.Value{x, m}
	i, c, sum, list := typed("i", tensor.Int64), typed("c", tensor.Bool), typed("sum", tensor.Float32, 2), typed("list", tensor.Float32, -1)
	body := subgraph([]*graph.Value{i, c, sum, list}, func(g *graph.Graph) []*graph.Value {
		next := g.New("next", "Add", nil, sum, x)
		small := g.New("small", "ReduceMax", op.Attrs{"keepdims": int64(0)}, next)
		return []*graph.Value{g.New("go", "Less", nil, small, graph.NewConst("ten", tensor.Scalar[float32](10))), next,
			g.New("longer", "Concat", op.Attrs{"axis": int64(0)}, list, next), g.New("row", "Neg", nil, next)}
	})
	loop := &graph.Node{Name: "loop", Op: "Loop", Attrs: op.Attrs{"body": body},
		Inputs: []*graph.Value{m, nil, graph.NewConst("zero", tensor.From([]float32{0, 0}, 2)), graph.NewConst("none", tensor.From([]float32{}, 0))}}
	for _, name := range []string{"a", "b", "rows"} {
		loop.Outputs = append(loop.Outputs, &graph.Value{Name: name, Node: loop, Type: op.Type{DType: tensor.Float32}})
	}
	g.Nodes, g.Outputs = append(g.Nodes, loop), loop.Outputs
	for _, n := range []struct{ rounds, want int }{{3, 3}, {100, 5}, {0, 0}} {
		out := runGraph(t, g, tensor.From([]float32{1, 2}, 2), tensor.Scalar(int64(n.rounds)))
		if out[0].F32()[1] != float32(2*n.want) || out[1].Len() != 2*n.want || !slices.Equal(out[2].Shape(), []int{n.want, 2}) {
			t.Errorf("%d rounds: %v, %v, %v", n.rounds, out[0].F32(), out[1].Shape(), out[2])
		}
	}
}

// TestScan runs sums along an axis, from the end.
func TestScan(t *testing.T) {
	g := &graph.Graph{Opset: map[string]int{"": 17}}
	x := typed("x", tensor.Float32, 2, 3)
	g.Inputs = []*graph.Value{x}
	sum, e := typed("sum", tensor.Float32, 2), typed("e", tensor.Float32, 2)
	body := subgraph([]*graph.Value{sum, e}, func(g *graph.Graph) []*graph.Value {
		next := g.New("next", "Add", nil, sum, e)
		return []*graph.Value{next, g.New("row", "Identity", nil, next)}
	})
	scan := &graph.Node{Name: "scan", Op: "Scan", Inputs: []*graph.Value{graph.NewConst("zero", tensor.New(tensor.Float32, 2)), x},
		Attrs: op.Attrs{"body": body, "num_scan_inputs": int64(1), "scan_input_axes": []int64{1}, "scan_input_directions": []int64{1}, "scan_output_axes": []int64{-1}}}
	for _, name := range []string{"total", "rows"} {
		scan.Outputs = append(scan.Outputs, &graph.Value{Name: name, Node: scan, Type: op.Type{DType: tensor.Float32}})
	}
	g.Nodes, g.Outputs = []*graph.Node{scan}, scan.Outputs
	out := runGraph(t, g, tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3))
	if !slices.Equal(out[0].F32(), []float32{6, 15}) || !slices.Equal(out[1].F32(), []float32{3, 5, 6, 6, 11, 15}) {
		t.Errorf("%v, %v", out[0].F32(), out[1].F32())
	}
}
