package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// narrow runs one command line.
func narrow(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = execute(context.Background(), args, &out, &errs)
	return out.String(), errs.String(), code
}

// mustRun runs a command line that has to succeed and returns what it printed.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := narrow(args...)
	for line := range strings.Lines(errs) { // a warning of a poor network is none of a wrong command
		if strings.HasPrefix(line, "narrow: warning: ") {
			errs = strings.ReplaceAll(errs, line, "")
		}
	}
	if code != exitOK || errs != "" {
		t.Fatalf("narrow %s: exit code %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// mustJSON runs a command line with --json and parses the object it prints.
func mustJSON(t *testing.T, args ...string) map[string]any {
	t.Helper()
	return mustJSONOf(t, mustRun(t, append(args, "--json")...))
}

func mustJSONOf(t *testing.T, out string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return v
}

// files is a folder with a small network and data for it.
type files struct{ dir string }

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

func newFiles(t *testing.T) files {
	t.Helper()
	f := files{t.TempDir()}
	if err := onnx.WriteFile(f.path("model.onnx"), smallNetwork()); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	x := tensor.New(tensor.Float32, 40, 2, 6, 5)
	for i := range x.F32() {
		x.F32()[i] = float32(rng.NormFloat64())
	}
	f.save(t, "x.npy", x)
	return f
}

func (f files) save(t *testing.T, name string, x *tensor.Tensor) {
	t.Helper()
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, x); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path(name), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// smallNetwork returns Conv, Relu, GlobalAveragePool, Flatten, Gemm:
// [N,2,6,5] to [N,3].
func smallNetwork() *graph.Graph {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(name string, shape ...int) *graph.Value {
		t := tensor.New(tensor.Float32, shape...)
		for i := range t.F32() {
			t.F32()[i] = float32(rng.NormFloat64())
		}
		return graph.NewConst(name, t)
	}
	free := func(shape ...int) op.Type { return op.Type{DType: tensor.Float32, Shape: shape, Known: true} }
	g := &graph.Graph{Name: "small", Opset: map[string]int{"": 13}}
	x := &graph.Value{Name: "x", Type: free(-1, 2, 6, 5), Dims: []string{"N", "", "", ""}}
	g.Inputs = []*graph.Value{x}
	y := g.New("conv", "Conv", op.Attrs{"pads": []int64{1, 1, 1, 1}}, x, random("conv_w", 8, 2, 3, 3), random("conv_b", 8))
	y = g.New("relu", "Relu", nil, y)
	y = g.New("pool", "GlobalAveragePool", nil, y)
	y = g.New("flat", "Flatten", nil, y)
	y = g.New("dense", "Gemm", op.Attrs{"transB": int64(1)}, y, random("dense_w", 3, 8), random("dense_b", 3))
	y.Type, y.Dims = free(-1, 3), []string{"N", ""}
	g.Outputs = []*graph.Value{y}
	return g
}

func TestQuantizeEvalRun(t *testing.T) {
	f := newFiles(t)
	q := mustJSON(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx"))
	if q["output"] != f.path("int8.onnx") || q["nodes_quantized"].(float64) < 2 || q["seconds"].(float64) <= 0 || q["peak_rss_bytes"].(float64) < 0 {
		t.Errorf("quantize: %v", q)
	}
	mustRun(t, "run", f.path("model.onnx"), "--input", f.path("x.npy"), "-o", f.path("y.npy"), "--batch", "7")
	labels := f.classes(t, "y.npy")
	f.save(t, "labels.npy", tensor.From(labels, len(labels)))
	e := mustJSON(t, "eval", f.path("int8.onnx"), "--data", f.path("x.npy"), "--against", f.path("model.onnx"), "--labels", f.path("labels.npy"))
	if e["count"] != 40.0 || e["sqnr_db"].(float64) < 25 || e["agreement"].(float64) < 90 || e["top1"] != e["agreement"] {
		t.Errorf("eval: %v", e)
	}
	same := mustJSON(t, "eval", f.path("model.onnx"), "--data", f.path("x.npy"), "--against", f.path("model.onnx"))
	if _, there := same["sqnr_db"]; there || same["identical"] != true || same["agreement"] != 100.0 {
		t.Errorf("a network against itself: %v", same)
	}
}

// TestRunAllOutputs: an archive holds every output, by name, as running for each alone gives it.
func TestRunAllOutputs(t *testing.T) {
	f := newFiles(t)
	g := smallNetwork()
	g.Outputs = append(g.Outputs, g.Nodes[1].Outputs[0])
	if err := onnx.WriteFile(f.path("two.onnx"), g); err != nil {
		t.Fatal(err)
	}
	run := func(output string, args ...string) []string {
		return append([]string{"run", f.path("two.onnx"), "--input", f.path("x.npy"), "--batch", "7", "-o", f.path(output)}, args...)
	}
	mustRun(t, run("all.npz")...)
	var inputs []dataset.Input
	for _, v := range g.Outputs {
		inputs = append(inputs, dataset.Input{Name: v.Name})
	}
	archive, err := dataset.OpenFor(inputs, []string{f.path("all.npz")})
	if err != nil {
		t.Fatal(err)
	}
	for all, err := range archive.Batches(100) {
		if err != nil || len(all) != 2 {
			t.Fatal(len(all), err)
		}
		for i, v := range g.Outputs {
			mustRun(t, run("one.npy", "--output-name", v.Name)...)
			var b bytes.Buffer
			if err := dataset.WriteNPY(&b, all[i]); err != nil {
				t.Fatal(err)
			}
			if b.String() != f.read(t, "one.npy") {
				t.Errorf("%s: other bytes in the archive", v.Name)
			}
		}
	}
	before := f.list(t)
	if _, errs, code := narrow(run("all.npy")...); code != exitFailure || !strings.Contains(errs, ".npz") || !strings.Contains(errs, g.Outputs[1].Name) {
		t.Errorf("two outputs as .npy: exit code %d, %s", code, errs)
	}
	if _, errs, code := narrow(run("none.npz", "--scale", "1e38", "--mean", "-1e38")...); code != exitFailure {
		t.Errorf("infinite inputs: exit code %d, %s", code, errs)
	}
	if now := f.list(t); now != before {
		t.Errorf("failures left files: %s", now)
	}
}

// TestOutputsLikeInputs: what is built to repeat its input is compared, and has no classes.
func TestOutputsLikeInputs(t *testing.T) {
	x := tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	y := tensor.From([]float32{1, 2, 3, 4, 5, 7}, 2, 3)
	same, scores := &score{}, &score{}
	if err := same.compare(x, 2, []*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil || same.classes || same.noise != 1 {
		t.Errorf("%+v, error %v", same, err)
	}
	if err := scores.compare(tensor.New(tensor.Float32, 2, 4), 2, []*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil || !scores.classes || scores.agreeing != 2 {
		t.Errorf("%+v, error %v", scores, err)
	}
}

// classes returns the class of each row of scores.
func (f files) classes(t *testing.T, name string) []int64 {
	t.Helper()
	s, err := dataset.Open(f.path(name))
	if err != nil {
		t.Fatal(err)
	}
	var all []int64
	for batch, err := range s.Batches(100) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range classes(batch[0], batch[0].Shape()[0]) {
			all = append(all, int64(c))
		}
	}
	return all
}

func TestSameBytesForAnyThreadsAndBatch(t *testing.T) {
	f := newFiles(t)
	var first []byte
	for _, threads := range []string{"1", "2", "3"} {
		for _, batch := range []string{"1", "7", "50"} {
			mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("q.onnx"), "--threads", threads, "--batch", batch)
			b, err := os.ReadFile(f.path("q.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b
			}
			if !bytes.Equal(b, first) {
				t.Errorf("%s threads, batches of %s: other bytes", threads, batch)
			}
		}
	}
}

func TestSuggestions(t *testing.T) {
	x := newFiles(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"quantise"}, `"quantize"`},
		{[]string{"eval", x.path("model.onnx"), "--agianst", "a"}, `"--against"`},
		{[]string{"quantize", x.path("model.onnx"), "--calib", x.path("x.npy"), "-o", x.path("q.onnx"), "--clip", "entropy"}, `"kl" here`},
		{[]string{"quantize", x.path("model.onnx"), "--calib", x.path("x.npy"), "-o", x.path("q.onnx"), "--clip", "MinMax"}, `"max" here`},
	} {
		if _, errs, code := narrow(c.args...); code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %s", c.args, code, errs)
		}
	}
	if out := mustRun(t, "--version"); !strings.HasPrefix(out, "narrow ") || strings.Count(out, "\n") != 1 {
		t.Errorf("version %q", out)
	}
}

func TestHelpAndCompletion(t *testing.T) {
	x := newFiles(t)
	help := mustRun(t, "quantize", "--help")
	if example, usage := strings.Index(help, "Examples:"), strings.Index(help, "Usage:"); example < 0 || example > usage {
		t.Error("examples do not come first")
	}
	if strings.Contains(help, "(PATH)") || !strings.Contains(help, "Weights alone:") {
		t.Errorf("help: %s", help)
	}
	for _, c := range [][]string{
		{"kl", "quantize", "--clip", ""}, {"imagenet-tf", "run", "--preset", ""}, {"dense", "quantize", x.path("model.onnx"), "--exclude", ""}, {"Gemm", "quantize", x.path("model.onnx"), "--exclude-op", ""},
	} {
		if out, _, _ := narrow(append([]string{"__complete"}, c[1:]...)...); !strings.Contains(out, c[0]) {
			t.Errorf("%v completes to %q", c[1:], out)
		}
	}
}

func TestWeightsOnly(t *testing.T) {
	x := newFiles(t)
	if err := onnx.WriteFile(x.path("model.onnx"), chainNetwork(3)); err != nil {
		t.Fatal(err)
	}
	w := func(args ...string) []string {
		return append([]string{"quantize", x.path("model.onnx"), "--weights-only", "-o", x.path("w.onnx")}, args...)
	}
	if r := mustJSON(t, w("--weight-bits", "4", "--block", "16")...); r["weights_quantized"].(float64) < 1 || r["weight_sqnr_db"].(float64) < 12 {
		t.Errorf("%v", r)
	}
	if r := mustJSON(t, "eval", x.path("w.onnx"), "--data", x.path("x.npy"), "--against", x.path("model.onnx")); r["sqnr_db"].(float64) < 10 {
		t.Errorf("%v", r)
	}
	if r := mustJSON(t, w("--weight-bits", "4", "--calib", x.path("x.npy"))...); r["measured_inputs"].(float64) < 1 || r["sqnr_db"].(float64) < 8 {
		t.Errorf("%v", r)
	}
	for _, args := range [][]string{w("--block", "x"), w("--scales", "kl"), w("--format", "qoperator"), w("--stats", x.path("s.json"))} {
		if _, errs, code := narrow(args...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args[5:], code, errs)
		}
	}
}

