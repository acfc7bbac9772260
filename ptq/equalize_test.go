package ptq

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// skew multiplies channels of a layer by factors and divides those of the next:
// the network's function stays.
func skew(a, b *graph.Node, factors []float32) {
	w, bias, next := a.Inputs[1].Const.F32(), a.Inputs[2].Const.F32(), b.Inputs[1].Const
	for c, f := range factors {
		for i := range len(w) / len(factors) {
			w[c*len(w)/len(factors)+i] *= f
		}
		bias[c] *= f
	}
	in, taps := next.Shape()[1], tensor.Volume(next.Shape()[2:])
	for i := range next.F32() {
		c := i / taps % in
		if in == 1 { // depthwise
			c = i / taps
		}
		next.F32()[i] /= factors[c]
	}
}

func TestEqualizeRestoresSkewedChannels(t *testing.T) {
	data := images(t, 64, 3, 8, 8)
	build := func(skewed bool) *graph.Graph {
		n, x := newNet(3, 8, 8)
		x = n.New("relu1", "Relu", nil, n.conv("a", x, 3, 8, 1))
		x = n.New("relu2", "Relu", nil, n.conv("depthwise", x, 8, 8, 8))
		x = n.New("pool", "AveragePool", op.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, n.conv("c", x, 8, 4, 1))
		x = n.New("flat", "Flatten", nil, x)
		g := n.done(n.gemm("matrix", x, 64, 5))
		if skewed {
			skew(g.Nodes[0], g.Nodes[2], []float32{16, .0625, 1, 4, .125, 8, .5, 2})
			skew(g.Nodes[2], g.Nodes[4], []float32{.25, 16, .0625, 1, 8, .5, 2, 4})
		}
		return g
	}
	g := build(true)
	want := outputs(t, g, data)
	for _, perChannel := range []bool{true, false} {
		equal := g.Clone()
		if err := Prepare(equal, 13); err != nil {
			t.Fatal(err)
		}
		e, err := equalize(context.Background(), equal, data, Scheme{perChannel, 8, 8}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if e.Pairs != 3 || len(e.Balanced) < 2 {
			t.Errorf("%d pairs, %d balanced: %v", e.Pairs, len(e.Balanced), e.Refused)
		}
		checkChannels(t, e.Balanced)
		if db := ratio(want, outputs(t, equal, data)); db < 100 {
			t.Errorf("per channel %v: equalizing changed the function: %.1f dB", perChannel, db)
		}
		before := ratio(want, outputs(t, mustQuantize(t, g, data, WithPerChannel(perChannel), WithEqualize(false), WithCompensation(false)).Graph, data))
		after := ratio(want, outputs(t, mustQuantize(t, g, data, WithPerChannel(perChannel), WithCompensation(false)).Graph, data))
		plain := ratio(outputs(t, build(false), data), outputs(t, mustQuantize(t, build(false), data, WithPerChannel(perChannel), WithCompensation(false)).Graph, data))
		t.Logf("per channel %v: %.1f dB, equalized %.1f, never skewed %.1f", perChannel, before, after, plain)
		if after < before+3 || after < plain-2 {
			t.Errorf("per channel %v: %.1f dB, equalized %.1f, never skewed %.1f", perChannel, before, after, plain)
		}
	}
}

// checkChannels holds the ranges that are told of a chain's pairs against each other:
// what multiplies a channel of the activation multiplies the weights that make it and
// divides those that read it. The first layer has no pair before it, the last none behind.
func checkChannels(t *testing.T, pairs []BalancedPair) {
	t.Helper()
	check := func(p BalancedPair, what string, before, after []float64, factor func(c int) float64) {
		if len(before) != len(p.Before.Acts) || len(after) != len(before) {
			t.Fatalf("%s and %s: %d ranges of %s before, %d after, for %d channels", p.First, p.Second, len(before), what, len(after), len(p.Before.Acts))
		}
		for c := range before {
			if want := before[c] * factor(c); math.Abs(after[c]-want) > 1e-6*want {
				t.Errorf("%s and %s: channel %d of %s is %v after balancing, want %v", p.First, p.Second, c, what, after[c], want)
			}
		}
	}
	for _, p := range pairs {
		factor := func(c int) float64 { return p.After.Acts[c] / p.Before.Acts[c] }
		if p.First == "a" {
			check(p, "the first's weights", p.Before.Out, p.After.Out, factor)
		}
		if p.Second == "matrix" {
			check(p, "the second's weights", p.Before.In, p.After.In, func(c int) float64 { return 1 / factor(c) })
		}
		if slices.Equal(p.Before.Acts, p.After.Acts) {
			t.Errorf("%s and %s are told to be balanced and have not changed", p.First, p.Second)
		}
	}
}

func TestEqualizeRefuses(t *testing.T) {
	n, x := newNet(3, 8, 8)
	zero, six := graph.NewConst("zero", tensor.Scalar(float32(0))), graph.NewConst("six", tensor.Scalar(float32(6)))
	a := n.New("relu6", "Clip", nil, n.conv("a", x, 3, 4, 1), zero, six)
	b := n.New("relu", "Relu", nil, n.conv("b", a, 4, 4, 1))
	sum := n.New("sum", "Add", nil, b, n.conv("c", b, 4, 4, 1)) // b is read twice, c goes into a join
	g := n.done(n.conv("d", sum, 4, 2, 1))
	if err := Prepare(g, 13); err != nil {
		t.Fatal(err)
	}
	e, err := equalize(context.Background(), g, images(t, 8, 3, 8, 8), Scheme{false, 8, 8}, 1)
	if err != nil || e.Pairs != 0 || len(e.Refused) != 1 || e.Refused["a"] == "" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestEqualizeLeavesDeadChannels(t *testing.T) {
	n, x := newNet(3, 8, 8)
	y := n.New("relu", "Relu", nil, n.conv("a", x, 3, 4, 1))
	g := n.done(n.conv("b", y, 4, 2, 1))
	clear(g.Nodes[0].Inputs[1].Const.F32()[:27])
	g.Nodes[0].Inputs[2].Const.F32()[0] = 0
	if err := Prepare(g, 13); err != nil {
		t.Fatal(err)
	}
	if _, err := equalize(context.Background(), g, images(t, 8, 3, 8, 8), Scheme{false, 8, 8}, 1); err != nil {
		t.Fatal(err)
	}
	for _, node := range g.Nodes {
		for _, v := range node.Inputs {
			if v.IsConst() {
				for _, w := range v.Const.Float32s() {
					if math.IsNaN(float64(w)) || math.IsInf(float64(w), 0) {
						t.Fatalf("%s of %s has %v", v.Name, node.Name, w)
					}
				}
			}
		}
	}
}
