package ptq

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// TestZeroPoints: one-sided tensors have zero points, and one for all that a Concat joins.
func TestZeroPoints(t *testing.T) {
	n, x := newNet(3, 8, 8)
	branch := func(name, operator string, attrs op.Attrs) *graph.Value {
		return n.New(name, operator, attrs, n.conv(name+"_conv", x, 3, 4, 1))
	}
	swish, leaky := branch("swish", "HardSwish", nil), branch("leaky", "LeakyRelu", op.Attrs{"alpha": float32(0.1)})
	end := func(name string, x *graph.Value, channels int) *graph.Value { // never negative
		return n.New(name, "Relu", nil, n.conv(name+"_conv", x, channels, 2, 1))
	}
	relu, tanh := branch("relu", "Relu", nil), branch("tanh", "Tanh", nil)
	plain := n.conv("plain", x, 3, 4, 1)
	oneSided := n.New("one_sided", "Concat", op.Attrs{"axis": int64(1)}, swish, relu)
	mixed := n.New("mixed", "Concat", op.Attrs{"axis": int64(1)}, n.New("swish2", "HardSwish", nil, n.conv("swish2_conv", x, 3, 4, 1)), plain)
	y := n.New("all", "Concat", op.Attrs{"axis": int64(1)},
		end("a", oneSided, 8), end("b", mixed, 8), end("c", leaky, 4), end("d", tanh, 4))
	n.Opset[""] = 14
	g, data := n.done(y), images(t, 64, 3, 8, 8)

	auto := map[string]bool{"input": true, "swish": true, "relu": true, "one_sided": true, "leaky": true}
	all := map[string]bool{"mixed": true, "plain": true, "swish2": true, "tanh": true,
		"swish_conv": true, "leaky_conv": true, "tanh_conv": true, "swish2_conv": true}
	for name := range auto {
		all[name] = true
	}
	input := map[string]bool{"input": true}
	for name, c := range map[string]struct {
		options []Option
		moved   map[string]bool // tensors that have a zero point
	}{
		"default":     {nil, auto},
		"percentile":  {[]Option{WithClip(Percentile(99.99))}, auto},
		"max":         {[]Option{WithClip(Max)}, auto},
		"6 bits":      {[]Option{WithBits(8, 6)}, auto},
		"all":         {[]Option{WithAsymmetric(true)}, all},
		"input":       {[]Option{WithAsymmetric(false)}, input},
		"signed":      {[]Option{WithSigns(false)}, input},
		"shift":       {[]Option{WithShift(true)}, input},
		"shift, all":  {[]Option{WithShift(true), WithAsymmetric(true)}, all},
		"signed, all": {[]Option{WithSigns(false), WithAsymmetric(true)}, all},
	} {
		t.Run(name, func(t *testing.T) {
			q := mustQuantize(t, g, data, append(c.options, WithPlaces(PlacesAll), WithEqualize(false), WithCompensation(false))...)
			zero := make(map[string]int)
			for _, r := range q.Tensors {
				zero[r.Name] = r.Zero
				if got := r.Zero != 0; got != c.moved[r.Name] {
					t.Errorf("%s has zero point %d", r.Name, r.Zero)
				}
			}
			if zero["swish"] != zero["one_sided"] || zero["relu"] != zero["one_sided"] || zero["plain"] != zero["mixed"] || len(zero) < 17 {
				t.Errorf("zero points %v", zero)
			}
			if db := ratio(outputs(t, g, data), outputs(t, q.Graph, data)); db < 20 {
				t.Errorf("%.1f dB", db)
			}
		})
	}
}

// TestZeroPointsLessenNoise: what is chosen for a tensor is one of the two grids, and that with a
// zero point only where its error is clearly smaller.
func TestZeroPointsLessenNoise(t *testing.T) {
	n, x := newNet(3, 8, 8)
	y := n.conv("conv", x, 3, 4, 1)
	g := n.done(y)
	j := scaled(t, g, images(t, 4, 3, 8, 8))
	stats, group := j.Stats, j.net.groups()[1]
	place := j.net.place[group.nodes[0]]
	rng := rand.New(rand.NewPCG(7, 8))
	moved := 0
	for i := range 60 {
		values := make([]float32, 1+rng.IntN(5000))
		middle, tail, scale := rng.NormFloat64()*2, 1+rng.Float64()*2, math.Exp(rng.NormFloat64()*8)
		for k := range values {
			v := rng.NormFloat64()
			values[k] = float32(scale * (middle + math.Copysign(math.Pow(math.Abs(v), tail), v)))
		}
		if i == 0 {
			clear(values)
		}
		h := new(Histogram)
		mustAdd(t, h, values)
		stats.Tensors[place.Value.Name] = h
		for _, rule := range []Clip{Max, MSE, AA, KL, Percentile(99.9)} {
			choose := func(z ZeroPoints) (Levels, float64) {
				place.Choice.Clip, group.choice.Zeros = rule, z
				l, err := group.levels(stats)
				if err != nil {
					t.Fatal(err)
				}
				return l, newDistribution(h).error(l, 2)
			}
			auto, got := choose(ZeroPointsAuto)
			with, least := choose(ZeroPointsAll)
			without, most := choose(ZeroPointsInput)
			want := without
			lo, hi := h.Range()
			r := math.Max(0, math.Min(-lo, hi)) / math.Max(-lo, hi)
			if least < 0.7*most && (1+r)*(1+r)/4 < 0.7 {
				want = with
				moved++
			}
			if auto != want {
				t.Errorf("%v: %+v with an error of %g; %g without and %g with a zero point", rule, auto, got, most, least)
			}
		}
	}
	if moved < 60 || moved > 240 {
		t.Errorf("%d of 300 tensors have a zero point", moved)
	}
}
