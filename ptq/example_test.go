package ptq_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

// network is two matrices with a Relu between, and inputs for it; a real program
// has them from onnx.ReadFile and dataset.Open.
func network() (*graph.Graph, dataset.Source) {
	matrix := func(name string, rows, columns int) *graph.Value {
		w := tensor.New(tensor.Float32, rows, columns)
		for i := range w.F32() {
			w.F32()[i] = float32(i*7%13)/13 - 0.5
		}
		return graph.NewConst(name, w)
	}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 4}, Known: true}}
	g := &graph.Graph{Opset: map[string]int{"": 13}, Inputs: []*graph.Value{x}}
	hidden := g.New("hidden", "Relu", nil, g.New("first", "Gemm", nil, x, matrix("w1", 4, 8), matrix("b1", 1, 8)))
	g.Outputs = []*graph.Value{g.New("second", "Gemm", nil, hidden, matrix("w2", 8, 3))}

	inputs := tensor.New(tensor.Float32, 100, 4)
	for i := range inputs.F32() {
		inputs.F32()[i] = float32(i*31%97)/97 - 0.3
	}
	data, err := dataset.FromTensors(inputs)
	if err != nil {
		log.Fatal(err)
	}
	return g, data
}

func ExampleQuantize() {
	g, data := network()
	q, err := ptq.Quantize(context.Background(), g, data, ptq.WithClip(ptq.MSE), ptq.WithShift(true))
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range q.Tensors {
		fmt.Printf("%s: unsigned %v, %d bits\n", t.Name, t.Unsigned, t.Bits)
	}
	// Output:
	// x: unsigned true, 8 bits
	// hidden: unsigned true, 8 bits
}

// Inputs may come one after the other, without a source that holds them.
func ExampleQuantizer() {
	g, data := network()
	q := ptq.NewQuantizer(context.Background(), g)
	defer q.Close()
	for batch, err := range data.Batches(30) {
		if err != nil {
			log.Fatal(err)
		}
		if err := q.Feed(batch...); err != nil {
			log.Fatal(err)
		}
	}
	result, err := q.Finish()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(result.Tensors), "tensors of integers")
	// Output: 2 tensors of integers
}

// The steps can be taken one by one, with a look at the plan between.
func ExampleJob() {
	g, data := network()
	job, err := ptq.NewJob(g, data, ptq.WithClip(ptq.Max), ptq.WithCompensation(false))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(job.Plan)
	for _, step := range job.Steps() {
		if err := step.Run(context.Background(), job); err != nil {
			log.Fatal(err)
		}
		fmt.Println(step.Name)
	}
	result, err := job.Result()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(result.Graph.Nodes), "nodes")
	// Output:
	// node first Gemm affine 8/8 bits
	// node hidden Relu one-to-one of first
	// node second Gemm affine 8/8 bits
	// place x 8 bits, scale 0
	// place hidden 8 bits, scale 1
	// channel factors
	// equalize
	// calibrate
	// amplified chains
	// judge stored weights
	// separate
	// insert scaling
	// signs
	// normalize activations
	// normalize parameters
	// describe
	// round weights
	// check sums
	// store weights
	// lower to qdq
	// measure
	// 10 nodes
}

// Statistics of shards of the data, gathered anywhere, are the same as those of all.
func ExampleCollect() {
	g, data := network()
	a, err := ptq.Collect(context.Background(), g, data, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	b, err := ptq.Collect(context.Background(), g, data, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	a.Merge(b)
	var file bytes.Buffer
	if err := a.Write(&file); err != nil {
		log.Fatal(err)
	}
	again, err := ptq.ReadStatistics(file.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.Inputs, "inputs,", len(again.Tensors), "tensors")
	// Output: 200 inputs, 2 tensors
}

func ExampleClip_Threshold() {
	var h ptq.Histogram
	for i := range 1000 {
		if err := h.Add([]float32{float32(i%100) / 100, 5}); err != nil {
			log.Fatal(err)
		}
	}
	grid := ptq.Grid{Bits: 8}
	fmt.Println(ptq.Max.Threshold(&h, grid), ptq.Percentile(50).Threshold(&h, grid) < 1)
	// Output: 5 true
}
