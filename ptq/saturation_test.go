package ptq

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// crowdedNet has every operator with weights, all with weights of which many are large.
func crowdedNet() *graph.Graph {
	n, x := newNet(3, 8, 8)
	x = n.New("relu1", "Relu", nil, n.conv("first", x, 3, 12, 1))
	x = n.New("relu2", "Relu", nil, n.conv("grouped", x, 12, 12, 4)) // 3 channels to a group
	x = n.conv("depthwise", x, 12, 12, 12)
	x = n.New("up", "ConvTranspose", op.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x, n.constant("up_w", 0.2, 12, 6, 2, 2), n.constant("up_b", 0.1, 6))
	x = n.New("groups", "ConvTranspose", op.Attrs{"kernel_shape": []int64{1, 1}, "group": int64(2)}, x, n.constant("groups_w", 0.2, 6, 3, 1, 1))
	x = n.New("relu3", "Relu", nil, x)
	x = n.New("product", "MatMul", nil, x, n.constant("product_w", 0.2, 16, 8))
	x = n.New("stack", "MatMul", nil, x, n.constant("stack_w", 0.2, 6, 8, 3))
	x = n.New("flat", "Flatten", nil, x)
	x = n.New("rows", "Gemm", nil, x, n.constant("rows_w", 0.1, 288, 7), n.constant("rows_b", 0.1, 7))
	x = n.gemm("columns", x, 7, 5)
	g := n.done(x)
	rng := rand.New(rand.NewPCG(7, 8))
	for _, m := range g.Nodes {
		if w := m.In(1); w.IsConst() {
			for i := range w.Const.F32() {
				w.Const.F32()[i] = float32(rng.Float64()*2-1) / 4
			}
		}
	}
	return g
}

// TestSaturationSafe: no neighbours pass the limit, whatever the options, and without
// the limit they do.
func TestSaturationSafe(t *testing.T) {
	data := images(t, 32, 3, 8, 8)
	for _, c := range []struct {
		name    string
		options []Option
		safe    bool
	}{
		{"defaults", nil, true},
		{"not safe", []Option{WithSaturationSafe(false)}, false},
		{"per tensor", []Option{WithPerChannel(false)}, true},
		{"to nearest", []Option{WithCompensation(false)}, true},
		{"to nearest, per tensor", []Option{WithCompensation(false), WithPerChannel(false)}, true},
		{"biases corrected", []Option{WithCompensation(false), WithBiasCorrection(true)}, true},
		{"shift", []Option{WithShift(true)}, true},
		{"shift, per tensor, to nearest", []Option{WithShift(true), WithPerChannel(false), WithCompensation(false)}, true},
		{"operators on integers", []Option{WithQOperator(true)}, true},
		{"7 bits", []Option{WithBits(7, 8), WithSaturationSafe(false)}, true},
	} {
		q := mustQuantize(t, crowdedNet(), data, c.options...)
		pairs, err := graph.Saturation(q.Graph)
		if err != nil {
			t.Fatal(err)
		}
		if len(pairs) != 9 {
			t.Errorf("%s: %d nodes with weights, want 9", c.name, len(pairs))
		}
		above := 0
		for _, p := range pairs {
			above += p.Above
		}
		if (above == 0) != c.safe {
			t.Errorf("%s: %d pairs above the limit", c.name, above)
		}
		if slices.Contains([]string{"shift"}, c.name) {
			checkShifts(t, q.Graph)
		}
	}
}

// TestSaturationSafeCosts: the limit costs little, and the wider choice of scales is worth something.
func TestSaturationSafeCosts(t *testing.T) {
	g, data := crowdedNet(), images(t, 64, 3, 8, 8)
	want := outputs(t, g, data)
	db := func(options ...Option) float64 {
		return ratio(want, outputs(t, mustQuantize(t, g, data, options...).Graph, data))
	}
	if free, safe := db(WithSaturationSafe(false)), db(); safe < free-3 {
		t.Errorf("%.1f dB, %.1f without the limit", safe, free)
	}
	if free, safe := db(WithSaturationSafe(false), WithCompensation(false)), db(WithCompensation(false)); safe < free-6 {
		t.Errorf("to nearest: %.1f dB, %.1f without the limit", safe, free)
	}
}

// TestSaturationOfOthers: weights with zero points, as other tools write them.
func TestSaturationOfOthers(t *testing.T) {
	n, x := newNet(4)
	q := tensor.From([]uint8{228, 157, 128, 128, 100, 20, 200, 0}, 4, 2) // less 128: 100 29, 0 0, -28 -108, 72 -128
	scalar := func(name string, t *tensor.Tensor) *graph.Value { return graph.NewConst(name, t) }
	w := n.New("w", "DequantizeLinear", nil, graph.NewConst("q", q), scalar("scale", tensor.Scalar(float32(0.1))), scalar("zero", tensor.Scalar(uint8(128))))
	g := n.done(n.New("product", "MatMul", nil, x, w))
	pairs, err := graph.Saturation(g)
	if err != nil {
		t.Fatal(err)
	}
	want := graph.PairSums{Pairs: 4, Above: 1, Largest: 236} // columns: 100+0, 28+72; 29+0, 108+128
	if got := fmt.Sprint(pairs); got != fmt.Sprint(map[*graph.Node]graph.PairSums{g.Nodes[1]: want}) {
		t.Errorf("%s, want %v", got, want)
	}
}

// TestSaturating compares what sums lose with machine arithmetic written out, in both formats: pairs of
// products in 16 bits.
func TestSaturating(t *testing.T) {
	for name, options := range map[string][]Option{"qdq": nil, "qoperator": {WithQOperator(true)}} {
		n, x := newNet(4)
		w := tensor.From([]float32{1, 1, -1, -1, 1, -1, 0.25, 0.25}, 2, 4) // 127 127 -127 -127; 127 -127 32 32
		g := n.done(n.New("matrix", "Gemm", op.Attrs{"transB": int64(1)}, x, graph.NewConst("w", w)))
		data := samples{tensor.From([]float32{1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1}, 4, 4)} // 0 or 255 as integers
		q := mustQuantize(t, g, data, append(options, WithSaturationSafe(false))...)
		s, unknown, err := Saturating(q.Graph)
		if err != nil || len(unknown) > 0 {
			t.Fatal(unknown, err)
		}
		got := outputs(t, s, data)
		unit := 1.0 / 127 / 255
		want := []float64{32767 * unit, 0, -32768 * unit, 0.5, 1, 1, -1 * unit, 0.5}
		for i, v := range want {
			if math.Abs(got[i]-v) > 0.01 {
				t.Errorf("%s: result %d is %g, want %g", name, i, got[i], v)
			}
		}
	}
}
