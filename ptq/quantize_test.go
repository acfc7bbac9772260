package ptq

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func mustQuantize(t testing.TB, g *graph.Graph, data dataset.Source, options ...Option) *Result {
	t.Helper()
	r, err := Quantize(context.Background(), g, data, options...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGolden compares the quantized network, as text, with the file of testdata.
func TestGolden(t *testing.T) {
	data := images(t, 16, 3, 8, 8)
	for name, options := range map[string][]Option{
		"default":   nil,
		"tensor":    {WithPerChannel(false), WithSigns(false), WithCompensation(false), WithEqualize(false)},
		"shift":     {WithShift(true)},
		"unrounded": {WithNoRound(true)},
		"qoperator": {WithQOperator(true), WithSigns(false)},
	} {
		t.Run(name, func(t *testing.T) {
			// The weights depend on the last bits of float sums, which differ between
			// processors; the structure of the graph does not.
			got := structure(mustQuantize(t, residualNet(), data, options...).Graph)
			path := filepath.Join("testdata", name+".txt")
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
				t.Errorf("the graph differs from %s (go test -update rewrites it):\n%s", path, got)
			}
		})
	}
}

// structure returns g as text with constants reduced to their types.
func structure(g *graph.Graph) string {
	var b bytes.Buffer
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "%s %s(", n.Outputs[0].Name, n.Op)
		for i, v := range n.Inputs {
			if i > 0 {
				b.WriteString(", ")
			}
			if v == nil {
				b.WriteString("_")
			} else if b.WriteString(v.Name); v.IsConst() {
				fmt.Fprintf(&b, " %s", v.Const)
			}
		}
		b.WriteString(")\n")
	}
	return b.String()
}

func TestQuantizeIsClose(t *testing.T) {
	g, data := residualNet(), images(t, 32, 3, 8, 8)
	want := outputs(t, g, data)
	for name, c := range map[string]struct {
		least   float64
		options []Option
	}{
		"default":    {30, nil},
		"nearest":    {28, []Option{WithCompensation(false)}},
		"biases":     {28, []Option{WithCompensation(false), WithBiasCorrection(true)}},
		"per tensor": {25, []Option{WithPerChannel(false)}},
		"max":        {25, []Option{WithClip(Max)}},
		"kl":         {25, []Option{WithClip(KL)}},
		"signed":     {22, []Option{WithSigns(false)}},
		"asymmetric": {28, []Option{WithAsymmetric(true)}},
		"shift":      {25, []Option{WithShift(true)}},
		"shift max":  {20, []Option{WithShift(true), WithPerChannel(false), WithClip(Max)}},
		"4/8 bits":   {12, []Option{WithBits(4, 8)}},
		"8/4 bits":   {5, []Option{WithBits(8, 4)}},
		"8/16 bits":  {38, []Option{WithBits(8, 16)}},
		"one node":   {20, []Option{WithNodeBits("conv2", 4, 6)}},
		"qoperator":  {28, []Option{WithQOperator(true)}},
		"excluded":   {30, []Option{WithExclude("conv1", "add")}},
	} {
		t.Run(name, func(t *testing.T) {
			before := graph.Format(g)
			q := mustQuantize(t, g, data, c.options...)
			if graph.Format(g) != before {
				t.Error("the float network was changed")
			}
			if got := ratio(want, outputs(t, q.Graph, data)); got < c.least {
				t.Errorf("%.1f dB, want at least %g", got, c.least)
			} else {
				t.Logf("%.1f dB", got)
			}
		})
	}
}

// TestQOperatorIsTheSame: both formats stand for the same integers.
func TestQOperatorIsTheSame(t *testing.T) {
	g, data := residualNet(), images(t, 32, 3, 8, 8)
	for _, signs := range []bool{true, false} {
		qdq := mustQuantize(t, g, data, WithSigns(signs))
		integer := mustQuantize(t, g, data, WithSigns(signs), WithQOperator(true))
		for _, n := range integer.Graph.Nodes {
			if slices.Contains([]string{"Conv", "Gemm", "Add", "Relu", "MaxPool"}, n.Op) && n.In(0).Node != nil && n.In(0).Node.Op == "DequantizeLinear" {
				t.Errorf("signs %v: %s is still in float", signs, n)
			}
		}
		if db := ratio(outputs(t, qdq.Graph, data), outputs(t, integer.Graph, data)); db < 45 {
			t.Errorf("signs %v: the formats differ: %.1f dB", signs, db)
		}
	}
}

