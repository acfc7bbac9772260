package ptq

import (
	"context"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// amplifiers are networks that end in a layer behind a node that can amplify errors.
var amplifiers = map[string]struct {
	build func() *graph.Graph
	float []string // layers that must stay in float
}{
	// The power of a product has small values, of which the logarithm makes large ones.
	"log of power": {func() *graph.Graph {
		n, x := newNet(16)
		y := n.gemm("front", x, 16, 16)
		y = n.New("power", "Mul", nil, y, y)
		y = n.New("log", "Log", nil, n.New("floor", "Add", nil, y, graph.NewConst("eps", tensor.Scalar(float32(1e-8)))))
		return n.done(n.gemm("last", y, 16, 4))
	}, []string{"front"}},
	// So it has where another layer is in front.
	"log behind two": {func() *graph.Graph {
		n, x := newNet(16)
		y := n.gemm("front", n.gemm("first", x, 16, 16), 16, 16)
		y = n.New("power", "Mul", nil, y, y)
		y = n.New("log", "Log", nil, n.New("floor", "Add", nil, y, graph.NewConst("eps", tensor.Scalar(float32(1e-8)))))
		return n.done(n.gemm("last", y, 16, 4))
	}, []string{"first", "front"}},
	// The logarithm of what is far from 0 loses nothing.
	"log of large": {func() *graph.Graph {
		n, x := newNet(16)
		y := n.New("exp", "Exp", nil, n.New("tanh", "Tanh", nil, n.gemm("front", x, 16, 16)))
		y = n.New("log", "Log", nil, n.New("more", "Add", nil, y, graph.NewConst("one", tensor.Scalar(float32(1)))))
		return n.done(n.gemm("last", y, 16, 4))
	}, nil},
	// A magnitude over many values has no larger error than they have.
	"norm": {func() *graph.Graph {
		n, x := newNet(16)
		y := n.gemm("front", x, 16, 16)
		sum := n.New("sum", "ReduceMean", op.Attrs{"axes": []int64{-1}}, n.New("square", "Mul", nil, y, y))
		y = n.New("norm", "Div", nil, y, n.New("root", "Sqrt", nil, sum))
		return n.done(n.gemm("last", y, 16, 4))
	}, nil},
}

func TestAmplifiedChainsStayInFloat(t *testing.T) {
	for name, test := range amplifiers {
		t.Run(name, func(t *testing.T) {
			g, data := test.build(), images(t, 64, 16)
			result, err := Quantize(context.Background(), g, data)
			if err != nil {
				t.Fatal(err)
			}
			job, err := NewJob(g, data)
			if err != nil {
				t.Fatal(err)
			}
			if err := job.Calibrate(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := amplifiedStep.Run(context.Background(), job); err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, np := range job.Plan.Nodes {
				if np.Float.Code == Amplified {
					found++
				}
			}
			if found != len(test.float) {
				t.Errorf("%d nodes are left in float for errors that are amplified, want %v:\n%s", found, test.float, job.Plan)
			}
			for _, name := range test.float {
				if job.Plan.Float()[name] == "" {
					t.Errorf("%s is on integers", name)
				}
			}
			if m := result.Report.Measured; m.Least < 30 {
				t.Errorf("%.1f dB", m.Least)
			}
			if forked, err := job.Fork(WithClip(Max)); err != nil || len(forked.Plan.amplified) != found {
				t.Errorf("a fork knows %d of it, %v", len(forked.Plan.amplified), err)
			}
		})
	}
}

// TestSelectedValuesHaveAScale: what is selected of a tensor with far larger values does not share its scale.
func TestSelectedValuesHaveAScale(t *testing.T) {
	n, x := newNet(8, 4, 4)
	first := n.constant("w", 0.3, 8, 8, 1, 1)
	for i := range first.Const.F32()[:4*8] {
		first.Const.F32()[i] *= 100
	}
	y := n.New("first", "Conv", nil, x, first)
	y = n.New("half", "Slice", nil, y, graph.NewConst("from", tensor.From([]int64{4}, 1)), graph.NewConst("to", tensor.From([]int64{8}, 1)), graph.NewConst("axis", tensor.From([]int64{1}, 1)))
	g := n.done(n.conv("last", y, 4, 2, 1))
	data := images(t, 64, 8, 4, 4)
	for _, options := range [][]Option{nil, {WithExclude("half")}} {
		result, err := Quantize(context.Background(), g, data, options...)
		if err != nil {
			t.Fatal(err)
		}
		if m := result.Report.Measured; m.Least < 30 {
			t.Errorf("%.1f dB", m.Least)
		}
	}
}
