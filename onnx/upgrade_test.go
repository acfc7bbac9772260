package onnx_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/shared"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// Every conformance case of an older operator set still gives its outputs
// after an upgrade to each of these versions.
func TestUpgradeShared(t *testing.T) {
	cases := shared.Glob(t, "onnx/*/*/model.onnx")
	upgraded := 0
	for _, path := range cases {
		for _, version := range []int{13, 18, onnx.LatestOpset} {
			g, err := onnx.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if from := g.Opset[""]; from < onnx.OldestOpset || from >= version {
				continue
			}
			want, err := run(t, g.Clone(), path)
			if err != nil {
				continue // of an operator that is not supported: see the conformance test
			}
			if err := onnx.Upgrade(g, version); err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			upgraded++
			got, err := run(t, g, path)
			if err != nil {
				t.Errorf("%s as operator set %d: %v", path, version, err)
				continue
			}
			for i := range want {
				if !near(got[i], want[i]) {
					t.Errorf("%s as operator set %d: output %d is another\n%s", path, version, i, graph.Format(g))
				}
			}
		}
	}
	t.Logf("%d upgrades", upgraded)
}

func run(t *testing.T, g *graph.Graph, path string) ([]*tensor.Tensor, error) {
	t.Helper()
	net, err := engine.Compile(g, engine.WithThreads(1))
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "test_data_set_0/input_*.pb"))
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*tensor.Tensor)
	for _, f := range files {
		in, name, err := onnx.ReadTensorFile(f)
		if err != nil {
			t.Fatal(err)
		}
		byName[name] = in
	}
	inputs := make([]*tensor.Tensor, len(g.Inputs))
	for i, v := range g.Inputs {
		if inputs[i] = byName[v.Name]; inputs[i] == nil {
			return nil, errors.New("an input is missing")
		}
	}
	return net.Run(context.Background(), inputs...)
}

func near(a, b *tensor.Tensor) bool {
	if a.DType() != b.DType() || !slices.Equal(a.Shape(), b.Shape()) {
		return false
	}
	if a.DType() == tensor.String {
		return slices.Equal(tensor.Data[string](a), tensor.Data[string](b))
	}
	x, y := a.Float64s(), b.Float64s()
	for i := range x {
		if d := math.Abs(x[i] - y[i]); d > 1e-5*(1+math.Abs(y[i])) || math.IsNaN(x[i]) != math.IsNaN(y[i]) {
			return false
		}
	}
	return true
}

func TestUpgradeErrors(t *testing.T) {
	for _, opset := range []int{6, 1} {
		g := &graph.Graph{Opset: map[string]int{"": opset}}
		if err := onnx.Upgrade(g, 13); !errors.Is(err, onnx.ErrUnsupported) {
			t.Errorf("from %d: %v", opset, err)
		}
	}
	g := &graph.Graph{Opset: map[string]int{"": 15}}
	if err := onnx.Upgrade(g, 13); err != nil || g.Opset[""] != 15 {
		t.Errorf("downgrade: %v, operator set %d", err, g.Opset[""])
	}
}

