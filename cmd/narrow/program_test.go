package main

import (
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// TestProgram prints a program, and compares every tensor inside of it as `run --output-name` gives it
// with what the interpreter has there.
func TestProgram(t *testing.T) {
	f := newFiles(t)
	mustRun(t, "quantize", f.path("model.onnx"), "--calib", f.path("x.npy"), "--shift", "--saturation-safe=false", "-o", f.path("int8.onnx")) // whose channels have several scales
	text := mustRun(t, "inspect", f.path("int8.onnx"), "--program", "--requant", "shift")
	for _, want := range []string{"arena", "Conv+Relu+QuantizeLinear", "shift [", "@"} {
		if !strings.Contains(text, want) {
			t.Errorf("the program does not say %q:\n%s", want, text)
		}
	}
	g, err := onnx.ReadFile(f.path("int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := graph.Simplify(g); err != nil {
		t.Fatal(err)
	}
	p, err := program.Lower(g, []op.Type{{DType: tensor.Float32, Shape: []int{40, 2, 6, 5}, Known: true}}, program.Options{Requant: program.ModeShift})
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	_, err = p.Interpret([]*tensor.Tensor{f.load(t, "x.npy")}, func(s *program.Step, m *program.Memory) error {
		for _, out := range s.Action.Writes() {
			if out.Bytewide() {
				mustRun(t, "run", f.path("int8.onnx"), "--input", f.path("x.npy"), "-o", f.path("inner.npy"), "--output-name", out.Name, "--requant", "shift")
				if want := m.Read(out); string(want.Bytes()) != string(f.bytes(t, "inner.npy", want.Len())) {
					t.Errorf("%s: other integers than the interpreter's", out.Name)
				}
				compared++
			}
		}
		return nil
	})
	if err != nil || compared < 3 {
		t.Errorf("%d tensors compared: %v", compared, err)
	}
}

// load reads a saved array of floats whole.
func (f files) load(t *testing.T, name string) *tensor.Tensor {
	t.Helper()
	s, err := dataset.Open(f.path(name))
	if err != nil {
		t.Fatal(err)
	}
	for x, err := range s.Batches(s.Len()) {
		if err != nil {
			t.Fatal(err)
		}
		return x[0]
	}
	t.Fatal("empty")
	return nil
}

// bytes returns the last n bytes of a file.
func (f files) bytes(t *testing.T, name string, n int) []byte {
	t.Helper()
	all := f.read(t, name)
	if len(all) < n {
		t.Fatalf("%s has %d bytes", name, len(all))
	}
	return []byte(all[len(all)-n:])
}
