package program_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/qdq"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden programs in testdata")

// modes has the engine's name of each mode.
var modes = map[program.Mode]engine.Requant{
	program.ModeFloat: engine.RequantFloat, program.ModeMultiplier: engine.RequantMultiplier,
	program.ModeShift: engine.RequantShift, program.ModeAuto: engine.RequantAuto,
}

// lower makes the program of g for one input of a shape.
func lower(t *testing.T, g *graph.Graph, o program.Options, shape ...int) *program.Program {
	t.Helper()
	p, err := program.Lower(g, []op.Type{{DType: tensor.Float32, Shape: shape, Known: true}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// interpreted runs g for x by the interpreter.
func interpreted(t *testing.T, g *graph.Graph, o program.Options, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	out, err := lower(t, g, o, x.Shape()...).Interpret([]*tensor.Tensor{x}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// TestInterpretEqualsEngine compares what the interpreter and the kernels make of every integer step,
// with borders and without.
func TestInterpretEqualsEngine(t *testing.T) {
	for name, build := range qdq.Cases {
		for _, signed := range []bool{false, true} {
			for _, mode := range []program.Mode{program.ModeFloat, program.ModeMultiplier} {
				t.Run(fmt.Sprintf("%s/signed=%v/%d", name, signed, mode), func(t *testing.T) {
					q, x := qdq.New(7, signed, 8, 9, 7)
					g := q.Done(q.Quantized(build(q, x)))
					same(t, g, mode, qdq.RandomInput(3, 3, 8, 9, 7))
				})
			}
		}
	}
}

// TestPaddingOfDifferentZeros: six equal padded convolutions, each of whose inputs has another code for 0.
func TestPaddingOfDifferentZeros(t *testing.T) {
	q, x := qdq.New(7, false, 8, 9, 7)
	g := q.Done(q.Six(x))
	for _, mode := range []program.Mode{program.ModeFloat, program.ModeMultiplier} {
		same(t, g, mode, qdq.RandomInput(3, 3, 8, 9, 7))
	}
}

// same compares the engine's results with those of the interpreter.
func same(t *testing.T, g *graph.Graph, mode program.Mode, x *tensor.Tensor) {
	t.Helper()
	net, err := engine.Compile(g, engine.WithRequant(modes[mode]))
	if err != nil {
		t.Fatal(err)
	}
	want, err := net.Run(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []program.Options{{}, {Borders: true, Slack: 32, Align: 64}} {
		o.Requant = mode
		if got := interpreted(t, g, o, x); string(got.Bytes()) != string(want[0].Bytes()) {
			t.Errorf("borders %v: the interpreter makes other integers than the engine", o.Borders)
		}
	}
}

func TestShiftNetwork(t *testing.T) {
	g, x := qdq.ShiftNetwork(), qdq.RandomInput(9, 2, 3, 16, 16)
	same(t, g, program.ModeShift, x)
	same(t, g, program.ModeAuto, x)
	p := lower(t, g, program.Options{Requant: program.ModeMultiplier}, 1, 3, 16, 16)
	for _, s := range p.Steps {
		if c, ok := s.Action.(*program.Conv); ok && c.Requant.Mode != program.ModeShift {
			t.Errorf("step %q multiplies by powers of two", s.Name)
		}
	}
}

// TestFloatResults: sums that are not quantized become floats.
func TestFloatResults(t *testing.T) {
	for _, name := range []string{"MatMul of activations", "MatMul", "Gemm", "Conv", "Conv depthwise"} {
		q, x := qdq.New(5, false, 8, 9, 7)
		same(t, q.Done(qdq.Cases[name](q, x)), program.ModeFloat, qdq.RandomInput(2, 2, 8, 9, 7))
	}
}

// TestGoldenCases pins the programs of all small networks: one file, a program behind its name.
func TestGoldenCases(t *testing.T) {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(qdq.Cases)) {
		q, x := qdq.New(7, false, 8, 9, 7)
		p := lower(t, q.Done(q.Quantized(qdq.Cases[name](q, x))), program.Options{Requant: program.ModeMultiplier, Borders: true, Slack: 32, Align: 64}, 2, 8, 9, 7)
		fmt.Fprintf(&all, "== %s\n%s\n", name, p.Text())
	}
	for _, name := range slices.Sorted(maps.Keys(qdq.FloatCases)) {
		q, x := qdq.New(7, false, 8, 9, 7)
		p := lower(t, q.Done(qdq.FloatCases[name](q, x.Node.In(0).Node.In(0))), program.Options{Slack: 32, Align: 64, Chains: true}, 2, 8, 9, 7)
		fmt.Fprintf(&all, "== %s in float\n%s\n", name, p.Text())
	}
	golden(t, "cases", all.String())
}

// TestGolden pins what is decided about two networks: fusions, scales and shifts, layouts and places.
func TestGolden(t *testing.T) {
	q, x := qdq.New(7, true, 8, 9, 7)
	residual := q.Done(q.Quantized(qdq.Cases["residual"](q, x)))
	for name, p := range map[string]*program.Program{
		"shift":            lower(t, qdq.ShiftNetwork(), program.Options{}, 1, 3, 16, 16),
		"shift_borders":    lower(t, qdq.ShiftNetwork(), program.Options{Borders: true, Slack: 32, Align: 64}, 1, 3, 16, 16),
		"residual":         lower(t, residual, program.Options{Requant: program.ModeMultiplier}, 1, 8, 9, 7),
		"residual_batched": lower(t, residual, program.Options{Borders: true, Slack: 32, Align: 64, Batched: true, Samples: 4}, 4, 8, 9, 7),
	} {
		golden(t, name, p.Text())
	}
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		lines := strings.Split(string(want), "\n")
		for i, line := range strings.Split(got, "\n") {
			if i >= len(lines) || line != lines[i] {
				t.Fatalf("%s is another program (go test ./program -update rewrites it); line %d is\n%s", file, i+1, line)
			}
		}
		t.Fatalf("%s has more lines", file)
	}
}
