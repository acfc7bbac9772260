package ptq

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// weightNetwork looks tokens up in a table, multiplies them by matrices on either side and by the table again, whose
// weights are therefore tied.
func weightNetwork(r *rand.Rand) *graph.Graph {
	random := func(shape ...int) *tensor.Tensor {
		x := make([]float32, tensor.Volume(shape))
		for i := range x {
			x[i] = float32(r.NormFloat64()) * float32(1+i%7)
		}
		return tensor.From(x, shape...)
	}
	g := &graph.Graph{Opset: map[string]int{"": 13}}
	ids := &graph.Value{Name: "ids", Type: op.Type{DType: tensor.Int64, Shape: []int{op.Unknown, 5}, Known: true}}
	g.Inputs = []*graph.Value{ids}
	table := graph.NewConst("table", random(40, 64))
	x := g.New("embedded", "Gather", nil, table, ids)
	x = g.New("hidden", "MatMul", nil, x, graph.NewConst("w1", random(64, 64)))
	flat := g.New("flat", "Reshape", nil, x, graph.NewConst("shape", tensor.From([]int64{-1, 64}, 2)))
	y := g.New("dense", "Gemm", op.Attrs{"transB": int64(1)}, flat, graph.NewConst("w2", random(64, 64)), graph.NewConst("b2", random(64)))
	logits := g.New("logits", "MatMul", nil, y, g.New("table_t", "Transpose", op.Attrs{"perm": []int64{1, 0}}, table))
	g.Outputs = []*graph.Value{logits}
	return g
}

func runIDs(t *testing.T, g *graph.Graph) []float64 {
	t.Helper()
	net, err := engine.Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	y, err := net.Run(context.Background(), tensor.From([]int64{0, 39, 7, 7, 12, 1, 2, 3, 4, 5}, 2, 5))
	if err != nil {
		t.Fatal(err)
	}
	return y[0].Float64s()
}

// TestQuantizeWeights holds both forms to one another and to what so many bits can do, and tied weights to one tensor.
func TestQuantizeWeights(t *testing.T) {
	g := weightNetwork(rand.New(rand.NewPCG(1, 2)))
	want := runIDs(t, g)
	for _, c := range []struct {
		bits, block int
		symmetric   bool
		least       float64
	}{
		{8, 0, false, 37}, {8, 0, true, 34}, {8, 16, false, 38}, {4, 16, false, 15}, {4, 16, true, 13}, {4, 32, false, 13}, {2, 16, false, 2}, {3, 16, false, 9},
	} {
		o := WeightOptions{Bits: c.bits, Block: c.block, Symmetric: c.symmetric, Form: WeightsQDQ}
		q, err := QuantizeWeights(context.Background(), g, o)
		if err != nil {
			t.Fatal(err)
		}
		qdq := runIDs(t, q.Graph)
		if db := ratio(want, qdq); db < c.least || db > c.least+4 {
			t.Errorf("%+v: %.1f dB, want %v to %v", c, db, c.least, c.least+4)
		}
		if q.Quantized != 3 || q.SQNR < c.least-1 {
			t.Errorf("%+v: %d tensors, %.1f dB", c, q.Quantized, q.SQNR)
		}
		if c.bits == 3 {
			continue
		}
		o.Form = WeightsNBits
		if q, err = QuantizeWeights(context.Background(), g, o); err != nil {
			t.Fatal(err)
		}
		if db := ratio(qdq, runIDs(t, q.Graph)); db < 100 {
			t.Errorf("%+v: matmulnbits is %.1f dB from qdq", c, db)
		}
		tables := 0
		for _, v := range q.Graph.Values() {
			if v.IsConst() && v.Const.DType() == tensor.Uint8 && v.Const.Shape()[0] == 40 && v.Const.Len() > 40*8 {
				tables++
			}
		}
		if tables != 1 {
			t.Errorf("%+v: the tied table is stored %d times", c, tables)
		}
	}
	if slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return n.Op == "DequantizeLinear" }) || g.Opset[""] != 13 {
		t.Error("the network was changed")
	}
}

// TestSearchedScales finds no worse scales than the range's, and for few bits better ones.
func TestSearchedScales(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, bits := range []int{8, 4, 3, 2} {
		for _, symmetric := range []bool{false, true} {
			q := &weightQuantizer{WeightOptions: WeightOptions{Bits: bits, Symmetric: symmetric}}
			found, spanned := 0.0, 0.0
			for range 200 {
				x := make([]float32, 32)
				for i := range x {
					x[i] = float32(r.NormFloat64())
				}
				q.Nearest = false
				e, _ := fitOf(x, nil, q.fit(x))
				q.Nearest = true
				n, _ := fitOf(x, nil, q.fit(x))
				if e > n*1.0001 {
					t.Fatalf("%d bits: searched %g, spanned %g", bits, e, n)
				}
				found, spanned = found+e, spanned+n
			}
			if gain := map[int]float64{8: 1.01, 4: 1.06, 3: 1.15, 2: 1.3}[bits]; spanned < gain*found {
				t.Errorf("%d bits, symmetric %v: the search gains %.3f, want %v", bits, symmetric, spanned/found, gain)
			}
		}
	}
}

func TestWrongWeightOptions(t *testing.T) {
	g := weightNetwork(rand.New(rand.NewPCG(1, 2)))
	for i, o := range []WeightOptions{
		{}, {Bits: 5, Form: WeightsQDQ}, {Bits: 4, Form: "x"}, {Bits: 4, Block: 8, Form: WeightsQDQ}, {Bits: 4, Block: 24, Form: WeightsQDQ},
		{Bits: 3, Form: WeightsNBits}, {Bits: 4, Form: WeightsNBits, Accuracy: 5}, {Bits: 8, Form: WeightsQDQ, Exclude: []string{"embedded", "hidden", "dense"}},
	} {
		if _, err := QuantizeWeights(context.Background(), g, o); err == nil {
			t.Errorf("options %d were taken", i)
		}
	}
	if _, err := QuantizeWeights(context.Background(), nil, DefaultWeightOptions()); err == nil {
		t.Error("no network was taken")
	}
	one, _ := QuantizeWeights(context.Background(), g, WeightOptions{Bits: 4, Block: 16, Form: WeightsQDQ, Threads: 1})
	three, _ := QuantizeWeights(context.Background(), weightNetwork(rand.New(rand.NewPCG(1, 2))), WeightOptions{Bits: 4, Block: 16, Form: WeightsQDQ, Threads: 3})
	if a, b := fmt.Sprint(runIDs(t, one.Graph)), fmt.Sprint(runIDs(t, three.Graph)); a != b {
		t.Error("the result depends on the number of threads")
	}
}
