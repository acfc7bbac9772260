package c_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/demo"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/export/c"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

// quantized quantizes a network with options.
func quantized(t *testing.T, g *graph.Graph, inputs *tensor.Tensor, options ...ptq.Option) *graph.Graph {
	t.Helper()
	data, err := dataset.FromTensors(inputs)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ptq.Quantize(context.Background(), g, data, options...)
	if err != nil {
		t.Fatal(err)
	}
	return q.Graph
}

// exported writes g as C with tests for the first inputs, and returns the folder.
func exported(t *testing.T, g *graph.Graph, cpu string, inputs *tensor.Tensor, count int) (string, *c.Project) {
	t.Helper()
	n, err := network(g, cpu)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, n, cpu, inputs, count)
}

func network(g *graph.Graph, cpu string) (*c.Network, error) {
	p, err := c.Lower(g, program.ModeAuto)
	if err != nil {
		return nil, err
	}
	target, err := c.Lookup(cpu)
	if err != nil {
		return nil, err
	}
	return c.New(p, target)
}

func written(t *testing.T, n *c.Network, cpu string, inputs *tensor.Tensor, count int) (string, *c.Project) {
	t.Helper()
	target, err := c.Lookup(cpu)
	if err != nil {
		t.Fatal(err)
	}
	o := c.Options{CPU: target, From: "test"}
	for i := range count {
		v, err := n.Vector([]*tensor.Tensor{sample(inputs, i)})
		if err != nil {
			t.Fatal(err)
		}
		o.Tests = append(o.Tests, v)
	}
	p, err := n.Export(o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range p.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, p
}

// sample returns one of some inputs, as a batch of one.
func sample(inputs *tensor.Tensor, i int) *tensor.Tensor {
	shape := inputs.Shape()
	size := tensor.Volume(shape[1:])
	return tensor.From(inputs.F32()[i*size:][:size], append([]int{1}, shape[1:]...)...)
}

var strict = []string{"-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"}

// compile compiles a project's test with strict warnings and returns the program's path.
func compile(t *testing.T, dir, cc string, flags ...string) string {
	t.Helper()
	args := append(append([]string{}, strict...), flags...)
	args = append(args, "-DNET_TRACE", "-o", "test_net", "test_net.c", "net.c", "net_weights.c")
	cmd := exec.Command(cc, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cc, err, out)
	}
	return filepath.Join(dir, "test_net")
}

// compiler returns a C compiler, and skips the test where there is none.
func compiler(t *testing.T) string {
	t.Helper()
	for _, cc := range []string{"gcc", "cc", "clang"} {
		if path, err := exec.LookPath(cc); err == nil {
			return path
		}
	}
	t.Skip("there is no C compiler")
	return ""
}

// mustPass runs a compiled test and expects it to have compared all steps of so many inputs.
func mustPass(t *testing.T, path string, inputs int) {
	t.Helper()
	out, err := exec.Command(path).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), fmt.Sprintf("ok: %d inputs", inputs)) {
		t.Fatalf("%v\n%s", err, out)
	}
}

const sanitizers = "-fsanitize=address,undefined"

func TestDemo(t *testing.T) {
	cc := compiler(t)
	g, err := demo.Network()
	if err != nil {
		t.Fatal(err)
	}
	pictures, _ := demo.Calibration(60)
	inputs := demo.Normalize(pictures)
	_, bytes8 := exported(t, quantized(t, g.Clone(), inputs), "host", inputs, 0)
	plain := bytes8.Flash
	for name, options := range map[string][]ptq.Option{
		"default":           nil,
		"shift":             {ptq.WithShift(true)},
		"shift, one scale":  {ptq.WithShift(true), ptq.WithPerChannel(false)},
		"shift, signed":     {ptq.WithShift(true), ptq.WithSigns(false)},
		"4-bit weights":     {ptq.WithBits(4, 8)},
		"QOperator":         {ptq.WithQOperator(true)},
		"one scale, 6 bits": {ptq.WithPerChannel(false), ptq.WithBits(6, 6)},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "shift" && name != "QOperator" {
				t.Skip("the others take longer")
			}
			q := quantized(t, g.Clone(), inputs, options...)
			dir, p := exported(t, q, "host", inputs, 4)
			mustPass(t, compile(t, dir, cc, "-O1", sanitizers), 4)
			if float64(p.Plan.Arena) > 1.05*float64(p.Plan.Lower) {
				t.Errorf("the arena has %d bytes, the steps need %d", p.Plan.Arena, p.Plan.Lower)
			}
			if name == "4-bit weights" && p.Flash > plain*3/4 {
				t.Errorf("4-bit weights take %d bytes of flash, of 8 bits %d", p.Flash, plain)
			}
			again, _ := exported(t, q, "host", inputs, 4)
			for _, f := range p.Files {
				if b, err := os.ReadFile(filepath.Join(again, f.Name)); err != nil || !bytes.Equal(b, f.Text) {
					t.Errorf("%s is not the same the second time, error %v", f.Name, err)
				}
			}
		})
	}
}

// A wrong integer anywhere must make the C test fail.
func TestTestFails(t *testing.T) {
	cc := compiler(t)
	g, err := demo.Network()
	if err != nil {
		t.Fatal(err)
	}
	pictures, _ := demo.Calibration(40)
	inputs := demo.Normalize(pictures)
	dir, _ := exported(t, quantized(t, g, inputs, ptq.WithShift(true)), "host", inputs, 2)
	path := filepath.Join(dir, "net.c")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(".hi = 255}"))
	if at < 0 {
		t.Fatal("no clamp is found")
	}
	if err := os.WriteFile(path, append(append(append([]byte{}, b[:at]...), ".hi = 99}"...), b[at+len(".hi = 255}"):]...), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compile(t, dir, cc, "-O1")).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("FAILED")) {
		t.Errorf("error %v\n%s", err, out)
	}
}

