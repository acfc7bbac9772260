package ptq

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// TestQuantizeDynamic quantizes products of matrices, an embedding and a convolution, and counts what became of them.
func TestQuantizeDynamic(t *testing.T) {
	g := weightNetwork(rand.New(rand.NewPCG(1, 2)))
	want := runIDs(t, g)
	for _, c := range []struct{ safe, rows bool }{{false, false}, {true, false}, {true, true}} {
		safe := c.safe
		q, err := QuantizeDynamic(context.Background(), g, DynamicOptions{Safe: safe, Rows: c.rows})
		if err != nil {
			t.Fatal(err)
		}
		if db := ratio(want, runIDs(t, q.Graph)); db < 31 || db > 37 {
			t.Errorf("%+v: %.1f dB, want 31 to 37", c, db)
		}
		if n := countOps(q.Graph, "MatMulInteger"); n < 2 {
			t.Errorf("%d products on integers", n)
		}
		if above := pairsAbove(t, q.Graph); safe && above > 0 {
			t.Errorf("%d pairs of weights can saturate", above)
		}
	}
	if _, err := QuantizeDynamic(context.Background(), g, DynamicOptions{Exclude: []string{"hiden"}}); err == nil {
		t.Error("a node that is not there was excluded")
	}
	if _, err := QuantizeDynamic(context.Background(), nil, DynamicOptions{}); !errors.Is(err, ErrNoGraph) {
		t.Errorf("no network: %v", err)
	}
}

// TestDynamicRows gives rows of other magnitudes ranges of their own, in operator sets with the axes of reductions as attribute and as input.
func TestDynamicRows(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 6))
	x := make([]float32, 8*64)
	for i := range x {
		x[i] = float32(math.Abs(r.NormFloat64()) * math.Pow(10, float64(i/64-4)))
	}
	clear(x[:64]) // a row of nothing
	w := make([]float32, 64*16)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	for _, opset := range []int{13, 18} {
		g := &graph.Graph{Opset: map[string]int{"": opset}}
		in := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 64}, Known: true}}
		g.Inputs = []*graph.Value{in}
		g.Outputs = []*graph.Value{g.New("y", "Gemm", nil, in, graph.NewConst("w", tensor.From(w, 64, 16)), graph.NewConst("b", tensor.From(make([]float32, 16), 16)))}
		var got [3][]float64
		for i := range got {
			net := g
			if i > 0 {
				q, err := QuantizeDynamic(context.Background(), g, DynamicOptions{Safe: true, Rows: i == 2})
				if err != nil {
					t.Fatal(err)
				}
				net = q.Graph
			}
			n, err := engine.Compile(net)
			if err != nil {
				t.Fatal(err)
			}
			y, err := n.Run(context.Background(), tensor.From(x, 8, 64))
			if err != nil {
				t.Fatal(err)
			}
			got[i] = y[0].Float64s()
		}
		for row := 1; row < 8; row++ {
			part := func(i int) []float64 { return got[i][row*16 : (row+1)*16] }
			if db := ratio(part(0), part(2)); db < 33 {
				t.Errorf("operator set %d, row %d: %.1f dB by rows", opset, row, db)
			}
		}
		if db := ratio(got[0][16:32], got[1][16:32]); db > 5 {
			t.Errorf("one range for all gives a small row %.1f dB: the test tests nothing", db)
		}
		if got[2][0] != 0 {
			t.Errorf("a row of zeros gives %v", got[2][:16])
		}
	}
}

// TestDynamicConvolution holds a convolution with a bias to the float one.
func TestDynamicConvolution(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	random := func(shape ...int) *tensor.Tensor {
		x := make([]float32, tensor.Volume(shape))
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return tensor.From(x, shape...)
	}
	g := &graph.Graph{Opset: map[string]int{"": 13}}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 8, 6, 6}, Known: true}}
	g.Inputs = []*graph.Value{x}
	g.Outputs = []*graph.Value{g.New("conv", "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, x, graph.NewConst("w", random(12, 8, 3, 3)), graph.NewConst("b", random(12)))}
	q, err := QuantizeDynamic(context.Background(), g, DynamicOptions{Safe: true})
	if err != nil {
		t.Fatal(err)
	}
	in := random(1, 8, 6, 6)
	var got [2][]float64
	for i, net := range []*graph.Graph{g, q.Graph} {
		n, err := engine.Compile(net)
		if err != nil {
			t.Fatal(err)
		}
		y, err := n.Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = y[0].Float64s()
	}
	if db := ratio(got[0], got[1]); db < 36 || db > 42 || countOps(q.Graph, "ConvInteger") != 1 {
		t.Errorf("%.1f dB, want 36 to 42; %d convolutions on integers", db, countOps(q.Graph, "ConvInteger"))
	}
}

func countOps(g *graph.Graph, operator string) int {
	n := 0
	for _, node := range g.Nodes {
		if node.Op == operator {
			n++
		}
	}
	return n
}

func pairsAbove(t *testing.T, g *graph.Graph) int {
	t.Helper()
	sums, err := graph.Saturation(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) == 0 {
		t.Error("no 8-bit weights are found")
	}
	above := 0
	for _, s := range sums {
		above += s.Above
	}
	return above
}
