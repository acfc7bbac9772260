package op_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

const callsPerOp = 15

// TestAgainstONNXRuntime compares random calls of operators with what ONNX
// Runtime gives. The models stay in the folder NARROW_CASES, if that is set, for test/ort/cases.py.
func TestAgainstONNXRuntime(t *testing.T) {
	python := os.Getenv("NARROW_PYTHON")
	if python == "" {
		t.Skip("set NARROW_PYTHON to a Python that has onnxruntime")
	}
	dir := os.Getenv("NARROW_CASES")
	if dir == "" {
		dir = t.TempDir()
	}
	want := make(map[string][]*tensor.Tensor)
	for k, name := range op.ValidNames() {
		r := rand.New(rand.NewPCG(3, uint64(k)))
		for i := range callsPerOp {
			domain, attrs, in := op.ValidCall(name, r)
			file := fmt.Sprintf("%s-%02d", name, i)
			want[file] = runAndWrite(t, filepath.Join(dir, file+".onnx"), domain, name, attrs, in)
		}
	}
	out, err := exec.Command(python, "testdata/run_ort.py", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	refused := make(map[string]int)
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	answers := 0
	for ; lines.Scan(); answers++ {
		compareLine(t, lines.Bytes(), want, refused)
	}
	if answers != len(want) {
		t.Errorf("%d answers for %d calls", answers, len(want))
	}
	for _, name := range op.ValidNames() {
		if n := refused[name]; n > callsPerOp/2 {
			t.Errorf("%s: ONNX Runtime refuses %d of %d calls", name, n, callsPerOp)
		}
	}
}

func runAndWrite(t *testing.T, path, domain, name string, attrs op.Attrs, in []*tensor.Tensor) []*tensor.Tensor {
	o, err := op.Lookup(domain, name)
	if err != nil {
		t.Fatal(err)
	}
	outputs := 1
	if name == "TopK" {
		outputs = 2
	}
	c := &op.Call{Attrs: attrs, Version: 21, In: in, Out: make([]*tensor.Tensor, outputs)}
	if err := o.Run(c); err != nil {
		t.Fatal(err)
	}
	n := &graph.Node{Name: "node", Op: name, Domain: domain, Attrs: attrs}
	for i, x := range in {
		var v *graph.Value
		if x != nil {
			v = graph.NewConst(fmt.Sprintf("in%d", i), x)
		}
		n.Inputs = append(n.Inputs, v)
	}
	g := &graph.Graph{Name: "case", Nodes: []*graph.Node{n}, Opset: map[string]int{"": 21, "com.microsoft": 1}}
	for i, y := range c.Out {
		v := &graph.Value{Name: fmt.Sprintf("out%d", i), Type: op.Type{DType: y.DType()}, Node: n}
		n.Outputs = append(n.Outputs, v)
		g.Outputs = append(g.Outputs, v)
	}
	if err := onnx.WriteFile(path, g); err != nil {
		t.Fatal(err)
	}
	return c.Out
}

func compareLine(t *testing.T, line []byte, want map[string][]*tensor.Tensor, refused map[string]int) {
	var got struct {
		Name    string
		Error   string
		Outputs []struct {
			Shape  []int
			Values []float64
		}
	}
	// Python writes NaN and Infinity, which JSON has not.
	line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte("-Infinity"), []byte("-1e400")), []byte("NaN"), []byte("0"))
	if err := json.Unmarshal(line, &got); err != nil {
		t.Errorf("%s: %v", line[:min(len(line), 80)], err)
		return
	}
	name, _, _ := strings.Cut(got.Name, "-")
	if got.Error != "" {
		refused[name]++
		if refused[name] == 1 {
			t.Logf("%s: ONNX Runtime refuses: %.200s", got.Name, got.Error)
		}
		return
	}
	for i, y := range want[got.Name] {
		if !slices.Equal(y.Shape(), got.Outputs[i].Shape) {
			t.Errorf("%s: output %d has shape %v, ONNX Runtime has %v", got.Name, i, y.Shape(), got.Outputs[i].Shape)
			continue
		}
		step := 0.0
		if strings.HasPrefix(name, "Q") {
			step = 1 // rounded differently
		}
		for k, v := range y.Float64s() {
			w := got.Outputs[i].Values[k]
			if math.Abs(v-w) > step+1e-4*max(1, math.Abs(w)) {
				t.Errorf("%s: output %d element %d is %v, ONNX Runtime has %v", got.Name, i, k, v, w)
				break
			}
		}
	}
}
