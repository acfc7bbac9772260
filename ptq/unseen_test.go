package ptq

import (
	"context"
	"iter"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// fixedSource is inputs for a network whose batch is fixed.
type fixedSource struct {
	dataset.Source
	batch int
}

func (f fixedSource) Batches(int) iter.Seq2[[]*tensor.Tensor, error] {
	return f.Source.Batches(f.batch)
}

// TestFixedBatch quantizes networks whose file fixes the batch, also to 1: none of the steps puts inputs together.
func TestFixedBatch(t *testing.T) {
	for _, batch := range []int{1, 4} {
		g := residualNet()
		g.Inputs[0].Type.Shape[0], g.Inputs[0].Dims = batch, nil
		data := fixedSource{images(t, 64, 3, 8, 8), batch}
		if _, err := Quantize(context.Background(), g, data); err != nil {
			t.Errorf("batch of %d: %v", batch, err)
		}
	}
}

// TestEmptyCache quantizes a network one of whose inputs is empty in all of the data.
func TestEmptyCache(t *testing.T) {
	n, x := newNet(5, 6)
	cache := &graph.Value{Name: "cache", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, op.Unknown, 8}, Known: true}, Dims: []string{"N", "past", ""}}
	n.Inputs = append(n.Inputs, cache)
	k := n.New("k", "MatMul", nil, x, n.constant("w", 0.4, 6, 8))
	all := n.New("all", "Concat", op.Attrs{"axis": int64(1)}, cache, k)
	g := n.done(n.New("y", "MatMul", nil, all, n.constant("v", 0.4, 8, 3)))
	in := tensor.New(tensor.Float32, 16, 5, 6)
	for i := range in.F32() {
		in.F32()[i] = float32(n.rng.NormFloat64())
	}
	data, err := dataset.FromTensors(in, tensor.New(tensor.Float32, 16, 0, 8))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Quantize(context.Background(), g, data)
	if err != nil {
		t.Fatal(err)
	}
	if db := ratio(outputs(t, g, data), outputs(t, r.Graph, data)); db < 25 || r.Nodes == 0 {
		t.Errorf("%.1f dB, %d nodes on integers", db, r.Nodes)
	}
}