// What the conformance cases do not hold: each rewrite by a graph of one node.
func TestUpgradeSteps(t *testing.T) {
	x := func() *graph.Value {
		return &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{1, 4, 6, 6}, Known: true}}
	}
	for _, c := range []struct {
		name     string
		op       string
		from, to int
		attrs    op.Attrs
		inputs   []*graph.Value
		want     string // the line of the node
	}{
		{"clip", "Clip", 7, 11, op.Attrs{"min": float32(0), "max": float32(6)}, nil, "y = Clip(x, y_min, y_max)"},
		{"clip, one side", "Clip", 10, 12, op.Attrs{"max": float32(6)}, nil, "y = Clip(x, _, y_max)"},
		{"pad", "Pad", 10, 11, op.Attrs{"mode": "reflect", "pads": []int64{0, 0, 1, 1, 0, 0, 1, 1}}, nil, `y = Pad(x, y_pads) {mode="reflect"}`},
		{"dropout", "Dropout", 7, 13, op.Attrs{"ratio": float32(0.5)}, nil, "y = Dropout(x, y_ratio)"},
		{"slice", "Slice", 9, 13, op.Attrs{"starts": []int64{1}, "ends": []int64{2}, "axes": []int64{1}}, nil, "y = Slice(x, y_starts, y_ends, y_axes)"},
		{"top k", "TopK", 9, 11, op.Attrs{"k": int64(2)}, nil, "y = TopK(x, y_k)"},
		{"upsample", "Upsample", 7, 13, op.Attrs{"mode": "nearest", "scales": []float32{1, 1, 2, 2}}, nil,
			`y = Resize(x, _, y_scales) {coordinate_transformation_mode="asymmetric", mode="nearest", nearest_mode="floor"}`},
		{"mean", "ReduceMean", 13, 18, op.Attrs{"axes": []int64{2, 3}, "keepdims": int64(1)}, nil, "y = ReduceMean(x, y_axes) {keepdims=1}"},
		{"unsqueeze", "Unsqueeze", 11, 13, op.Attrs{"axes": []int64{0}}, nil, "y = Unsqueeze(x, y_axes)"},
		{"split", "Split", 11, 18, op.Attrs{"axis": int64(1)}, nil, "y = Split(x) {axis=1, num_outputs=1}"},
		{"softmax", "Softmax", 11, 13, nil, nil, "y = Reshape(y_rows, y_shape)"},
		{"softmax, last", "Softmax", 11, 13, op.Attrs{"axis": int64(3)}, nil, "y = Softmax(x) {axis=3}"},
		{"batch normalization", "BatchNormalization", 8, 15, op.Attrs{"spatial": int64(1)},
			[]*graph.Value{c4("s"), c4("b"), c4("m"), c4("v")}, "y = BatchNormalization(x, s, b, m, v)"},
		{"group normalization", "GroupNormalization", 18, 21, op.Attrs{"num_groups": int64(2)},
			[]*graph.Value{c2("s"), c2("b")}, "y = GroupNormalization(x, y_channels1, y_channels2) {num_groups=2}"},
		{"roi", "RoiAlign", 11, 16, nil, []*graph.Value{c2("r"), c2("i")}, `y = RoiAlign(x, r, i) {coordinate_transformation_mode="output_half_pixel"}`},
		{"grid", "GridSample", 16, 20, op.Attrs{"mode": "bilinear"}, []*graph.Value{c2("g")}, `y = GridSample(x, g) {mode="linear"}`},
		{"scatter", "Scatter", 9, 11, nil, []*graph.Value{c2("i"), c2("u")}, "y = ScatterElements(x, i, u)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &graph.Graph{Opset: map[string]int{"": c.from}}
			in := x()
			g.Inputs = []*graph.Value{in}
			g.Outputs = []*graph.Value{g.New("y", c.op, c.attrs, append([]*graph.Value{in}, c.inputs...)...)}
			if err := onnx.Upgrade(g, c.to); err != nil {
				t.Fatal(err)
			}
			lines := nodeLines(g)
			if got := lines[len(lines)-1]; got != c.want {
				t.Errorf("became %s, not %s", got, c.want)
			}
		})
	}
}

func c4(name string) *graph.Value {
	return graph.NewConst(name, tensor.From([]float32{1, 2, 3, 4}, 4))
}
func c2(name string) *graph.Value { return graph.NewConst(name, tensor.From([]float32{1, 2}, 2)) }

// nodeLines returns the lines of the graph's text that are nodes.
func nodeLines(g *graph.Graph) []string {
	var lines []string
	for _, line := range strings.Split(graph.Format(g), "\n") {
		if strings.Contains(line, " = ") {
			lines = append(lines, line)
		}
	}
	return lines
}
