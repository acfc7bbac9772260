package onnx

import (
	"io"
	"runtime"
	"testing"

	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
)

// FuzzRead: whatever the bytes, reading gives a graph or an error, and takes
// memory in proportion to them. A graph that was read can be written.
func FuzzRead(f *testing.F) {
	f.Add(marshal(f, model(relu())))
	f.Add(marshal(f, model(withConst(&onnxpb.Tensor{DataType: 1, Dims: []int64{2}, RawData: make([]byte, 8)}))))
	f.Add(marshal(f, model(withConst(&onnxpb.Tensor{DataType: 3, Dims: []int64{1 << 30}, Int32Data: []int32{1}}))))
	f.Add(marshal(f, model(&onnxpb.Graph{Node: []*onnxpb.Node{
		node("Constant", nil, []string{"c"}, &onnxpb.Attribute{Name: "sparse_value", Type: onnxpb.Attribute_SPARSE_TENSOR, SparseTensor: &onnxpb.SparseTensor{
			Values:  &onnxpb.Tensor{DataType: 1, Dims: []int64{1}, FloatData: []float32{5}},
			Indices: &onnxpb.Tensor{DataType: 7, Dims: []int64{1}, Int64Data: []int64{3}},
			Dims:    []int64{2, 3},
		}}),
		node("If", []string{"c"}, []string{"y"}, &onnxpb.Attribute{Name: "then_branch", Type: onnxpb.Attribute_GRAPH, G: relu()}),
	}})))
	m := model(&onnxpb.Graph{Node: []*onnxpb.Node{{Domain: "f", OpType: "g", Input: []string{"x"}, Output: []string{"y"}}}})
	m.Functions = []*onnxpb.Function{{Domain: "f", Name: "g", Input: []string{"a"}, Output: []string{"b"}, Node: relu().Node}}
	f.Add(marshal(f, m))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g, err := Read(b)
		runtime.ReadMemStats(&after)
		// A node of a few bytes is a structure of a few hundred, decoded and
		// then made into one of the graph.
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20+500*uint64(len(b)) {
			t.Errorf("%d bytes made the reader allocate %d", len(b), n)
		}
		if err == nil {
			_ = Write(io.Discard, g)
		}
	})
}

// FuzzReadTensor is the same for files of one tensor.
func FuzzReadTensor(f *testing.F) {
	f.Add([]byte{8, 2, 16, 1, 74, 8, 0, 0, 128, 63, 0, 0, 0, 64})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, all, err := unmarshalTensor(b)
		if err == nil {
			_, _ = (&reader{blobs: all}).tensor(p)
		}
	})
}
