package engine

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/qdq"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// attention is a quantized transformer layer of 12 tokens with a mask of keys.
func attention(signed bool) *graph.Graph {
	q, x := qdq.New(3, signed, 12, 16)
	mask := &graph.Value{Name: "mask", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 1, 1, 12}, Known: true}}
	q.Inputs = append(q.Inputs, mask)
	floats := func(seed uint64, shape ...int) *graph.Value { return q.Constant(qdq.RandomInput(seed, shape...)) }
	norm := func(v *graph.Value) *graph.Value {
		return q.Quantized(q.Node("LayerNormalization", op.Attrs{"axis": int64(-1)}, v, floats(1, 16), floats(2, 16)))
	}
	linear := func(v *graph.Value, in, out int) *graph.Value {
		return q.Quantized(q.Node("Add", nil, floats(5, out), q.Quantized(q.Node("MatMul", nil, v, q.Weights(1, in, out)))))
	}
	heads := func(v *graph.Value, perm ...int64) *graph.Value {
		return q.Node("Transpose", op.Attrs{"perm": perm}, q.Node("Reshape", nil, v, q.Ints(0, 12, 2, 8)))
	}
	n := norm(x)
	scores := q.Node("MatMul", nil, heads(linear(n, 16, 16), 0, 2, 1, 3), heads(linear(n, 16, 16), 0, 2, 3, 1))
	scores = q.Quantized(q.Node("Div", nil, scores, q.Constant(tensor.Scalar(float32(3)))))
	scores = q.Quantized(q.Node("Add", nil, scores, q.Quantized(mask)))
	y := q.Node("MatMul", nil, q.Quantized(q.Node("Softmax", op.Attrs{"axis": int64(-1)}, scores)), heads(linear(n, 16, 16), 0, 2, 1, 3))
	y = q.Node("Reshape", nil, q.Node("Transpose", op.Attrs{"perm": []int64{0, 2, 1, 3}}, q.Quantized(y)), q.Ints(0, 12, 16))
	y = q.Node("Add", nil, q.Node("Tanh", nil, linear(y, 16, 16)), x)
	y = q.Node("Div", nil, q.Node("Mul", nil, norm(y), floats(7, 16)), floats(8, 16))
	return q.Done(q.Quantized(y))
}

// TestChains compares networks whose steps on floats are put into chains with the same ones step by step: not a bit may differ.
func TestChains(t *testing.T) {
	networks := map[string]*graph.Graph{"attention": attention(true), "attention unsigned": attention(false)}
	for _, file := range []string{"vit_opset11", "vit_opset17"} {
		g, err := onnx.ReadFile(filepath.Join("..", "testdata", "networks", file+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		networks[file] = g
	}
	for name, g := range networks {
		t.Run(name, func(t *testing.T) {
			inputs := make([]*tensor.Tensor, len(g.Inputs))
			for i, v := range g.Inputs {
				shape := append([]int(nil), v.Type.Shape...)
				shape[0] = 3
				inputs[i] = qdq.RandomInput(uint64(i), shape...)
			}
			want := outputsOf(t, g, inputs, func(c *config) { c.apart = true })
			for _, threads := range []int{1, 3} {
				if got := outputsOf(t, g, inputs, WithThreads(threads)); !bytes.Equal(got, want) {
					t.Errorf("%d threads: chains give other bits than their steps", threads)
				}
			}
		})
	}
}

// outputsOf runs a network and returns the bytes of its outputs. One that chains must have a chain.
func outputsOf(t *testing.T, g *graph.Graph, inputs []*tensor.Tensor, o Option) []byte {
	t.Helper()
	net, err := Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := net.Run(context.Background(), inputs...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.Program()
	if err != nil {
		t.Fatal(err)
	}
	chains := 0
	for _, s := range p.Steps {
		if _, ok := s.Action.(*program.Chain); ok {
			chains++
		}
	}
	if (chains == 0) != net.apart {
		t.Errorf("%d chains", chains)
	}
	var all []byte
	for _, y := range outputs {
		all = append(all, y.Bytes()...)
	}
	return all
}
