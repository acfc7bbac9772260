package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

func TestReport(t *testing.T) {
	f := newFiles(t)
	mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx"), "--report", f.path("r.html"), "--clip", "kl")
	b, err := os.ReadFile(f.path("r.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"int8.onnx", "--clip mse", "--per-channel=false", "--clip=kl", "<svg", "100.0 %", "its whole range kept", "<code class=\"soft\">--clip kl</code>",
		"default mse", "data-node=\"conv\"", "SHA-256"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is not in the report", want)
		}
	}
	for _, made := range []string{"--clip kl", "--per-channel", "--weight-bits 8"} {
		if bytes.Contains(b, []byte("<code>"+made+"</code>")) {
			t.Errorf("%s was chosen and is listed as another choice", made)
		}
	}
}

// TestReportOnUnseen: unseen inputs with labels, and a target, are in the report; without a report they are a wrong command line.
func TestReportOnUnseen(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	mustRun(t, "demo", "--calibration", "40", "--test", "60")
	quantize := []string{"quantize", "narrow-demo/fp32.onnx", "--calib", "narrow-demo/calib_x.npy", "--scale", "1/255", "-o", "q.onnx",
		"--test", "narrow-demo/test_x.npy", "--labels", "narrow-demo/test_y.npy", "--weight-bits", "3", "--target", "15dB"}
	if _, errs, code := narrow(quantize...); code != exitUsage || !strings.Contains(errs, "--report") {
		t.Errorf("code %d, %s", code, errs)
	}
	v := mustJSON(t, append(quantize, "--report", "r.html")...)
	if v["report"] != "r.html" {
		t.Errorf("%v", v)
	}
	b, err := os.ReadFile("r.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"on 60 unseen inputs", "top-1 on 60 inputs", "Right in fp32", "default 8", "What the search for the target", "--target 1", "Inputs whose class changed", "data:image/png"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is not in the report", want)
		}
	}
}

// chainNetwork returns as many pairs of Conv and Relu, then GlobalAveragePool, Flatten and
// Gemm: [N,2,6,5] to [N,3]. Some channels are much wider than others.
func chainNetwork(pairs int) *graph.Graph {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(name string, scale float64, shape ...int) *graph.Value {
		t := tensor.New(tensor.Float32, shape...)
		for i := range t.F32() {
			t.F32()[i] = float32(rng.NormFloat64() * scale * math.Exp2(float64(i/(t.Len()/shape[0])%4)-1))
		}
		return graph.NewConst(name, t)
	}
	free := func(shape ...int) op.Type { return op.Type{DType: tensor.Float32, Shape: shape, Known: true} }
	g := &graph.Graph{Name: "chain", Opset: map[string]int{"": 13}}
	y := &graph.Value{Name: "x", Type: free(-1, 2, 6, 5), Dims: []string{"N", "", "", ""}}
	g.Inputs = []*graph.Value{y}
	in := 2
	for i := range pairs {
		name := fmt.Sprint("conv", i)
		y = g.New(name, "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, y, random(name+"_w", math.Sqrt(0.2/float64(9*in)), 8, in, 3, 3), random(name+"_b", 0.1, 8))
		y = g.New(fmt.Sprint("relu", i), "Relu", nil, y)
		in = 8
	}
	y = g.New("pool", "GlobalAveragePool", nil, y)
	y = g.New("flat", "Flatten", nil, y)
	y = g.New("dense", "Gemm", op.Attrs{"transB": int64(1)}, y, random("dense_w", 0.3, 3, 8), random("dense_b", 0.1, 3))
	y.Type, y.Dims = free(-1, 3), []string{"N", ""}
	g.Outputs = []*graph.Value{y}
	return g
}

// TestReportOfDeepNetwork writes the report of a network of 301 nodes.
func TestReportOfDeepNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("quantizes a network of 301 nodes many times")
	}
	f := newFiles(t)
	g := chainNetwork(149)
	if err := onnx.WriteFile(f.path("deep.onnx"), g); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "quantize", f.path("deep.onnx"), "--calib", f.path("x.npy"), "--limit", "16", "-o", f.path("int8.onnx"), "--report", f.path("r.html"), "--per-channel=false")
	b, err := os.ReadFile(f.path("r.html"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes, a report of %d bytes", len(g.Nodes), len(b))
	if len(b) > 10e6 {
		t.Errorf("%d bytes", len(b))
	}
	for _, want := range []string{"more pairs", "more tensors", `class="channels"`, "channels balanced between layers"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is not in the report", want)
		}
	}
	for _, foreign := range []string{"href=", "http:", "https:", "url("} {
		if bytes.Contains(b, []byte(foreign)) {
			t.Errorf("%q is in the report", foreign)
		}
	}
}