func TestInspect(t *testing.T) {
	f := newFiles(t)
	v := mustJSON(t, "inspect", f.path("model.onnx"))
	if v["quantized"] != false || v["parameters"] != 2*8*9+8+3*8+3.0 || v["macs"] != 8*6*5*2*9+3*8.0 || v["integer_macs"] != 100.0 {
		t.Errorf("%v", v)
	}
	text := mustRun(t, "inspect", f.path("model.onnx"))
	if !strings.Contains(text, "Conv") || !strings.Contains(text, "?x8x6x5") || !strings.Contains(text, "int8") {
		t.Errorf("%s", text)
	}
	mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("int8.onnx"))
	if v := mustJSON(t, "inspect", f.path("int8.onnx")); v["quantized"] != true {
		t.Errorf("%v", v)
	}
}

// TestInspectShape: what is free counts as 1, and as much as is said.
func TestInspectShape(t *testing.T) {
	path := filepath.Join(t.TempDir(), "free.onnx")
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{-1, 3, -1, -1}, Known: true}, Dims: []string{"N", "", "H", "W"}}
	g := &graph.Graph{Name: "free", Inputs: []*graph.Value{x}, Opset: map[string]int{"": 13}}
	w := tensor.New(tensor.Float32, 4, 3, 1, 1)
	for i := range w.F32() {
		w.F32()[i] = float32(i%5) - 2
	}
	g.Outputs = []*graph.Value{g.New("conv", "Conv", nil, x, graph.NewConst("w", w))}
	if err := onnx.WriteFile(path, g); err != nil {
		t.Fatal(err)
	}
	if v := mustJSON(t, "inspect", path); v["macs"] != 12.0 || fmt.Sprint(v["free_dimensions"]) != "map[x:[H W]]" || fmt.Sprint(v["bytes"]) != "map[float32:48]" {
		t.Errorf("%v", v)
	}
	if text := mustRun(t, "inspect", path); !strings.Contains(text, "free dimensions (H, W)") || !strings.Contains(text, "float32 48 B") {
		t.Errorf("%s", text)
	}
	for _, shape := range []string{"x=1x3x10x20", "1x3x10x20"} {
		if v := mustJSON(t, "inspect", path, "--shape", shape); v["macs"] != 12.0*200 || v["free_dimensions"] != nil {
			t.Errorf("%v", v)
		}
	}
	for shape, says := range map[string]string{"y=1x3x4x4": `no input "y"`, "1x4x4x4": `"x" is ?x3x?x?`, "1x3x4": `"x" is ?x3x?x?`, "1x3x0x4": `"x" is`, "axb": `"x" is`} {
		if _, errs, code := narrow("inspect", path, "--shape", shape); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%s: code %d, %s", shape, code, errs)
		}
	}
}