// TestUnroundedIsTheSameFunction: the whole pipeline is a change of variables.
func TestUnroundedIsTheSameFunction(t *testing.T) {
	data := images(t, 16, 3, 8, 8)
	for _, signs := range []bool{true, false} {
		for _, shift := range []bool{true, false} {
			for _, equalize := range []bool{true, false} {
				for _, perChannel := range []bool{true, false} {
					g := residualNet()
					want := outputs(t, g, data)
					q := mustQuantize(t, g, data, WithNoRound(true), WithSigns(signs), WithShift(shift), WithEqualize(equalize), WithPerChannel(perChannel))
					if got := ratio(want, outputs(t, q.Graph, data)); got < 80 {
						t.Errorf("signs %v, shift %v, equalize %v, per channel %v: %.1f dB", signs, shift, equalize, perChannel, got)
					}
				}
			}
		}
	}
}

// TestShiftIsExact walks a network and finds every rescaling to be an exact
// power of two.
func TestShiftIsExact(t *testing.T) {
	for _, perChannel := range []bool{true, false} {
		q := mustQuantize(t, residualNet(), images(t, 16, 3, 8, 8), WithShift(true), WithPerChannel(perChannel))
		if n := checkShifts(t, q.Graph); n < 5 {
			t.Errorf("only %d rescalings were found", n)
		}
	}
}

// isPower reports whether x is a power of two but for a relative error.
func isPower(x, tolerance float64) bool {
	frac, _ := math.Frexp(x)
	return frac-0.5 <= tolerance || 1-frac <= tolerance
}

