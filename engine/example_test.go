package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// sumAndRelu is the network max(x + [1 -2], 0), for a batch of pairs.
func sumAndRelu() *graph.Graph {
	g := &graph.Graph{Opset: map[string]int{"": 13}}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 2}, Known: true}}
	g.Inputs = []*graph.Value{x}
	sum := g.New("sum", "Add", nil, x, graph.NewConst("k", tensor.From([]float32{1, -2}, 2)))
	g.Outputs = []*graph.Value{g.New("y", "Relu", nil, sum)}
	return g
}

// A network usually comes from onnx.ReadFile.
func ExampleCompile() {
	net, err := engine.Compile(sumAndRelu(), engine.WithThreads(1))
	if err != nil {
		log.Fatal(err)
	}
	y, err := net.Run(context.Background(), tensor.From([]float32{1, 1, 2, 5}, 2, 2))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(y[0], y[0].F32())
	// Output: float32[2 2] [2 0 3 3]
}

// A program that runs a network again and again keeps its tensors: then
// nothing is allocated.
func ExampleNet_RunInto() {
	net, err := engine.Compile(sumAndRelu())
	if err != nil {
		log.Fatal(err)
	}
	in := []*tensor.Tensor{tensor.New(tensor.Float32, 1, 2)}
	out := []*tensor.Tensor{tensor.New(tensor.Float32, 1, 2)}
	for i := range 3 {
		in[0].F32()[0] = float32(i)
		if err := net.RunInto(context.Background(), out, in); err != nil {
			log.Fatal(err)
		}
		fmt.Println(out[0].F32())
	}
	// Output:
	// [1 0]
	// [2 0]
	// [3 0]
}

// Steps tells what runs in which arithmetic, and why.
func ExampleNet_Steps() {
	net, err := engine.Compile(sumAndRelu())
	if err != nil {
		log.Fatal(err)
	}
	steps, err := net.Steps()
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range steps {
		fmt.Println(s.Kind, s.Name)
	}
	// Output:
	// move input
	// float Add+Relu
	// move output
}
