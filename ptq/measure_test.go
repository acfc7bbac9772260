package ptq

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// numbered is a source whose input i is the number i.
func numbered(t *testing.T, n int) dataset.Source {
	x := tensor.New(tensor.Float32, n, 1)
	for i := range x.F32() {
		x.F32()[i] = float32(i)
	}
	s, err := dataset.FromTensors(x)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHoldout: what is held back does not depend on the batch, is a tenth with at least 8 of 32, and the rest is left in its order.
func TestHoldout(t *testing.T) {
	g := &graph.Graph{Inputs: []*graph.Value{{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 1}, Known: true}}}}
	for _, c := range []struct {
		n, want int
		share   float64
	}{{1, 0, .1}, {3, 0, .1}, {4, 1, .1}, {31, 7, .1}, {32, 8, .1}, {100, 15, .1}, {1000, 64, .1}, {100, 0, 0}, {100, 50, .5}} {
		var first []float32
		for _, batch := range []int{1, 3, 16, 64, 1000} {
			h, at := newHoldout(g, c.share), 0
			var left []float32
			for x := range numbered(t, c.n).Batches(batch) {
				size := x[0].Shape()[0]
				if rest := h.split(x, at, size); rest != nil {
					left = append(left, rest[0].F32()...)
				}
				at += size
			}
			var held []float32
			for _, x := range h.held {
				held = append(held, x[0].F32()...)
			}
			if len(held) != c.want || len(held)+len(left) != c.n {
				t.Fatalf("%d inputs, share %g, batch %d: %d held back, %d left, want %d held back", c.n, c.share, batch, len(held), len(left), c.want)
			}
			if first == nil {
				first = held
			}
			if !slices.Equal(first, held) {
				t.Errorf("%d inputs, batch %d: %v held back, one by one %v", c.n, batch, held, first)
			}
		}
	}
}

// TestMeasuredIsTrue: the figure is the ratio of the outputs on the inputs that it says.
func TestMeasuredIsTrue(t *testing.T) {
	g := residualNet()
	q := mustQuantize(t, g, images(t, 200, 3, 8, 8))
	m := q.Measured
	if m == nil || !m.HeldBack || m.Inputs != 25 {
		t.Fatalf("%+v", m)
	}
	few := images(t, 8, 3, 8, 8)
	again := mustQuantize(t, g, images(t, 200, 3, 8, 8), WithHoldout(0))
	if db := ratio(outputs(t, g, few), outputs(t, again.Graph, few)); math.Abs(db-again.Measured.SQNR) > 0.5 || again.Measured.HeldBack || again.Measured.Inputs != 8 {
		t.Errorf("measured %+v, the first inputs give %.2f dB", again.Measured, db)
	}
	if m.Agreement < 90 || m.Agreement > 100 {
		t.Errorf("%g %% of the classes are the same", m.Agreement)
	}
	if !strings.Contains(q.Graph.Meta["narrow.measured"], "held back") {
		t.Errorf("the network says %q", q.Graph.Meta["narrow.measured"])
	}
}

// TestRangesDoNotSeeTheHeldBack: another value in an input that is held back changes no range.
func TestRangesDoNotSeeTheHeldBack(t *testing.T) {
	data := images(t, 40, 3, 8, 8)
	ranges := func(huge int) *Statistics {
		x := tensor.New(tensor.Float32, 40, 3, 8, 8)
		for batch := range data.Batches(40) {
			copy(x.F32(), batch[0].F32())
		}
		x.F32()[huge*192] = 1000
		j, err := NewJob(residualNet(), samples{x}, WithEqualize(false))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Calibrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		return j.Stats
	}
	if _, hi := ranges(3).Tensors["input"].Range(); hi > 10 {
		t.Errorf("the range goes to %g, as an input that is held back does", hi)
	}
	if s := ranges(2); s.Tensors["input"].MaxAbs() != 1000 || s.Inputs != 31 {
		t.Errorf("%d inputs up to %g", s.Inputs, s.Tensors["input"].MaxAbs())
	}
}