// TestPowers: every scale is a power of two.
func TestPowers(t *testing.T) {
	q := mustQuantize(t, residualNet(), images(t, 16, 3, 8, 8), WithPowers(true)).Graph
	checkShifts(t, q)
	found := 0
	for _, n := range q.Nodes {
		if n.Op != "QuantizeLinear" && n.Op != "DequantizeLinear" {
			continue
		}
		for _, s := range n.In(1).Const.F32() {
			if found++; !isPower(float64(s), 0) {
				t.Errorf("%s has scale %g", n, s)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d scales were found", found)
	}
}

// TestShiftOfMeans: a mean of 5*7 elements in front of the end is a shift, and the end has one scale.
func TestShiftOfMeans(t *testing.T) {
	n, x := newNet(3, 5, 7)
	x = n.New("mean", "GlobalAveragePool", nil, n.New("relu", "Relu", nil, n.conv("conv", x, 3, 8, 1)))
	g := n.done(n.gemm("matrix", n.New("flat", "Flatten", nil, x), 8, 4))
	q := mustQuantize(t, g, images(t, 16, 3, 5, 7), WithShift(true)).Graph
	means := 0
	for _, n := range q.Nodes {
		switch {
		case n.Op == "GlobalAveragePool":
			means++
			x, y := n.Inputs[0].Node.In(1).Const.F32()[0], q.Uses()[n.Outputs[0]][0].In(1).Const.F32()[0]
			if !isPower(float64(x)/float64(y)/35, 1e-6) {
				t.Errorf("the mean is rescaled by %g/%g", x, y)
			}
		case n.Op == "Gemm":
			if w := n.Inputs[1].Node.In(1).Const; w.Len() != 1 {
				t.Errorf("the end has %d scales", w.Len())
			}
		}
	}
	if means != 1 {
		t.Errorf("%d means were found", means)
	}
}

// TestShiftOfInnerMeans: a mean of 5*7 elements that other layers on integers read is rescaled by a
// multiplier, and runs where only shifts are allowed otherwise.
func TestShiftOfInnerMeans(t *testing.T) {
	n, x := newNet(3, 5, 7)
	x = n.New("mean", "GlobalAveragePool", nil, n.New("relu", "Relu", nil, n.conv("conv", x, 3, 8, 1)))
	x = n.New("relu2", "Relu", nil, n.conv("conv2", x, 8, 8, 1))
	g := n.done(n.gemm("matrix", n.New("flat", "Flatten", nil, x), 8, 4))
	q := mustQuantize(t, g, images(t, 16, 3, 5, 7), WithShift(true), WithSigns(false)).Graph
	net, err := engine.Compile(q, engine.WithRequant(engine.RequantShift))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Run(context.Background(), tensor.New(tensor.Float32, 1, 3, 5, 7)); err != nil {
		t.Error(err)
	}
}

// TestShiftOfFaintChannels: sums are shifted by at most 31 bits, however little weight a channel has.
func TestShiftOfFaintChannels(t *testing.T) {
	g := residualNet()
	for _, n := range g.Nodes {
		if w := n.In(1); n.Op == "Conv" && w.Const.Shape()[0] == 8 {
			for i := range w.Const.Len() / 8 {
				w.Const.F32()[i] *= 1e-9
			}
			n.In(2).Const.F32()[0] = 0
		}
	}
	g = mustQuantize(t, g, images(t, 16, 3, 8, 8), WithShift(true), WithEqualize(false)).Graph
	checkShifts(t, g)
	net, err := engine.Compile(g, engine.WithRequant(engine.RequantShift))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Run(context.Background(), tensor.New(tensor.Float32, 1, 3, 8, 8)); err != nil {
		t.Error(err)
	}
}

// checkShifts returns how many rescalings it found.
func checkShifts(t *testing.T, g *graph.Graph) (found int) {
	uses := g.Uses()
	result := func(n *graph.Node) []float32 { // the scale behind n and its activation function
		v := n.Outputs[0]
		for len(uses[v]) == 1 && uses[v][0].Op != "QuantizeLinear" && isActivationFunction(uses[v][0]) {
			v = uses[v][0].Outputs[0]
		}
		for _, r := range uses[v] {
			if r.Op == "QuantizeLinear" {
				return r.In(1).Const.F32()
			}
		}
		return nil
	}
	scales := func(v *graph.Value) []float32 {
		if v == nil || v.Node == nil || v.Node.Op != "DequantizeLinear" {
			return nil
		}
		return v.Node.In(1).Const.F32()
	}
	for _, n := range g.Nodes {
		y := result(n)
		if y == nil || n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" || isActivationFunction(n) {
			continue
		}
		for i, v := range n.Inputs {
			x := scales(v)
			if x == nil || i > 0 && n.Op != "Add" {
				continue
			}
			w := []float32{1}
			if n.Op == "Conv" || n.Op == "Gemm" {
				w = scales(n.Inputs[1])
			}
			for _, s := range w {
				found++
				ratio := float64(x[0]) * float64(s) / float64(y[0])
				if count := graph.Mean(n); count > 0 && isPower(ratio/float64(count), 1e-6) {
					continue // the division by what the mean is of is a shift as well
				}
				if !isPower(ratio, 0) {
					t.Errorf("%s: rescaling by %g*%g/%g is no power of two", n, x[0], s, y[0])
				}
			}
		}
	}
	return found
}

// TestConstantFactor: the integers do not depend on the unit of the input.
func TestConstantFactor(t *testing.T) {
	quantized := func(factor float32) *graph.Graph {
		g := residualNet()
		for _, n := range g.Nodes {
			if n.Name == "conv1" {
				w := n.Inputs[1].Const.Clone()
				for i := range w.F32() {
					w.F32()[i] /= factor
				}
				n.Inputs[1] = graph.NewConst(n.Inputs[1].Name, w)
			}
		}
		x := tensor.New(tensor.Float32, 16, 3, 8, 8)
		for batch := range images(t, 16, 3, 8, 8).Batches(16) {
			for i, v := range batch[0].F32() {
				x.F32()[i] = v * factor
			}
		}
		data, err := dataset.FromTensors(x)
		if err != nil {
			t.Fatal(err)
		}
		return mustQuantize(t, g, data, WithEqualize(false), WithCompensation(false)).Graph
	}
	a, b := integersOf(quantized(1)), integersOf(quantized(8))
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d and %d integer constants", len(a), len(b))
	}
	for name, x := range a {
		if !slices.Equal(x, b[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func integersOf(g *graph.Graph) map[string][]float64 {
	all := make(map[string][]float64)
	for _, v := range g.Values() {
		if v.IsConst() && v.Const.DType().IsInteger() {
			all[v.Name] = v.Const.Float64s()
		}
	}
	return all
}

// TestReproducible: the same bytes for any number of threads and batch size.
func TestReproducible(t *testing.T) {
	data := images(t, 40, 3, 8, 8)
	var first []byte
	for _, threads := range []int{1, 2, 3} {
		for _, batch := range []int{1, 7, 40} {
			var b bytes.Buffer
			q := mustQuantize(t, residualNet(), data, WithThreads(threads), WithBatch(batch))
			if err := onnx.Write(&b, q.Graph); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b.Bytes()
			}
			if !bytes.Equal(first, b.Bytes()) {
				t.Fatalf("%d threads, batches of %d: the file differs", threads, batch)
			}
		}
	}
}

func TestCheckSums(t *testing.T) {
	// 400000 weights of 64 (of neighbours, that is the limit) times at least 128 are more than 2^31; 60000 times 255 are not.
	for _, c := range []struct {
		rows     int
		overflow bool
	}{{60000, false}, {400000, true}} {
		n, x := newNet(c.rows)
		w := tensor.New(tensor.Float32, 1, c.rows)
		for i := range w.F32() {
			w.F32()[i] = 1
		}
		g := n.done(n.New("matrix", "Gemm", op.Attrs{"transB": int64(1)}, x, graph.NewConst("w", w)))
		_, err := Quantize(context.Background(), g, images(t, 2, c.rows), WithCompensation(false))
		if errors.Is(err, ErrOverflow) != c.overflow {
			t.Errorf("%d weights: %v", c.rows, err)
		}
	}
}

func TestAutoExclude(t *testing.T) {
	g, data := residualNet(), images(t, 32, 3, 8, 8)
	q := mustQuantize(t, g, data, WithNodeBits("conv2", 2, 8), WithAutoExclude(15))
	if len(q.Float) != 2 || q.Float["conv2"] == "" || q.Float["softmax"] == "" {
		t.Errorf("in float: %v", q.Float)
	}
	for _, n := range q.Graph.Nodes {
		if n.Name == "conv2" && !n.In(1).IsConst() {
			t.Error("the weights of conv2 are quantized")
		}
	}
	if db := ratio(outputs(t, g, data), outputs(t, q.Graph, data)); db < 30 {
		t.Errorf("%.1f dB", db)
	}
	if q := mustQuantize(t, g, data, WithAutoExclude(1)); len(q.Float) != 1 {
		t.Errorf("with a low limit in float: %v", q.Float)
	}
}

func TestOptionErrors(t *testing.T) {
	data := images(t, 2, 3, 8, 8)
	for name, o := range map[string]Option{
		"bits":         WithBits(9, 8),
		"act bits":     WithBits(8, 12),
		"node bits":    WithNodeBits("conv1", 1, 8),
		"unknown node": WithExclude("conv9"),
		"batch":        WithBatch(0),
	} {
		if _, err := Quantize(context.Background(), residualNet(), data, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Quantize(ctx, residualNet(), data); err == nil {
		t.Error("a cancelled context: no error")
	}
}

// TestOddGraphs quantizes what real files bring.
func TestOddGraphs(t *testing.T) {
	for name, build := range map[string]func(n *net, x *graph.Value) *graph.Graph{
		"zero channel": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("conv", x, 3, 4, 1)
			clear(n.Nodes[0].Inputs[1].Const.F32()[27:54])
			return n.done(n.conv("next", n.New("relu", "Relu", nil, y), 4, 2, 1))
		},
		"never active": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("conv", x, 3, 4, 1)
			b := n.Nodes[0].Inputs[2].Const.F32()
			for i := range b {
				b[i] = -100
			}
			return n.done(n.conv("next", n.New("relu", "Relu", nil, y), 4, 2, 1))
		},
		"huge bias": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("conv", x, 3, 4, 1)
			w, b := n.Nodes[0].Inputs[1].Const.F32(), n.Nodes[0].Inputs[2].Const.F32()
			for i := range w[:27] {
				w[i] *= 1e-12
			}
			b[0] = 5
			return n.done(y)
		},
		"output in the middle": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("conv", x, 3, 4, 1)
			return n.done(y, n.conv("next", n.New("relu", "Relu", nil, y), 4, 2, 1))
		},
		"read twice": func(n *net, x *graph.Value) *graph.Graph {
			y := n.New("relu", "Relu", nil, n.conv("conv", x, 3, 4, 1))
			return n.done(n.New("double", "Add", nil, y, y), n.conv("a", y, 4, 2, 1), n.conv("b", y, 4, 2, 1))
		},
		"shared weights": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("a", x, 3, 3, 1)
			z := n.conv("b", n.New("relu", "Relu", nil, y), 3, 3, 1)
			n.Nodes[2].Inputs[1] = n.Nodes[0].Inputs[1]
			return n.done(z)
		},
		"weights as operand": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("a", x, 3, 3, 1)
			flat := n.New("flat", "Reshape", nil, n.Nodes[0].Inputs[1], graph.NewConst("shape", tensor.From([]int64{1, 3, 3, 9}, 4)))
			part := n.New("mean", "ReduceMean", op.Attrs{"axes": []int64{2, 3}, "keepdims": int64(1)}, flat)
			return n.done(n.New("sum", "Add", nil, y, part))
		},
		"constant operand": func(n *net, x *graph.Value) *graph.Graph {
			y := n.New("mul", "Mul", nil, n.conv("a", x, 3, 3, 1), n.constant("m", 1, 3, 1, 1))
			return n.done(n.New("sum", "Add", nil, y, n.constant("c", 1, 1, 3, 1, 1)))
		},
		"infinite weight": func(n *net, x *graph.Value) *graph.Graph {
			y := n.conv("a", x, 3, 3, 1)
			z := n.conv("b", n.New("relu", "Relu", nil, y), 3, 3, 1)
			n.Nodes[2].Inputs[2].Const.F32()[0] = float32(math.Inf(-1))
			z = n.New("softmax", "Softmax", op.Attrs{"axis": int64(1)}, z)
			return n.done(n.conv("c", z, 3, 3, 1))
		},
		"joins of joins": func(n *net, x *graph.Value) *graph.Graph {
			a, b := n.conv("a", x, 3, 4, 1), n.New("relu", "Relu", nil, n.conv("b", x, 3, 4, 1))
			c := n.New("cat", "Concat", op.Attrs{"axis": int64(1)}, a, b, n.New("sub", "Sub", nil, a, b))
			d := n.New("cat2", "Concat", op.Attrs{"axis": int64(1)}, c, n.New("product", "Mul", nil, a, b))
			return n.done(n.conv("last", d, 16, 2, 1))
		},
		"sum of three": func(n *net, x *graph.Value) *graph.Graph {
			return n.done(n.New("sum", "Sum", nil, n.conv("a", x, 3, 3, 1), n.conv("b", x, 3, 3, 1), x))
		},
		"squeeze and excite": func(n *net, x *graph.Value) *graph.Graph {
			y := n.New("relu", "Relu", nil, n.conv("a", x, 3, 4, 1))
			s := n.New("sigmoid", "Sigmoid", nil, n.conv("b", n.New("mean", "GlobalAveragePool", nil, y), 4, 4, 1))
			return n.done(n.conv("c", n.New("scale", "Mul", nil, y, s), 4, 2, 1))
		},
		"nothing to quantize": func(n *net, x *graph.Value) *graph.Graph {
			return n.done(n.New("exp", "Exp", nil, x))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, options := range [][]Option{nil, {WithPerChannel(false), WithClip(KL), WithCompensation(false)}, {WithShift(true)}, {WithNoRound(true)}} {
				n, x := newNet(3, 8, 8)
				g := build(n, x)
				data := images(t, 24, 3, 8, 8)
				want := outputs(t, g, data)
				q := mustQuantize(t, g, data, options...)
				got := outputs(t, q.Graph, data)
				if slices.ContainsFunc(got, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
					t.Fatal("a result is not finite")
				}
				if db := ratio(want, got); db < 15 && !math.IsNaN(db) {
					t.Errorf("%.1f dB", db)
				}
				if err := onnx.Write(new(bytes.Buffer), q.Graph); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
