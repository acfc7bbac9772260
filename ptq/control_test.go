package ptq

import (
	"context"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// branchNet has an If between layers, whose branches read what a layer gives.
func branchNet() *graph.Graph {
	n, x := newNet(6)
	h := n.New("relu", "Relu", nil, n.gemm("before", x, 6, 8))
	top := n.New("top", "ReduceMax", op.Attrs{"keepdims": int64(0)}, x)
	cond := n.New("cond", "Greater", nil, top, graph.NewConst("two", tensor.Scalar[float32](2)))
	branch := func(f float32) *graph.Graph {
		g := &graph.Graph{Opset: n.Opset}
		g.Outputs = []*graph.Value{g.New("r", "Mul", nil, h, graph.NewConst("f", tensor.Scalar(f)))}
		return g
	}
	y := n.New("if", "If", op.Attrs{"then_branch": branch(1), "else_branch": branch(2)}, cond)
	y.Type = op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 8}, Known: true}
	return n.done(n.gemm("behind", y, 8, 3))
}

// TestControlFlow quantizes the layers around an If, whose branches read the value that the layer before gives.
func TestControlFlow(t *testing.T) {
	data := images(t, 64, 6)
	want := outputs(t, branchNet(), data)
	for _, c := range []struct {
		options []Option
		least   float64
	}{{nil, 22}, {[]Option{WithNoRound(true)}, 100}, {[]Option{WithQOperator(true)}, 22}} {
		r, err := Quantize(context.Background(), branchNet(), data, c.options...)
		if err != nil {
			t.Fatal(err)
		}
		if unrounded := c.least > 90; !unrounded && r.Nodes < 2 {
			t.Errorf("%d nodes on integers", r.Nodes)
		}
		if db := ratio(want, outputs(t, r.Graph, data)); db < c.least {
			t.Errorf("%.1f dB, at least %.0f are wanted", db, c.least)
		}
	}
}
