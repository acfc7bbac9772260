package ptq

import (
	"context"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// listenNet takes, in both branches of an If, the logarithm of the power of a projection, and projects again.
func listenNet() *graph.Graph {
	const d, h = 64, 128
	n, x := newNet(d)
	cond := n.New("cond", "Greater", nil, n.New("top", "ReduceMax", op.Attrs{"keepdims": int64(0)}, x), graph.NewConst("zero", tensor.Scalar(float32(0))))
	branch := func(name string) *graph.Graph {
		g := &graph.Graph{Opset: n.Opset}
		p := g.New(name+"_front", "MatMul", nil, x, n.constant(name+"_basis", 1, d, h))
		p = g.New(name+"_floor", "Add", nil, g.New(name+"_power", "Mul", nil, p, p), graph.NewConst(name+"_eps", tensor.Scalar(float32(1e-8))))
		p = g.New(name+"_last", "MatMul", nil, g.New(name+"_log", "Log", nil, p), n.constant(name+"_w", 0.1, h, d))
		g.Outputs = []*graph.Value{p}
		return g
	}
	y := n.New("if", "If", op.Attrs{"then_branch": branch("then"), "else_branch": branch("else")}, cond)
	y.Type = op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, d}, Known: true}
	return n.done(y)
}

// TestWeightsOfBranches: layers in the branches of an If have their weights on 8 bits, but those that this costs much.
func TestWeightsOfBranches(t *testing.T) {
	data := images(t, 64, 64)
	stored := func(options ...Option) (names map[string]bool, db float64) {
		r, err := Quantize(context.Background(), listenNet(), data, options...)
		if err != nil {
			t.Fatal(err)
		}
		names = make(map[string]bool)
		for _, n := range r.Graph.Nodes {
			for _, sub := range n.Subgraphs() {
				for _, m := range sub.Nodes {
					if m.Op == "DequantizeLinear" && m.In(0).Const.DType() == tensor.Int8 {
						names[m.In(0).Name] = true
					}
				}
			}
		}
		return names, r.Report.Measured.Least
	}
	names, db := stored()
	if !names["then_w_quantized"] || !names["else_w_quantized"] || names["then_basis_quantized"] {
		t.Errorf("on 8 bits are %v", names)
	}
	if db < 35 {
		t.Errorf("%.1f dB", db)
	}
	if names, db := stored(WithExclude("if")); len(names) > 0 || db < 100 {
		t.Errorf("an excluded If has %v on 8 bits, %.1f dB", names, db)
	}
}
