package ptq

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/profile"
	"github.com/narrow-ml/narrow/tensor"
)

func profileOf(t *testing.T, name string) *profile.Profile {
	t.Helper()
	p, err := profile.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// targetNet has layers with activation functions, a sum, a product in float between layers, pools and an end in Softmax.
func targetNet() *graph.Graph {
	n, x := newNet(3, 8, 8)
	a := n.New("relu1", "Relu", nil, n.conv("first", x, 3, 8, 1))
	b := n.New("sum", "Add", nil, n.conv("second", a, 8, 8, 1), a)
	b = n.New("gate", "Sigmoid", nil, b)
	b = n.New("pool", "GlobalAveragePool", nil, n.conv("third", b, 8, 8, 8))
	b = n.New("flat", "Flatten", nil, b)
	return n.done(n.New("probability", "Softmax", nil, n.gemm("head", b, 8, 5)))
}

// TestProfiles: for every target there is a network that keeps its rules, has the types that it takes, and means much the same.
func TestProfiles(t *testing.T) {
	data := images(t, 32, 3, 8, 8)
	for _, name := range profile.Names() {
		p := profileOf(t, name)
		q, err := Quantize(context.Background(), targetNet(), data, WithProfile(p))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r, err := profile.Check(q.Graph, p); err != nil || len(r.Problems) > 0 || len(p.Units) > 0 && r.Integer < 99 {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if m := q.Measured; !(m.Least > 15) {
			t.Errorf("%s: %.1f dB", name, m.Least)
		}
		for _, n := range q.Graph.Nodes {
			if n.Op != "QuantizeLinear" {
				continue
			}
			d := n.In(2).Const.DType()
			if p.Store == profile.Unsigned && d != tensor.Uint8 || p.Store == profile.Signed && d != tensor.Int8 {
				t.Errorf("%s: %s is %s", name, n.Name, d)
			}
		}
	}
}

// TestStoreAs: other types hold the same values.
func TestStoreAs(t *testing.T) {
	data := images(t, 32, 3, 8, 8)
	want := math.NaN()
	for _, store := range []profile.Store{profile.Mixed, profile.Unsigned, profile.Signed} {
		p := *profileOf(t, "openvino")
		p.Store = store
		q, err := Quantize(context.Background(), targetNet(), data, WithProfile(&p))
		if err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(want) {
			want = q.Measured.SQNR
		}
		if got := q.Measured.SQNR; math.Abs(got-want) > 1e-3 {
			t.Errorf("%v: %.4f dB, not %.4f", store, got, want)
		}
	}
}

// TestContradictions: an option that the target does not allow is refused by name, with the reason.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		target string
		option Option
		want   string // "" for allowed
	}{
		{"tensorrt", WithSigns(true), "--signs"},
		{"tensorrt", WithAsymmetric(true), "--asymmetric"},
		{"tensorrt", WithAsymmetric(false), ""},
		{"tensorrt", WithQOperator(true), "qoperator"},
		{"tensorrt", WithNoRound(true), "without rounding"},
		{"tensorrt", WithBits(8, 16), "16-bit"},
		{"tensorrt", WithOpBits("Conv", 8, 16), "16-bit"},
		{"tensorrt", WithBits(4, 8), ""},
		{"qnn", WithBits(8, 16), ""},
		{"qnn", WithPlaces(PlacesAuto), "--places"},
		{"esp-dl", WithPowers(false), "powers of two"},
		{"esp-dl", WithPerChannel(true), "--per-channel"},
		{"onnxruntime-x64-any", WithSaturationSafe(false), "--saturation-safe"},
		{"onnxruntime", WithSaturationSafe(false), ""},
		{"onnxruntime", WithPerChannel(false), ""},
	} {
		for _, options := range [][]Option{{WithProfile(profileOf(t, c.target)), c.option}, {c.option, WithProfile(profileOf(t, c.target))}} {
			_, err := newConfig(options)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrContradiction) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, want %q", c.target, err, c.want)
			}
		}
	}
}

// TestBrokenTarget: what cannot keep the rules is no result.
func TestBrokenTarget(t *testing.T) {
	_, err := Quantize(context.Background(), targetNet(), images(t, 32, 3, 8, 8), WithProfile(profileOf(t, "cmsis-nn")), WithExclude("second"))
	if !errors.Is(err, profile.ErrBroken) || !strings.Contains(err.Error(), "second") {
		t.Errorf("%v", err)
	}
}
