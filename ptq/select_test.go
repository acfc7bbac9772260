package ptq

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// selectNetwork is a convolution over [N,2,4,4] and a sum of products.
func selectNetwork() *graph.Graph {
	r := rand.New(rand.NewPCG(3, 3))
	random := func(shape ...int) *tensor.Tensor {
		t := tensor.New(tensor.Float32, shape...)
		for i := range t.F32() {
			t.F32()[i] = float32(r.NormFloat64())
		}
		return t
	}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{-1, 2, 4, 4}, Known: true}, Dims: []string{"N", "", "", ""}}
	g := &graph.Graph{Name: "net", Inputs: []*graph.Value{x}, Opset: map[string]int{"": 13}}
	y := g.New("conv", "Conv", nil, x, graph.NewConst("w", random(5, 2, 3, 3)))
	y = g.New("flat", "Flatten", nil, g.New("relu", "Relu", nil, y))
	g.Outputs = []*graph.Value{g.New("fc", "MatMul", nil, y, graph.NewConst("v", random(20, 3)))}
	return g
}

func selectInputs(n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(4, 4))
	x := tensor.New(tensor.Float32, n, 2, 4, 4)
	for i := range x.F32() {
		x.F32()[i] = float32(r.NormFloat64() * (0.5 + r.Float64()))
	}
	return x
}

func TestSelect(t *testing.T) {
	const n, broken = selectPool + 500, 1234 // more than are remembered at a time
	x := selectInputs(n)
	for i := range x.Rows(broken, broken+1).F32() {
		x.Rows(broken, broken+1).F32()[i] *= 30
	}
	data, err := dataset.FromTensors(x)
	if err != nil {
		t.Fatal(err)
	}
	classes := make([]int, n)
	for i := range classes {
		if i%100 == 7 {
			classes[i] = 1 // one in a hundred
		}
	}
	var first *Selection
	for _, threads := range []int{1, 4} {
		s, err := Select(context.Background(), selectNetwork(), data, 40, classes, WithThreads(threads))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !reflect.DeepEqual(s, first) {
			t.Fatalf("with %d threads %+v, else %+v", threads, s, first)
		}
		first = s
	}
	if first.Inputs != n || len(first.Chosen) != 40 || len(unique40(first.Chosen)) != 40 {
		t.Fatalf("%+v", first)
	}
	if len(first.Outliers) != 1 || first.Outliers[0].Input != broken || first.Outliers[0].Times < 5 {
		t.Errorf("outliers %+v, want input %d", first.Outliers, broken)
	}
	if first.Chosen[0] != broken {
		t.Errorf("the first one is %d: %d reaches farthest", first.Chosen[0], broken)
	}
	rare := 0
	for _, i := range first.Chosen {
		rare += classes[i]
	}
	if rare < 8 {
		t.Errorf("%d of 40 are of the rare class, of which there are a quarter at least", rare)
	}
	last := 0.0
	for _, p := range first.Curve {
		if p.Chosen < p.Random || p.Chosen < last || p.Chosen > 100+1e-9 {
			t.Errorf("%+v behind %g", p, last)
		}
		last = p.Chosen
	}
	if last < 95 {
		t.Errorf("%g %% of the ranges are reached", last)
	}
}

func unique40(all []int) []int { return slices.Compact(slices.Sorted(slices.Values(all))) }

// TestSelectFew: all are chosen where there are no more.
func TestSelectFew(t *testing.T) {
	data, err := dataset.FromTensors(selectInputs(5))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Select(context.Background(), selectNetwork(), data, 40, nil)
	if err != nil || len(unique40(s.Chosen)) != 5 || s.Curve[len(s.Curve)-1].Chosen < 100-1e-9 {
		t.Errorf("%+v, error %v", s, err)
	}
	if _, err := Select(context.Background(), selectNetwork(), data, 0, nil); err == nil {
		t.Error("none were selected without an error")
	}
	if _, err := Select(context.Background(), selectNetwork(), data, 3, []int{1, 2}); err == nil {
		t.Error("two classes for five inputs without an error")
	}
}

// TestFindDrift: what has grown is outside, by the share that it is.
func TestFindDrift(t *testing.T) {
	of := func(values ...float32) *Statistics {
		h := new(Histogram)
		if err := h.Add(values); err != nil {
			t.Fatal(err)
		}
		return &Statistics{Tensors: map[string]*Histogram{"t": h}, Network: 7}
	}
	for _, c := range []struct {
		old, now *Statistics
		want     Drift
	}{
		{of(-1, 1), of(-1, 1), Drift{"t", 0, 1, 1}},
		{of(-1, 1), of(-0.5, 0.5), Drift{"t", 0, 0.5, 0.5}},
		{of(-1, 1), of(0.5, 2, 3, -4), Drift{"t", 75, 4, 2.7}},
		{of(0, 2), of(-1, 2), Drift{"t", 50, 1, 1.12}},
		{of(0, 0), of(1, 0), Drift{"t", 50, farAway, farAway}},
	} {
		got, err := FindDrift(c.old, c.now)
		if err != nil || len(got) != 1 {
			t.Fatalf("%v, error %v", got, err)
		}
		d := got[0]
		near := func(a, b float64) bool { return a == b || a > 0.98*b && a < 1.02*b }
		if d.Outside != c.want.Outside || !near(d.Reach, c.want.Reach) || !near(d.RMS, c.want.RMS) {
			t.Errorf("%+v, want %+v", d, c.want)
		}
	}
	other := of(1)
	other.Network = 8
	if _, err := FindDrift(of(1), other); err == nil {
		t.Error("another network is taken")
	}
}
