package ptq

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

func mustPlan(t testing.TB, g *graph.Graph, options ...Option) *Plan {
	t.Helper()
	p, err := NewPlan(g, options...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// branches has what a plan must tell apart: an activation function, a Concat whose parts share a scale,
// constants, what stays in float.
func branches() *graph.Graph {
	n, x := newNet(3, 8, 8)
	a := n.New("relu", "Relu", nil, n.conv("a", x, 3, 4, 1))
	b := n.conv("b", x, 3, 4, 1)
	c := n.New("cat", "Concat", op.Attrs{"axis": int64(1)}, a, b)
	c = n.New("pool", "MaxPool", op.Attrs{"kernel_shape": []int64{2, 2}}, c)
	c = n.New("scaled", "Mul", nil, c, n.constant("factor", 1, 8, 1, 1))
	return n.done(n.conv("last", n.New("exp", "Exp", nil, c), 8, 2, 1))
}

func TestPlanGolden(t *testing.T) {
	for name, options := range map[string][]Option{
		"auto":    nil,
		"all":     {WithPlaces(PlacesAll)},
		"pattern": {WithPlaces(PlacesAll), WithExclude("*a"), WithNodeBits("*", 4, 8), WithNodeBits("last", 8, 16), WithOpBits("Conv", 6, 6)},
		"concat":  {WithPlaces(PlacesAll), WithExcludeOp("Concat")},
		"relu":    {WithPlaces(PlacesAll), WithExclude("relu")},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustPlan(t, branches(), options...).String()
			path := filepath.Join("testdata", "plan_"+name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the plan differs from %s (go test -update rewrites it):\n%s", path, got)
			}
		})
	}
}

// TestExcludingAddsNoPlace: whatever is excluded, and in whatever order, the places that are on are among those
// that one calibration sees, and nothing that is in float reads or ties integers.
func TestExcludingAddsNoPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, build := range []func() *graph.Graph{branches, residualNet} {
		for range 200 {
			p := mustPlan(t, build())
			for _, np := range p.Nodes {
				if rng.IntN(3) == 0 {
					p.Exclude(Reason{Code: Excluded}, np.Node.Name)
				}
			}
			chosen := p.choose()
			for v := range chosen {
				if v != nil && p.byValue[v] == nil {
					t.Fatalf("%s becomes integers and was no possible place:\n%s", v.Name, p)
				}
			}
			for _, np := range p.Nodes {
				if first, _ := p.ties(np); first != nil && np.Float.Code != OnIntegers {
					t.Fatalf("%s is in float and ties scales:\n%s", np.Node.Name, p)
				}
				if maker := p.node(np.clamps); maker != nil && maker.excluded.Code != OnIntegers && np.Float.Code == OnIntegers {
					t.Fatalf("%s is on integers behind %s, which is not:\n%s", np.Node.Name, maker.Node.Name, p)
				}
			}
		}
	}
}

// TestExcludedIsFloat: a node that is excluded reads no integers and gives none to its activation function.
func TestExcludedIsFloat(t *testing.T) {
	data := images(t, 32, 3, 8, 8)
	want := outputs(t, branches(), data)
	q := mustQuantize(t, branches(), data, WithExclude("a"))
	for _, n := range q.Graph.Nodes {
		if n.Name == "relu" && n.In(0).Node.Op == "DequantizeLinear" {
			t.Error("the Relu of an excluded Conv reads integers")
		}
	}
	base := ratio(want, outputs(t, mustQuantize(t, branches(), data).Graph, data))
	for _, name := range []string{"a", "b", "cat", "last", "relu", "scaled"} {
		q := mustQuantize(t, branches(), data, WithExclude(name))
		if got := ratio(want, outputs(t, q.Graph, data)); got < base-1 {
			t.Errorf("without %s: %.1f dB, with it %.1f", name, got, base)
		}
		if q.Float[name] == "" {
			t.Errorf("%s is not told to be in float: %v", name, q.Float)
		}
	}
}