// TestShares: no step does more than can be done.
func TestShares(t *testing.T) {
	r := benchResult{PeakFloat: 100, PeakInteger: 400, Steps: []benchStep{{Kind: "float", GOPS: 150}, {Kind: "float", GOPS: 75}, {Kind: "integer", GOPS: 100}}}
	r.shares()
	for i, want := range []float64{100, 50, 25} {
		if r.Steps[i].OfPeak != want {
			t.Errorf("step %d: %g %% of the peak, want %g", i, r.Steps[i].OfPeak, want)
		}
	}
}

// TestFailures gives each command something that cannot work: one line that
// names what is wrong, exit code 1, and no file written.
func TestFailures(t *testing.T) {
	f := newFiles(t)
	whole, err := os.ReadFile(f.path("model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(f.path(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	random := make([]byte, 5000)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	write("cut.onnx", whole[:len(whole)/2])
	write("png.onnx", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"))
	write("random.onnx", random)
	write("empty.onnx", nil)
	unknown := smallNetwork()
	unknown.Nodes[1].Op = "Frobnicate"
	if err := onnx.WriteFile(f.path("unknown.onnx"), unknown); err != nil {
		t.Fatal(err)
	}
	f.save(t, "shape.npy", tensor.New(tensor.Float32, 40, 2, 6, 6))
	f.save(t, "empty.npy", tensor.New(tensor.Float32, 0, 2, 6, 5))
	nan := tensor.New(tensor.Float32, 3, 2, 6, 5)
	nan.F32()[61] = float32(math.NaN())
	f.save(t, "nan.npy", nan)
	f.save(t, "labels.npy", tensor.New(tensor.Int64, 39))
	before := f.list(t)

	quantize := func(model, calib, out string) []string {
		return []string{"quantize", f.path(model), "--calib", f.path(calib), "-o", f.path(out)}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{quantize("none.onnx", "x.npy", "q.onnx"), "none.onnx"},
		{quantize("cut.onnx", "x.npy", "q.onnx"), "cut.onnx"},
		{quantize("png.onnx", "x.npy", "q.onnx"), "png.onnx"},
		{quantize("random.onnx", "x.npy", "q.onnx"), "random.onnx"},
		{quantize("empty.onnx", "x.npy", "q.onnx"), "empty.onnx"},
		{quantize("unknown.onnx", "x.npy", "q.onnx"), "Frobnicate"},
		{quantize("model.onnx", "none.npy", "q.onnx"), "none.npy"},
		{quantize("model.onnx", "shape.npy", "q.onnx"), "[N 2 6 5]"},
		{quantize("model.onnx", "empty.npy", "q.onnx"), "empty.npy"},
		{quantize("model.onnx", "nan.npy", "q.onnx"), "nan.npy: input 1"},
		{quantize("model.onnx", "random.onnx", "q.onnx"), "random.onnx"},
		{quantize("model.onnx", "x.npy", "none/q.onnx"), "none"},
		{quantize("model.onnx", "x.npy", "model.onnx"), "replace"},
		{append(quantize("model.onnx", "x.npy", "q.onnx"), "--exclude", "nothing"), "nothing"},
		{append(quantize("model.onnx", "x.npy", "q.onnx"), "--mean", "1,2,3"), "mean"},
		{[]string{"eval", f.path("model.onnx"), "--data", f.path("x.npy"), "--labels", f.path("labels.npy")}, "39 labels for 40 inputs"},
		{[]string{"eval", f.path("model.onnx"), "--data", f.path("x.npy"), "--labels", f.path("x.npy")}, "x.npy"},
		{[]string{"eval", f.path("unknown.onnx"), "--data", f.path("x.npy")}, "Frobnicate"},
		{[]string{"eval", f.path("model.onnx"), "--data", f.path("x.npy"), "--against", f.path("none.onnx")}, "none.onnx"},
		{[]string{"run", f.path("model.onnx"), "--input", f.path("nan.npy"), "-o", f.path("y.npy")}, "nan.npy"},
		{[]string{"run", f.path("model.onnx"), "--input", f.path("x.npy"), "-o", f.path("none/y.npy")}, "none"},
		{[]string{"run", f.path("model.onnx"), "--input", f.path("x.npy"), "-o", f.path("y.npy"), "--output-name", "z"}, "dense"},
		{[]string{"inspect", f.path("cut.onnx")}, "cut.onnx"},
	} {
		out, errs, code := narrow(c.args...)
		if code != exitFailure || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, printed %q, message %q; want one line with %q", c.args, code, out, errs, c.says)
		}
		if now := f.list(t); now != before {
			t.Fatalf("%v left files: %s", c.args, now)
		}
	}
}

// list names the files there are.
func (f files) list(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestWrongCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"quantise"}, `"quantize"`},
		{[]string{"quantize"}, "MODEL.onnx is missing"},
		{[]string{"quantize", "m.onnx"}, "--calib is missing"},
		{[]string{"quantize", "m.onnx", "--calib", "x.npy"}, "--output is missing"},
		{[]string{"quantize", "m.onnx", "n.onnx"}, "unexpected"},
		{[]string{"quantize", "m.onnx", "--frob"}, "--frob"},
		{[]string{"quantize", "m.onnx", "--calib", "x", "-o", "y", "--clip", "none"}, "--clip"},
		{[]string{"quantize", "m.onnx", "--calib", "x", "-o", "y", "--asymmetric=some"}, "it is auto, true or false"},
		{[]string{"quantize", "m.onnx", "--calib", "x", "-o", "y", "--bits", "conv"}, "--bits"},
		{[]string{"quantize", "m.onnx", "--calib", "x", "-o", "y", "--batch", "0"}, "--batch"},
		{[]string{"quantize", "m.onnx", "--calib", "x", "-o", "y", "--threads", "-1"}, "--threads"},
		{[]string{"eval", "m.onnx", "--data", "x", "--limit", "none"}, "limit"},
		{[]string{"version", "1"}, "unexpected"},
	} {
		_, errs, code := narrow(c.args...)
		if code != exitUsage || !strings.Contains(errs, c.says) || !strings.Contains(errs, "--help") {
			t.Errorf("%v: exit code %d, %q; want %q", c.args, code, errs, c.says)
		}
	}
}

