package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/qdq"
	"github.com/narrow-ml/narrow/tensor"
)

// randomNetwork makes a network on [n, 4, 6] of steps that treat the batch in every way:
// that leave it, move it away and bring it back, take it for something else, fix it, or compute with its size.
func randomNetwork(r *rand.Rand) *graph.Graph {
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 4, 6}, Known: true}, Dims: []string{"n", "", ""}}
	g := &graph.Graph{Opset: map[string]int{"": 17}, Inputs: []*graph.Value{x}}
	v, count := x, 0
	add := func(operator string, attrs op.Attrs, inputs ...*graph.Value) *graph.Value {
		count++
		return g.New(fmt.Sprint(operator, count), operator, attrs, inputs...)
	}
	ints := func(v ...int64) *graph.Value { return graph.NewConst("ints", tensor.From(v, len(v))) }
	floats := func(shape ...int) *graph.Value {
		count++
		return graph.NewConst(fmt.Sprint("c", count), qdq.RandomInput(r.Uint64(), shape...))
	}
	for range 1 + r.IntN(5) {
		switch r.IntN(16) {
		case 0:
			v = add("Relu", nil, v)
		case 1:
			v = add("Mul", nil, v, floats(4, 6))
		case 2:
			v = add("MatMul", nil, v, floats(6, 6))
		case 3:
			v = add("Softmax", op.Attrs{"axis": int64(r.IntN(3))}, v)
		case 4: // away and back
			v = add("Transpose", op.Attrs{"perm": []int64{1, 0, 2}}, add("Tanh", nil, add("Transpose", op.Attrs{"perm": []int64{1, 0, 2}}, v)))
		case 5: // the samples in one row
			v = add("Reshape", nil, add("Softmax", op.Attrs{"axis": int64(-1)}, add("Reshape", nil, v, ints(1, 4, -1))), ints(-1, 4, 6))
		case 6:
			v = add("Reshape", nil, add("Softmax", op.Attrs{"axis": int64(-1)}, add("Reshape", nil, v, ints(0, -1))), ints(0, 4, 6))
		case 7: // all axes of length 1
			v = add("Reshape", nil, add("Squeeze", nil, v), ints(-1, 4, 6))
		case 8: // the size of the batch as a number
			n := add("Cast", op.Attrs{"to": int64(1)}, add("Gather", nil, add("Shape", nil, v), graph.NewConst(fmt.Sprint("z", count), tensor.Scalar(int64(0)))))
			v = add("Mul", nil, v, n)
		case 9:
			v = add("CumSum", nil, v, graph.NewConst(fmt.Sprint("a", count), tensor.Scalar(int64(r.IntN(3)))))
		case 10:
			v = add("Add", nil, v, add("ReduceMean", op.Attrs{"axes": []int64{int64(r.IntN(3))}}, v))
		case 11:
			v = add("Slice", nil, add("Concat", op.Attrs{"axis": int64(1)}, v, v), ints(2), ints(6), ints(1))
		case 12: // queries, keys and values as attention makes them
			w := add("Transpose", op.Attrs{"perm": []int64{2, 0, 1, 3}}, add("Reshape", nil, v, ints(0, 4, 2, 3)))
			a := add("Gather", op.Attrs{"axis": int64(0)}, w, graph.NewConst(fmt.Sprint("i", count), tensor.Scalar(int64(0))))
			b := add("Gather", op.Attrs{"axis": int64(0)}, w, graph.NewConst(fmt.Sprint("j", count), tensor.Scalar(int64(1))))
			v = add("Concat", op.Attrs{"axis": int64(2)}, a, add("Mul", nil, a, b))
		case 13:
			v = add("LayerNormalization", nil, v, floats(6))
		case 14: // places in the whole batch
			p := add("Reshape", nil, v, ints(0, 2, 2, 6))
			pool := add("MaxPool", op.Attrs{"kernel_shape": []int64{1, 1}}, p)
			pool.Node.Outputs = append(pool.Node.Outputs, &graph.Value{Name: fmt.Sprint("places", count), Node: pool.Node})
			v = add("Reshape", nil, add("Add", nil, pool, add("Cast", op.Attrs{"to": int64(1)}, pool.Node.Outputs[1])), ints(0, 4, 6))
		case 15:
			v = add("Mul", nil, v, add("Unsqueeze", nil, add("ReduceMax", op.Attrs{"axes": []int64{0, 1, 2}, "keepdims": int64(0)}, v), ints(0)))
		}
	}
	g.Outputs = []*graph.Value{v}
	return g
}

// TestBatchIsNoMatter runs random networks on batches as Separate makes them, and input by input.
func TestBatchIsNoMatter(t *testing.T) {
	count := 2000
	if testing.Short() {
		count = 300
	}
	r := rand.New(rand.NewPCG(14, 3))
	ran, together := 0, 0
	for i := range count {
		g := randomNetwork(r)
		x := tensor.New(tensor.Float32, 5, 4, 6)
		for i := range x.F32() {
			x.F32()[i] = float32(r.NormFloat64())
		}
		net, err := engine.Compile(g)
		if err != nil {
			t.Fatal(err)
		}
		data, err := dataset.FromTensors(x)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := runAll(net, data, 1)
		if err != nil {
			continue // some do not take one input
		}
		source, why := net.Separate(data)
		for _, batch := range []int{2, 5} {
			got, err := runAll(net, source, batch)
			if err != nil {
				t.Fatalf("network %d in batches of %d (%s): %v", i, batch, why, err)
			}
			if !slices.Equal(got, alone) {
				t.Fatalf("network %d is not the same in batches of %d (%q stands in the way):\n%s", i, batch, why, graph.Format(g))
			}
		}
		if ran++; why == "" {
			together++
		}
	}
	t.Logf("%d networks, %d of them proved", ran, together)
	if together < ran/10 || together > ran*9/10 {
		t.Errorf("%d of %d networks are proved to keep inputs apart: that tests one side only", together, ran)
	}
}

func runAll(net *engine.Net, source dataset.Source, batch int) ([]float32, error) {
	var all []float32
	for x, err := range source.Batches(batch) {
		if err != nil {
			return nil, err
		}
		y, err := net.Run(context.Background(), x...)
		if err != nil {
			return nil, err
		}
		all = append(all, y[0].F32()...)
	}
	return all, nil
}