// TestStatisticsServeAllOptions: one calibration is enough for any bits and exclusions, and gives what a calibration
// under these options gives.
func TestStatisticsServeAllOptions(t *testing.T) {
	data := images(t, 32, 3, 8, 8)
	stats, err := Collect(context.Background(), residualNet(), data, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]Option{
		{WithBits(8, 16)}, {WithExclude("conv2")}, {WithExclude("relu1", "matrix")}, {WithNodeBits("conv1", 4, 4)}, {WithAutoExclude(30)}, {WithExcludeOp("Conv")},
	} {
		a := mustQuantize(t, residualNet(), data, append([]Option{WithStatistics(stats)}, options...)...)
		b := mustQuantize(t, residualNet(), data, append([]Option{WithEqualize(false), WithHoldout(0)}, options...)...)
		if graph.Format(a.Graph) != graph.Format(b.Graph) {
			t.Error("statistics that were gathered before give another network")
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for _, c := range []struct {
		option Option
		says   string
	}{
		{WithExclude("conv12"), `did you mean "conv1" or "conv2"?`},
		{WithExclude("Conv1"), `"conv1"`},
		{WithExclude("*zzz"), "narrow inspect"},
		{WithExcludeOp("Convv"), `no operator "Convv": did you mean "Conv"?`},
		{WithNodeBits("depthwize", 8, 8), `"depthwise"`},
		{WithOpBits("gemm", 8, 8), `"Gemm"`},
	} {
		_, err := NewPlan(residualNet(), c.option)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s", err, c.says)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"/encoder/*/Add", "/encoder/layer.0/Add", true}, {"/encoder/*/Add", "/encoder/a/b/Add", false}, {"/encoder/**/Add", "/encoder/a/b/Add", true},
		{"a.b", "axb", false}, {"a?b", "axb", true}, {"a?b", "a/b", false}, {"x*", "x*", true}, {"conv[0]", "conv[0]", true}, {"*", "", true}, {"a", "ab", false},
	} {
		if got := newPattern(c.pattern).matches(c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}

// TestStepsOutOfOrder: every step, taken before all others, runs or says what is missing.
func TestStepsOutOfOrder(t *testing.T) {
	data := images(t, 8, 3, 8, 8)
	for _, options := range [][]Option{nil, {WithShift(true), WithClip(Auto)}, {WithQOperator(true), WithCompensation(false), WithBiasCorrection(true)}, {WithNoRound(true)}, {WithAutoExclude(20)}} {
		j, err := NewJob(residualNet(), data, options...)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range j.Steps() {
			fresh, err := NewJob(residualNet(), data, options...)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(context.Background(), fresh); (s.Needs != 0) != errors.Is(err, ErrOrder) {
				t.Errorf("%s first: %v", s.Name, err)
			}
		}
		if _, err := j.Result(); !errors.Is(err, ErrOrder) {
			t.Errorf("a result before the end: %v", err)
		}
		if _, err := j.Fork(); !errors.Is(err, ErrOrder) {
			t.Errorf("a fork before calibration: %v", err)
		}
	}
}

// TestBadArguments: what no network can be made of is an error.
func TestBadArguments(t *testing.T) {
	g, data := residualNet(), images(t, 8, 3, 8, 8)
	stats, err := Collect(context.Background(), g, data, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Collect(context.Background(), branches(), data, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func() error{
		"no network": func() error { _, err := Quantize(context.Background(), nil, data); return err },
		"no data":    func() error { _, err := Quantize(context.Background(), g, nil); return err },
		"no data for auto": func() error {
			_, err := Quantize(context.Background(), g, nil, WithStatistics(stats), WithClip(Auto))
			return err
		},
		"other statistics": func() error { _, err := Quantize(context.Background(), g, data, WithStatistics(other)); return err },
		"empty statistics": func() error {
			_, err := Quantize(context.Background(), g, data, WithStatistics(new(Statistics)))
			return err
		},
		"negative power":        func() error { _, err := Quantize(context.Background(), g, data, WithClip(Lp(-3))); return err },
		"more than all":         func() error { _, err := Quantize(context.Background(), g, data, WithClip(Percentile(500))); return err },
		"collecting no network": func() error { _, err := Collect(context.Background(), nil, data, nil, nil); return err },
		"collecting no data":    func() error { _, err := Collect(context.Background(), g, nil, nil, nil); return err },
	} {
		if err := run(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestOptionsAreNotChanged: the caller's list of options has nothing appended to it.
func TestOptionsAreNotChanged(t *testing.T) {
	options := make([]Option, 1, 8)
	options[0] = WithAutoExclude(60)
	mustQuantize(t, residualNet(), images(t, 8, 3, 8, 8), options...)
	for i, o := range options[:cap(options)] {
		if (o == nil) != (i > 0) {
			t.Errorf("option %d", i)
		}
	}
}

// TestTransposedAnyhow: transB is true for any number but 0.
func TestTransposedAnyhow(t *testing.T) {
	data := images(t, 64, 8)
	for _, options := range [][]Option{nil, {WithQOperator(true)}, {WithShift(true)}, {WithNoRound(true)}} {
		n, x := newNet(8)
		y := n.New("gemm", "Gemm", op.Attrs{"transB": int64(2)}, x, n.constant("w", 1, 3, 8), n.constant("b", 1, 1, 1))
		g := n.done(y)
		if db := ratio(outputs(t, g, data), outputs(t, mustQuantize(t, g, data, options...).Graph, data)); db < 35 {
			t.Errorf("%.1f dB", db)
		}
	}
}

// TestQuantizedAlready: what has no float part left is refused, what has one is quantized.
func TestQuantizedAlready(t *testing.T) {
	data := images(t, 16, 3, 8, 8)
	for _, options := range [][]Option{nil, {WithQOperator(true)}} {
		q := mustQuantize(t, residualNet(), data, options...)
		if _, err := Quantize(context.Background(), q.Graph, data); !errors.Is(err, ErrQuantized) {
			t.Errorf("quantized twice: %v", err)
		}
	}
	part := mustQuantize(t, residualNet(), data, WithExclude("conv2"))
	if r := mustQuantize(t, part.Graph, data); r.Float["conv2"] != "" {
		t.Errorf("the part in float stays so: %s", r.Float["conv2"])
	}
}

// TestUnroundedHasNoIntegers: and is told so.
func TestUnroundedHasNoIntegers(t *testing.T) {
	data := images(t, 16, 3, 8, 8)
	if r := mustQuantize(t, residualNet(), data, WithNoRound(true)); r.Nodes != 0 || r.Float["conv1"] == "" {
		t.Errorf("%d nodes on integers, %v", r.Nodes, r.Float)
	}
	if _, err := Quantize(context.Background(), residualNet(), data, WithNoRound(true), WithQOperator(true)); err == nil {
		t.Error("operators on integers without integers")
	}
}