// TestRandom compares random networks: the C, step by step, with the program, and the program's output with the
// engine's. NARROW_EXPORT_NETWORKS is how many, NARROW_EXPORT_SEED the first.
func TestRandom(t *testing.T) {
	cc := compiler(t)
	count := 4
	if n, err := strconv.Atoi(os.Getenv("NARROW_EXPORT_NETWORKS")); err == nil {
		count = n
	}
	if testing.Short() {
		count = 2
	}
	first, _ := strconv.ParseUint(os.Getenv("NARROW_EXPORT_SEED"), 10, 64)
	integer := 0
	for seed := first; integer < count; seed++ {
		if seed-first > 4*uint64(count)+20 {
			t.Fatalf("only %d of %d random networks are all integer", integer, seed-first)
		}
		if randomNetwork(t, cc, seed) {
			integer++
		}
	}
}

func randomNetwork(t *testing.T, cc string, seed uint64) bool {
	rng := rand.New(rand.NewPCG(seed, 7))
	g := drawNetwork(rng, 1+rng.IntN(6))
	inputs := tensor.New(tensor.Float32, append([]int{24}, g.Inputs[0].Type.Shape[1:]...)...)
	for i := range inputs.F32() {
		inputs.F32()[i] = float32(rng.NormFloat64())
	}
	q := quantized(t, g, inputs, ptq.WithShift(rng.IntN(2) == 0), ptq.WithPerChannel(rng.IntN(2) == 0), ptq.WithSigns(rng.IntN(4) > 0),
		ptq.WithBits([]int{8, 8, 8, 4}[rng.IntN(4)], 8), ptq.WithCompensation(false), ptq.WithQOperator(rng.IntN(5) == 0))
	cpu := []string{"generic", "host"}[rng.IntN(2)]
	n, err := network(q, cpu)
	if errors.Is(err, c.ErrNotInteger) {
		return false
	}
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	t.Run(fmt.Sprint(seed), func(t *testing.T) {
		dir, p := written(t, n, cpu, inputs, 3)
		mustPass(t, compile(t, dir, cc, "-O1", sanitizers), 3)
		if over := p.Plan.Arena - p.Plan.Lower; float64(over) > 0.05*float64(p.Plan.Lower) && over > 256 {
			t.Errorf("the arena has %d bytes, the steps need %d", p.Plan.Arena, p.Plan.Lower)
		}
		sameAsEngine(t, q, n, inputs)
	})
	return true
}

// sameAsEngine compares the last step's integers with what the engine makes of them.
func sameAsEngine(t *testing.T, g *graph.Graph, n *c.Network, inputs *tensor.Tensor) {
	t.Helper()
	mode := engine.RequantShift
	net, err := engine.Compile(g, engine.WithRequant(mode))
	if err == nil {
		_, err = net.Run(context.Background(), sample(inputs, 0))
	}
	if err != nil {
		net, err = engine.Compile(g, engine.WithRequant(engine.RequantMultiplier))
	}
	if err != nil {
		t.Fatal(err)
	}
	y, err := net.Run(context.Background(), sample(inputs, 0))
	if err != nil {
		t.Fatal(err)
	}
	v, err := n.Vector([]*tensor.Tensor{sample(inputs, 0)})
	if err != nil {
		t.Fatal(err)
	}
	got := v.Numbers(n)
	if got == nil {
		return // a softmax behind
	}
	if len(got) != y[0].Len() {
		t.Fatalf("%d numbers, the engine has %d", len(got), y[0].Len())
	}
	for i, want := range y[0].F32() {
		if got[i] != want {
			t.Fatalf("number %d: %v, the engine has %v", i, got[i], want)
		}
	}
}

// What is in float is named, not what leads to it; a batch in the file is one input of C.
func TestRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	conv := func(d *drawing) {
		d.node("Conv", op.Attrs{"kernel_shape": []int64{1, 1}}, d.constant(0.5, 2, 2, 1, 1))
	}
	inputs := tensor.New(tensor.Float32, 24, 2, 6, 6)
	for i := range inputs.F32() {
		inputs.F32()[i] = float32(rng.NormFloat64())
	}
	for name, test := range map[string]struct {
		build func(d *drawing)
		batch int
		want  string // empty: it is exported
	}{
		"float":      {func(d *drawing) { d.node("Exp", nil); conv(d) }, op.Unknown, "(Exp) is computed in float"},
		"recurrent":  {(*drawing).recurrent, op.Unknown, "(GRU) is computed in float"},
		"batch of 3": {conv, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrawing(rng, 2, 6, 6)
			conv(d)
			test.build(d)
			d.g.Outputs = []*graph.Value{d.v}
			q := quantized(t, d.g, inputs)
			q.Inputs[0].Type.Shape[0] = test.batch
			_, err := network(q, "generic")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, not %q", err, test.want)
			}
			if err != nil {
				return
			}
			q.Outputs[0] = q.New("rows", "Reshape", nil, q.Outputs[0], graph.NewConst("shape", tensor.From([]int64{3, 72}, 2)))
			if _, err := network(q, "generic"); err == nil || !strings.Contains(err.Error(), "for one input instead of a batch of 3") {
				t.Errorf("with the batch in a shape: error %v", err)
			}
		})
	}
}
