package ptq

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// net builds small networks with random weights.
type net struct {
	*graph.Graph
	rng *rand.Rand
}

func newNet(shape ...int) (*net, *graph.Value) {
	g := &graph.Graph{Name: "test", Opset: map[string]int{"": 13}}
	in := &graph.Value{Name: "input", Type: op.Type{DType: tensor.Float32, Shape: append([]int{op.Unknown}, shape...), Known: true}, Dims: make([]string, len(shape)+1)}
	in.Dims[0] = "N"
	g.Inputs = []*graph.Value{in}
	return &net{g, rand.New(rand.NewPCG(1, 2))}, in
}

func (n *net) constant(name string, scale float64, shape ...int) *graph.Value {
	data := make([]float32, tensor.Volume(shape))
	for i := range data {
		data[i] = float32(n.rng.NormFloat64() * scale)
	}
	return graph.NewConst(name, tensor.From(data, shape...))
}

// conv appends a 3x3 convolution that keeps the size.
func (n *net) conv(name string, x *graph.Value, in, out, groups int) *graph.Value {
	scale := math.Sqrt(2 / float64(9*in/groups))
	return n.New(name, "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}, "kernel_shape": []int64{3, 3}, "group": int64(groups)},
		x, n.constant(name+"_w", scale, out, in/groups, 3, 3), n.constant(name+"_b", 0.1, out))
}

func (n *net) gemm(name string, x *graph.Value, in, out int) *graph.Value {
	return n.New(name, "Gemm", op.Attrs{"transB": int64(1)}, x,
		n.constant(name+"_w", math.Sqrt(1/float64(in)), out, in), n.constant(name+"_b", 0.1, out))
}

func (n *net) done(outputs ...*graph.Value) *graph.Graph {
	n.Outputs = outputs
	return n.Graph
}

// residualNet is what pipelines are tested on: a residual block with a depthwise
// layer, pooling, a matrix.
func residualNet() *graph.Graph {
	n, x := newNet(3, 8, 8)
	x = n.New("relu1", "Relu", nil, n.conv("conv1", x, 3, 8, 1))
	y := n.New("relu2", "Relu", nil, n.conv("depthwise", x, 8, 8, 8))
	y = n.conv("conv2", y, 8, 8, 1)
	x = n.New("relu3", "Relu", nil, n.New("add", "Add", nil, x, y))
	x = n.New("pool", "MaxPool", op.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x)
	x = n.New("mean", "GlobalAveragePool", nil, x)
	x = n.gemm("matrix", n.New("flat", "Flatten", nil, x), 8, 4)
	return n.done(n.New("softmax", "Softmax", nil, x))
}

// images are random inputs of both signs.
func images(t testing.TB, count int, shape ...int) dataset.Source {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	x := tensor.New(tensor.Float32, append([]int{count}, shape...)...)
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	s, err := dataset.FromTensors(x)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// outputs runs g over all of data, literally in float unless options are given.
func outputs(t testing.TB, g *graph.Graph, data dataset.Source, options ...engine.Option) []float64 {
	t.Helper()
	if options == nil {
		options = []engine.Option{engine.WithFloat()}
	}
	net, err := engine.Compile(g, options...)
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for x, err := range data.Batches(16) {
		if err != nil {
			t.Fatal(err)
		}
		y, err := net.Run(context.Background(), x...)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range y {
			all = append(all, o.Float64s()...)
		}
	}
	return all
}

// ratio returns the signal-to-noise ratio of got against want in dB.
func ratio(want, got []float64) float64 {
	var signal, noise float64
	for i, v := range want {
		signal += v * v
		noise += (v - got[i]) * (v - got[i])
	}
	return 10 * math.Log10(signal/noise)
}

// scaled takes a job on g through some of its steps: all before weights are rounded.
func scaled(t testing.TB, g *graph.Graph, data dataset.Source, options ...Option) *Job {
	t.Helper()
	j, err := NewJob(g, data, append([]Option{WithEqualize(false)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.take(context.Background(), append([]Step{calibrateStep}, j.scaling()...)...); err != nil {
		t.Fatal(err)
	}
	return j
}
