package engine_test

import (
	"context"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/shared"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// sharedModel is one of the shared networks and where its inputs are.
type sharedModel struct {
	name, data string
	scale      float32
	mean, std  []float32
}

var (
	imagenetMean = []float32{.485, .456, .406}
	imagenetStd  = []float32{.229, .224, .225}

	sharedModels = []sharedModel{
		{"resnet8_cifar10", "data/cifar10_test_x.npy", 1, nil, nil},
		{"resnet8_cifar10_skewed", "data/cifar10_test_x.npy", 1, nil, nil},
		{"resnet20_cifar10", "data/cifar10_test_x.npy", 1. / 255, imagenetMean, imagenetStd},
		{"resnet20_cifar10_bn", "data/cifar10_test_x.npy", 1. / 255, imagenetMean, imagenetStd},
		{"mobilenetv2_cifar10", "data/cifar10_test_x.npy", 1. / 255, imagenetMean, imagenetStd},
		{"dscnn_kws", "data/kws_test_x.npy", 1, nil, nil},
		{"dscnn_kws_skewed", "data/kws_test_x.npy", 1, nil, nil},
		{"mobilenetv1_vww", "golden/mobilenetv1_vww_in.npy", 1, nil, nil},
		{"autoencoder_ad", "golden/autoencoder_ad_in.npy", 1, nil, nil},
	}
)

func (m sharedModel) graph(t testing.TB) *graph.Graph {
	g, err := onnx.ReadFile(shared.Path(t, "models/"+m.name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// inputs returns the first n of the model's inputs, all for 0.
func (m sharedModel) inputs(t testing.TB, n int) *tensor.Tensor {
	s, err := dataset.Open(shared.Path(t, m.data), dataset.Normalize(m.scale, m.mean, m.std), dataset.First(n))
	if err != nil {
		t.Fatal(err)
	}
	for batch, err := range s.Batches(s.Len()) {
		if err != nil {
			t.Fatal(err)
		}
		return batch[0]
	}
	t.Fatalf("%s: no inputs", m.data)
	return nil
}

// array reads a NumPy file of shared data as it is.
func array(t testing.TB, name string) *tensor.Tensor {
	return sharedModel{data: name, scale: 1}.inputs(t, 0)
}

// run is Net.Run for one input and one output.
func run(t testing.TB, net *engine.Net, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	out, err := net.Run(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func compile(t testing.TB, g *graph.Graph, opts ...engine.Option) *engine.Net {
	t.Helper()
	net, err := engine.Compile(g, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return net
}