func TestInterrupted(t *testing.T) {
	f := newFiles(t)
	before := f.list(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	code := execute(ctx, []string{"quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "-o", f.path("q.onnx")}, &out, &errs)
	if code != exitFailure || !strings.Contains(errs.String(), "interrupted") || f.list(t) != before {
		t.Errorf("exit code %d, %q, files %s", code, errs.String(), f.list(t))
	}
}

func TestParseNumbers(t *testing.T) {
	for _, c := range []struct {
		text string
		want []float32
	}{
		{"", nil}, {"1/255", []float32{1.0 / 255}}, {"0.5, -1e-3,3", []float32{0.5, -1e-3, 3}},
	} {
		got, err := parseNumbers("scale", c.text)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%q: %v, error %v", c.text, got, err)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %v", c.text, got)
			}
		}
	}
	for _, text := range []string{"a", "1/0", "nan", "1,,2", "1/2/3", "inf"} {
		if v, err := parseNumbers("scale", text); err == nil {
			t.Errorf("%q: %v", text, v)
		}
	}
}

// TestRunWithoutBatchAxis runs a network for one input that gives a scalar and a list along time: what each input
// gives stands behind what those before gave.
func TestRunWithoutBatchAxis(t *testing.T) {
	f := newFiles(t)
	fixed := func(shape ...int) op.Type { return op.Type{DType: tensor.Float32, Shape: shape, Known: true} }
	g := &graph.Graph{Opset: map[string]int{"": 17}}
	x := &graph.Value{Name: "x", Type: fixed(1, 2, 6, 5)}
	g.Inputs = []*graph.Value{x}
	time := g.New("time", "Transpose", op.Attrs{"perm": []int64{3, 0, 1, 2}}, x)
	sum := g.New("sum", "ReduceMax", op.Attrs{"keepdims": int64(0)}, x)
	time.Type, sum.Type = fixed(5, 1, 2, 6), fixed()
	g.Outputs = []*graph.Value{time, sum}
	if err := onnx.WriteFile(f.path("time.onnx"), g); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "run", f.path("time.onnx"), "--input", f.path("x.npy"), "-o", f.path("y.npz"))
	got, err := dataset.OpenFor([]dataset.Input{{Name: "time"}}, []string{f.path("y.npz")})
	if err != nil || got.Len() != 40*5 {
		t.Errorf("%d rows of time, error %v", got.Len(), err)
	}
	got, err = dataset.OpenFor([]dataset.Input{{Name: "sum"}}, []string{f.path("y.npz")})
	if err != nil || got.Len() != 40 {
		t.Errorf("%d scalars, error %v", got.Len(), err)
	}
}