// TestParts: an output put together of large and small values is measured part by part.
func TestParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	s := &sampleNoise{name: "y"}
	want, got := tensor.New(tensor.Float32, 2, 6, 10), tensor.New(tensor.Float32, 2, 6, 10)
	for i := range want.F32() {
		scale := 640.0
		if i/10%6 >= 4 {
			scale = 0.5
		}
		want.F32()[i] = float32(scale * rng.Float64())
		got.F32()[i] = want.F32()[i] + float32(rng.NormFloat64())
	}
	if err := s.add(want, got, 2); err != nil {
		t.Fatal(err)
	}
	q := s.quality()
	if len(q.Parts) != 2 || q.Parts[0].From != 0 || q.Parts[0].To != 4 || q.Parts[1].To != 6 || q.Parts[0].Axis != 1 {
		t.Fatalf("%+v", q.Parts)
	}
	if q.SQNR < 40 || q.Parts[1].SQNR > 0 {
		t.Errorf("%+v", q)
	}
}

// TestLeastIsAskedFor: a network that does not reach it is an error.
func TestLeastIsAskedFor(t *testing.T) {
	data := images(t, 64, 3, 8, 8)
	for name, c := range map[string]struct {
		option Option
		fails  bool
	}{
		"little": {WithMinSQNR(10), false}, "much": {WithMinSQNR(80), true},
		"classes": {WithMinAgreement(50), false}, "all classes": {WithMinAgreement(100.5), true},
	} {
		if _, err := Quantize(context.Background(), residualNet(), data, c.option); errors.Is(err, ErrBelow) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPoorIsMended: a network under 20 dB names a node without which it is better.
func TestPoorIsMended(t *testing.T) {
	data := images(t, 64, 3, 8, 8)
	poor := []Option{WithNodeBits("conv2", 2, 4), WithCompensation(false)}
	q := mustQuantize(t, residualNet(), data, poor...)
	if q.Measured.Least >= Poor || len(q.Mends) == 0 {
		t.Fatalf("%.1f dB, %v", q.Measured.Least, q.Mends)
	}
	better := mustQuantize(t, residualNet(), data, append(poor, WithExclude(q.Mends[0].Node))...)
	if better.Measured.Least < q.Measured.Least+3 {
		t.Errorf("without %s %.1f dB, with it %.1f", q.Mends[0].Node, better.Measured.Least, q.Measured.Least)
	}
}

// TestNeverInfinite: what is finite in float is so quantized, whatever is divided by.
func TestNeverInfinite(t *testing.T) {
	n, x := newNet(3, 8, 8)
	y := n.New("relu", "Relu", nil, n.conv("a", x, 3, 4, 1))
	small := n.New("small", "Mul", nil, y, n.constant("tiny", 1e-4, 1))
	sum := n.New("sum", "Add", nil, small, graph.NewConst("eps", tensor.From([]float32{1e-5}, 1)))
	both := n.New("both", "Concat", op.Attrs{"axis": int64(1)}, sum, y)
	part := n.New("part", "Slice", nil, both, ints("from", 0), ints("to", 4), ints("axis", 1))
	g := n.done(n.New("div", "Div", nil, y, part))
	data := images(t, 64, 3, 8, 8)
	q, err := Quantize(context.Background(), g, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range outputs(t, q.Graph, data) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatal("an output is not finite")
		}
	}
}

func ints(name string, v int64) *graph.Value {
	return graph.NewConst(name, tensor.From([]int64{v}, 1))
}

// TestWarnings: signs of wrong use are named.
func TestWarnings(t *testing.T) {
	build := func() *graph.Graph {
		n, x := newNet(3, 8, 8)
		y := n.conv("a", x, 3, 4, 1)
		one := func(name string, v float32) *graph.Value {
			return graph.NewConst(name, tensor.From([]float32{v, v, v, v}, 4))
		}
		y = n.New("bn", "BatchNormalization", nil, y, one("s", 1), one("b", 0), one("m", 0), one("v", 2))
		return n.done(n.conv("last", n.New("relu", "Relu", nil, y), 4, 2, 1))
	}
	scaledBy := func(f float32, count int) dataset.Source {
		x := tensor.New(tensor.Float32, count, 3, 8, 8)
		for batch := range images(t, count, 3, 8, 8).Batches(count) {
			for i, v := range batch[0].F32() {
				x.F32()[i] = f * v
			}
		}
		s, err := dataset.FromTensors(x)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct {
		data dataset.Source
		says string // "" for nothing
	}{
		"fine":     {scaledBy(1, 64), ""},
		"unscaled": {scaledBy(255, 64), "BatchNormalization"},
		"constant": {scaledBy(0, 64), "throughout"},
		"few":      {scaledBy(1, 4), "too few"},
	} {
		q := mustQuantize(t, build(), c.data)
		if text := strings.Join(q.Warnings, "; "); (text == "") != (c.says == "") || !strings.Contains(text, c.says) {
			t.Errorf("%s: %q", name, text)
		}
	}
}