// TestMeasureAll holds the networks that share their calibration in a report to those that
// are quantized alone.
func TestMeasureAll(t *testing.T) {
	x := newFiles(t)
	g := chainNetwork(3)
	f := quantizeFlags{run: runFlags{batch: 64}}
	f.data.register(new(cobra.Command), "calib", "")
	f.data.paths = []string{x.path("x.npy")}
	f.options.Flags() // sets the defaults
	_, options := stepsOf(f.options)
	_, changed := variantsOf(f.options)
	options = append(options, changed...)
	source, err := f.data.open(g)
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Int64
	all, err := f.measureAll(context.Background(), g, source, source, options, func() { done.Add(1) })
	if err != nil || int(done.Load()) != len(options) {
		t.Fatalf("%d of %d done, error %v", done.Load(), len(options), err)
	}
	equalized := false
	for i, o := range options {
		opts, err := chosen(&o)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ptq.Quantize(context.Background(), g, source, opts...)
		if err != nil {
			t.Fatal(err)
		}
		want, err := measure(context.Background(), g, q.Graph, source, f.run)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(all[i].sqnr-want.sqnr) > 1e-9 || all[i].agreement != want.agreement {
			t.Errorf("%+v: %+v in the report, %+v alone", o, all[i], want)
		}
		equalized = equalized || q.Equalization != nil && len(q.Equalization.Balanced) > 0
	}
	if !equalized {
		t.Error("no network of these was equalized")
	}
}

func TestStepsOf(t *testing.T) {
	var defaults option.Set
	defaults.Flags()
	flagsOf := func(o option.Set) (flags []string) {
		steps, options := stepsOf(o)
		if len(steps) != len(options) {
			t.Fatalf("%d steps, %d options", len(steps), len(options))
		}
		for _, s := range steps[1:] {
			flags = append(flags, s.flag)
		}
		last := options[len(options)-1]
		last.CorrectBias = o.CorrectBias // part of compensation
		if o.Shift || !o.Signs {
			last.Asymmetric = o.Asymmetric // has no effect then
		}
		if !sameOptions(last, o) {
			t.Errorf("the steps end at %+v, not %+v", last, o)
		}
		return flags
	}
	shifted, plain := defaults, defaults
	shifted.Shift, shifted.Clip, shifted.AutoExclude = true, "kl", 20
	plain.Clip, plain.Signs, plain.PerChannel, plain.Equalize, plain.Compensate = "max", false, false, false, false
	for _, c := range []struct {
		o    option.Set
		want []string
	}{
		{defaults, []string{"--signs", "--clip mse", "--asymmetric=auto", "--per-channel", "--equalize", "--bias-correction", "--compensate"}},
		{shifted, []string{"--signs", "--clip kl", "--per-channel", "--equalize", "--bias-correction", "--compensate", "--auto-exclude 20", "--shift"}},
		{plain, nil},
	} {
		if got := flagsOf(c.o); !slices.Equal(got, c.want) {
			t.Errorf("steps %v, want %v", got, c.want)
		}
	}
}

// TestReportOfStatistics: a report works from a file of statistics, and without rounding.
func TestReportOfStatistics(t *testing.T) {
	f := newFiles(t)
	mustRun(t, "calibrate", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("s.nrw"))
	for _, c := range []struct {
		flag    string
		has     string
		without string
	}{
		{"--stats=" + f.path("s.nrw"), "file of statistics", "channels balanced between layers"},
		{"--stats=" + f.path("s.nrw"), "--compensate=false", "--equalize=false"},
		{"--no-round", "dB", "What each step"},
	} {
		mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx"), "--report", f.path("r.html"), c.flag)
		b, err := os.ReadFile(f.path("r.html"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(c.has)) || bytes.Contains(b, []byte(c.without)) {
			t.Errorf("%s: %q is missing, or %q is there", c.flag, c.has, c.without)
		}
	}
}