// TestRunBatchBehind runs a network whose result has the batch on axis 1, as the file says or not: all its inputs are side by side there.
func TestRunBatchBehind(t *testing.T) {
	f := newFiles(t)
	for name, declared := range map[string]op.Type{
		"said":   {DType: tensor.Float32, Shape: []int{2, -1, 6, 5}, Known: true},
		"unsaid": {DType: tensor.Float32},
	} {
		t.Run(name, func(t *testing.T) {
			g := &graph.Graph{Opset: map[string]int{"": 17}}
			x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{-1, 2, 6, 5}, Known: true}, Dims: []string{"N", "", "", ""}}
			g.Inputs = []*graph.Value{x}
			y := g.New("y", "Transpose", op.Attrs{"perm": []int64{1, 0, 2, 3}}, x)
			if y.Type = declared; declared.Known {
				y.Dims = []string{"", "N", "", ""}
			}
			g.Outputs = []*graph.Value{y}
			if err := onnx.WriteFile(f.path("t.onnx"), g); err != nil {
				t.Fatal(err)
			}
			mustRun(t, "run", f.path("t.onnx"), "--input", f.path("x.npy"), "-o", f.path("one.npy"), "--batch", "40")
			mustRun(t, "run", f.path("t.onnx"), "--input", f.path("x.npy"), "-o", f.path("many.npy"), "--batch", "7")
			if one := f.read(t, "one.npy"); one != f.read(t, "many.npy") || len(one) != 128+40*60*4 {
				t.Error("the result depends on the batch")
			}
		})
	}
}

// TestBatchAxis finds the batch by the names of dimensions.
func TestBatchAxis(t *testing.T) {
	value := func(dims ...string) *graph.Value {
		v := &graph.Value{Type: op.Type{DType: tensor.Float32, Known: true}, Dims: dims}
		for _, d := range dims {
			size := 3
			if d != "" {
				size = op.Unknown
			}
			v.Type.Shape = append(v.Type.Shape, size)
		}
		return v
	}
	signal := value("N", "time")
	g := &graph.Graph{Inputs: []*graph.Value{signal}}
	for _, c := range []struct {
		dims []string
		want int
	}{{[]string{"N", "time"}, 0}, {[]string{"", "N", ""}, 1}, {[]string{"", ""}, -1}, {nil, -1}, {[]string{"T", ""}, -1}, {[]string{"seq_len", "batch_size", ""}, 1}, {[]string{"M", ""}, 0}} {
		if got := batchAxis(g, value(c.dims...)); got != c.want {
			t.Errorf("%q: axis %d, want %d", c.dims, got, c.want)
		}
	}
}
