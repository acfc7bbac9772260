package onnx

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx/internal/onnxpb"
	"github.com/narrow-ml/narrow/tensor"
)

func node(operator string, in, out []string, attrs ...*onnxpb.Attribute) *onnxpb.Node {
	return &onnxpb.Node{Name: "n_" + out[0], OpType: operator, Input: in, Output: out, Attribute: attrs}
}

func info(name string, dims ...int64) *onnxpb.ValueInfo {
	s := new(onnxpb.Shape)
	for _, d := range dims {
		s.Dim = append(s.Dim, &onnxpb.Shape_Dimension{Value: &onnxpb.Shape_Dimension_DimValue{DimValue: d}})
	}
	t := &onnxpb.TypeInfo_TensorType{ElemType: 1, Shape: s}
	return &onnxpb.ValueInfo{Name: name, Type: &onnxpb.TypeInfo{Value: &onnxpb.TypeInfo_TensorType_{TensorType: t}}}
}

// model wraps a graph that reads x and makes y.
func model(g *onnxpb.Graph) *onnxpb.Model {
	if g.Input == nil {
		g.Input = []*onnxpb.ValueInfo{info("x", 2)}
	}
	if g.Output == nil {
		g.Output = []*onnxpb.ValueInfo{info("y", 2)}
	}
	return &onnxpb.Model{IrVersion: 8, Graph: g, OpsetImport: []*onnxpb.OperatorSet{{Version: 13}}}
}

func marshal(t testing.TB, m *onnxpb.Model) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func relu() *onnxpb.Graph {
	return &onnxpb.Graph{Node: []*onnxpb.Node{node("Relu", []string{"x"}, []string{"y"})}}
}

// withConst is a model that adds tensor c to x.
func withConst(c *onnxpb.Tensor) *onnxpb.Graph {
	c.Name = "c"
	return &onnxpb.Graph{Initializer: []*onnxpb.Tensor{c}, Node: []*onnxpb.Node{node("Add", []string{"x", "c"}, []string{"y"})}}
}

func TestTensorTypes(t *testing.T) {
	nan := math.Float32bits(float32(math.NaN()))
	for _, c := range []struct {
		name string
		p    *onnxpb.Tensor
		want *tensor.Tensor
	}{
		{"float raw", &onnxpb.Tensor{DataType: 1, Dims: []int64{2}, RawData: []byte{0, 0, 128, 63, 0, 0, 0, 192}}, tensor.From([]float32{1, -2}, 2)},
		{"float typed", &onnxpb.Tensor{DataType: 1, Dims: []int64{2}, FloatData: []float32{1, -2}}, tensor.From([]float32{1, -2}, 2)},
		{"scalar", &onnxpb.Tensor{DataType: 1, FloatData: []float32{3}}, tensor.Scalar[float32](3)},
		{"NaN bits", &onnxpb.Tensor{DataType: 1, FloatData: []float32{math.Float32frombits(nan)}}, tensor.Scalar(math.Float32frombits(nan))},
		{"empty", &onnxpb.Tensor{DataType: 1, Dims: []int64{0, 3}}, tensor.New(tensor.Float32, 0, 3)},
		{"double typed", &onnxpb.Tensor{DataType: 11, Dims: []int64{1}, DoubleData: []float64{0.1}}, tensor.From([]float64{0.1}, 1)},
		{"double raw", &onnxpb.Tensor{DataType: 11, RawData: []byte{0, 0, 0, 0, 0, 0, 240, 63}}, tensor.Scalar(1.0)},
		{"half raw", &onnxpb.Tensor{DataType: 10, Dims: []int64{1}, RawData: []byte{0, 0x3c}}, tensor.From([]tensor.Half{0x3c00}, 1)},
		{"half typed", &onnxpb.Tensor{DataType: 10, Dims: []int64{1}, Int32Data: []int32{0x3c00}}, tensor.From([]tensor.Half{0x3c00}, 1)},
		{"bfloat16 typed", &onnxpb.Tensor{DataType: 16, Dims: []int64{1}, Int32Data: []int32{0x3f80}}, tensor.From([]tensor.BHalf{0x3f80}, 1)},
		{"int8 typed", &onnxpb.Tensor{DataType: 3, Dims: []int64{2}, Int32Data: []int32{-128, 127}}, tensor.From([]int8{-128, 127}, 2)},
		{"int8 raw", &onnxpb.Tensor{DataType: 3, Dims: []int64{2}, RawData: []byte{128, 127}}, tensor.From([]int8{-128, 127}, 2)},
		{"uint8 typed", &onnxpb.Tensor{DataType: 2, Dims: []int64{1}, Int32Data: []int32{255}}, tensor.From([]uint8{255}, 1)},
		{"int16 raw", &onnxpb.Tensor{DataType: 5, Dims: []int64{1}, RawData: []byte{0, 128}}, tensor.From([]int16{-32768}, 1)},
		{"uint16 typed", &onnxpb.Tensor{DataType: 4, Dims: []int64{1}, Int32Data: []int32{65535}}, tensor.From([]uint16{65535}, 1)},
		{"int32 typed", &onnxpb.Tensor{DataType: 6, Dims: []int64{1}, Int32Data: []int32{-5}}, tensor.From([]int32{-5}, 1)},
		{"uint32 typed", &onnxpb.Tensor{DataType: 12, Dims: []int64{1}, Uint64Data: []uint64{1 << 31}}, tensor.From([]uint32{1 << 31}, 1)},
		{"int64 typed", &onnxpb.Tensor{DataType: 7, Dims: []int64{1}, Int64Data: []int64{-1 << 62}}, tensor.From([]int64{-1 << 62}, 1)},
		{"uint64 typed", &onnxpb.Tensor{DataType: 13, Dims: []int64{1}, Uint64Data: []uint64{1 << 63}}, tensor.From([]uint64{1 << 63}, 1)},
		{"bool raw", &onnxpb.Tensor{DataType: 9, Dims: []int64{3}, RawData: []byte{0, 1, 2}}, tensor.From([]bool{false, true, true}, 3)},
		{"bool typed", &onnxpb.Tensor{DataType: 9, Dims: []int64{2}, Int32Data: []int32{0, 1}}, tensor.From([]bool{false, true}, 2)},
		{"string", &onnxpb.Tensor{DataType: 8, Dims: []int64{2}, StringData: [][]byte{[]byte("a"), {}}}, tensor.From([]string{"a", ""}, 2)},
		{"int4 raw", &onnxpb.Tensor{DataType: 22, Dims: []int64{3}, RawData: []byte{0x8f, 0x07}}, tensor.From([]tensor.Nibble{-1, -8, 7}, 3)},
		{"int4 typed", &onnxpb.Tensor{DataType: 22, Dims: []int64{3}, Int32Data: []int32{0x8f, 0x07}}, tensor.From([]tensor.Nibble{-1, -8, 7}, 3)},
		{"uint4 raw", &onnxpb.Tensor{DataType: 21, Dims: []int64{3}, RawData: []byte{0x8f, 0x07}}, tensor.From([]tensor.UNibble{15, 8, 7}, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := Read(marshal(t, model(withConst(c.p))))
			if err != nil {
				t.Fatal(err)
			}
			checkTensor(t, g.Nodes[0].Inputs[1].Const, c.want)
			// And written, and read again.
			var b strings.Builder
			if err := Write(&b, g); err != nil {
				t.Fatal(err)
			}
			if g, err = Read([]byte(b.String())); err != nil {
				t.Fatal(err)
			}
			checkTensor(t, g.Nodes[0].Inputs[1].Const, c.want)
		})
	}
}

func checkTensor(t *testing.T, got, want *tensor.Tensor) {
	t.Helper()
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) {
		t.Fatalf("%s %v, not %s %v", got.DType(), got.Shape(), want.DType(), want.Shape())
	}
	same := false
	if want.DType() == tensor.String {
		same = slices.Equal(tensor.Data[string](got), tensor.Data[string](want))
	} else {
		same = slices.Equal(got.Bytes(), want.Bytes())
	}
	if !same {
		t.Errorf("%s, not %s", got, want)
	}
}

// Each broken model gives one error that says what is wrong and where.
func TestReadErrors(t *testing.T) {
	floats := func(n int, dims ...int64) *onnxpb.Tensor {
		return &onnxpb.Tensor{DataType: 1, Dims: dims, RawData: make([]byte, 4*n)}
	}
	whole := marshal(t, model(withConst(floats(64, 64))))
	graphs := func(n ...*onnxpb.Node) []byte { return marshal(t, model(&onnxpb.Graph{Node: n})) }
	for _, c := range []struct {
		name string
		file []byte
		is   error
		says string
	}{
		{"empty", nil, ErrFormat, "empty"},
		{"picture", []byte("\x89PNG\r\n\x1a\n0000"), ErrFormat, "PNG"},
		{"torch", []byte("PK\x03\x04...."), ErrFormat, "torch.onnx.export"},
		{"lfs", []byte("version https://git-lfs.github.com/spec/v1"), ErrFormat, "git lfs pull"},
		{"text", []byte("hello, this is no model"), ErrFormat, ""},
		{"truncated", whole[:len(whole)/2], ErrFormat, ""},
		{"no graph", []byte{8, 8}, ErrFormat, "no graph"},
		{"no output", marshal(t, model(&onnxpb.Graph{Output: []*onnxpb.ValueInfo{}})), ErrFormat, "no output"},
		{"too little data", marshal(t, model(withConst(floats(3, 2, 2)))), ErrFormat, `tensor "c"`},
		{"too much data", marshal(t, model(withConst(floats(5, 2, 2)))), ErrFormat, "20 bytes"},
		{"negative dimension", marshal(t, model(withConst(floats(1, -1)))), ErrFormat, "dimension -1"},
		{"huge", marshal(t, model(withConst(floats(1, 1<<40, 1<<40)))), ErrFormat, "too large"},
		{"huge empty", marshal(t, model(withConst(&onnxpb.Tensor{DataType: 1, Dims: []int64{1 << 40}}))), ErrFormat, "0 elements"},
		{"complex", marshal(t, model(withConst(&onnxpb.Tensor{DataType: 14, RawData: []byte{1}}))), ErrUnsupported, "COMPLEX64"},
		{"future type", marshal(t, model(withConst(&onnxpb.Tensor{DataType: 99, RawData: []byte{1}}))), ErrUnsupported, "99"},
		{"undefined input", graphs(node("Add", []string{"x", "ghost"}, []string{"y"})), ErrFormat, `node "n_y" (Add): not a valid ONNX model: input "ghost"`},
		{"undefined output", graphs(node("Relu", []string{"x"}, []string{"z"})), ErrFormat, `output "y"`},
		{"two of a name", graphs(node("Relu", []string{"x"}, []string{"y"}), node("Neg", []string{"x"}, []string{"y"})), ErrFormat, `"y"`},
		{"cycle", graphs(node("Add", []string{"x", "y"}, []string{"z"}), node("Neg", []string{"z"}, []string{"y"})), ErrFormat, "depends on itself"},
		{"no operator", graphs(node("", []string{"x"}, []string{"y"})), ErrFormat, "no operator"},
		{"empty constant", graphs(node("Constant", nil, []string{"c"}), node("Add", []string{"x", "c"}, []string{"y"})), ErrFormat, "n_c"},
		{"opset", marshal(t, &onnxpb.Model{IrVersion: 8, Graph: model(relu()).Graph, OpsetImport: []*onnxpb.OperatorSet{{Version: -3}}}), ErrFormat, "version -3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "broken.onnx")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := ReadFile(path)
			if !errors.Is(err, c.is) {
				t.Fatalf("error is %v", err)
			}
			if msg := err.Error(); !strings.Contains(msg, path) || !strings.Contains(msg, c.says) || strings.Contains(msg, "\n") {
				t.Errorf("error %q does not name the file and %q in one line", msg, c.says)
			}
		})
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := ReadFile(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
}

func TestReadConstantNodes(t *testing.T) {
	f, i := float32(2.5), int64(7)
	for _, c := range []struct {
		attr *onnxpb.Attribute
		want *tensor.Tensor
	}{
		{&onnxpb.Attribute{Name: "value", Type: onnxpb.Attribute_TENSOR, T: &onnxpb.Tensor{DataType: 1, FloatData: []float32{1}}}, tensor.Scalar[float32](1)},
		{&onnxpb.Attribute{Name: "value_float", Type: onnxpb.Attribute_FLOAT, F: &f}, tensor.Scalar(f)},
		{&onnxpb.Attribute{Name: "value_int", I: &i}, tensor.Scalar(i)},
		{&onnxpb.Attribute{Name: "value_ints", Ints: []int64{1, 2}}, tensor.From([]int64{1, 2}, 2)},
		{&onnxpb.Attribute{Name: "value_floats", Floats: []float32{1, 2}}, tensor.From([]float32{1, 2}, 2)},
		{&onnxpb.Attribute{Name: "value_strings", Strings: [][]byte{[]byte("s")}}, tensor.From([]string{"s"}, 1)},
		{&onnxpb.Attribute{Name: "sparse_value", Type: onnxpb.Attribute_SPARSE_TENSOR, SparseTensor: &onnxpb.SparseTensor{
			Values:  &onnxpb.Tensor{DataType: 1, Dims: []int64{2}, FloatData: []float32{5, 6}},
			Indices: &onnxpb.Tensor{DataType: 7, Dims: []int64{2, 2}, Int64Data: []int64{0, 1, 1, 2}},
			Dims:    []int64{2, 3},
		}}, tensor.From([]float32{0, 5, 0, 0, 0, 6}, 2, 3)},
	} {
		g, err := Read(marshal(t, model(&onnxpb.Graph{Node: []*onnxpb.Node{
			node("Constant", nil, []string{"c"}, c.attr), node("Add", []string{"x", "c"}, []string{"y"})}})))
		if err != nil {
			t.Errorf("%s: %v", c.attr.Name, err)
			continue
		}
		if len(g.Nodes) != 1 {
			t.Errorf("%s: the Constant is still a node", c.attr.Name)
		}
		checkTensor(t, g.Nodes[0].Inputs[1].Const, c.want)
	}
}

// Old files list initializers as inputs; unused ones and dead nodes go.
func TestReadOldAndUnused(t *testing.T) {
	p := withConst(&onnxpb.Tensor{DataType: 1, FloatData: []float32{1}})
	p.Initializer = append(p.Initializer, &onnxpb.Tensor{Name: "unused", DataType: 1, FloatData: []float32{1}})
	p.Input = []*onnxpb.ValueInfo{info("x", 2), info("c"), info("unused")}
	p.Node = append(p.Node, node("Neg", []string{"x"}, []string{"nobody"}))
	g, err := Read(marshal(t, model(p)))
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Inputs) != 1 || len(g.Nodes) != 1 || len(g.Values()) != 3 {
		t.Errorf("read as\n%s", graph.Format(g))
	}
}

func TestReadUnsortedAndSubgraphs(t *testing.T) {
	branch := func(operator string) *onnxpb.Graph {
		return &onnxpb.Graph{Name: operator, Node: []*onnxpb.Node{node(operator, []string{"pos"}, []string{"out_" + operator})}, Output: []*onnxpb.ValueInfo{info("out_"+operator, 2)}}
	}
	p := &onnxpb.Graph{
		Initializer: []*onnxpb.Tensor{{Name: "cond", DataType: 9, Int32Data: []int32{1}}},
		Node: []*onnxpb.Node{
			node("If", []string{"cond"}, []string{"y"},
				&onnxpb.Attribute{Name: "then_branch", Type: onnxpb.Attribute_GRAPH, G: branch("Neg")},
				&onnxpb.Attribute{Name: "else_branch", Type: onnxpb.Attribute_GRAPH, G: branch("Abs")}),
			node("Relu", []string{"x"}, []string{"pos"}),
		},
	}
	g, err := Read(marshal(t, model(p)))
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 2 || g.Nodes[0].Op != "Relu" {
		t.Fatalf("read as\n%s", graph.Format(g))
	}
	var b strings.Builder
	if err := Write(&b, g); err != nil {
		t.Fatal(err)
	}
	again, err := Read([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if graph.Format(again) != graph.Format(g) {
		t.Errorf("written and read:\n%s", graph.Format(again))
	}
}

func TestInlineFunctions(t *testing.T) {
	slope := float32(0.25)
	m := model(&onnxpb.Graph{Node: []*onnxpb.Node{
		{Name: "call1", Domain: "mine", OpType: "Twice", Input: []string{"x"}, Output: []string{"mid"},
			Attribute: []*onnxpb.Attribute{{Name: "slope", Type: onnxpb.Attribute_FLOAT, F: &slope}}},
		{Name: "call2", Domain: "mine", OpType: "Twice", Input: []string{"mid"}, Output: []string{"y"}},
	}})
	m.Functions = []*onnxpb.Function{{
		Domain: "mine", Name: "Twice", Input: []string{"a"}, Output: []string{"b"}, Attribute: []string{"slope"},
		Node: []*onnxpb.Node{
			node("LeakyRelu", []string{"a"}, []string{"t"}, &onnxpb.Attribute{Name: "alpha", Type: onnxpb.Attribute_FLOAT, RefAttrName: "slope"}),
			node("Add", []string{"t", "t"}, []string{"b"}),
		},
		OpsetImport: []*onnxpb.OperatorSet{{Version: 13}},
	}}
	g, err := Read(marshal(t, m))
	if err != nil {
		t.Fatal(err)
	}
	const want = `opset ai.onnx 13
input x float32[2]
Twice_1/t = LeakyRelu(x) {alpha=0.25} # Twice_1/n_t
mid = Add(Twice_1/t, Twice_1/t) # Twice_1/n_b
Twice_2/t = LeakyRelu(mid) # Twice_2/n_t
y = Add(Twice_2/t, Twice_2/t) # Twice_2/n_b
output y float32[2]
`
	if got := graph.Format(g); got != want {
		t.Errorf("inlined to\n%s", got)
	}
}

// A function that calls itself, and a few that stand for very many nodes.
func TestInlineFunctionsBounded(t *testing.T) {
	m := model(&onnxpb.Graph{Node: []*onnxpb.Node{{Domain: "f", OpType: "f0", Input: []string{"x"}, Output: []string{"y"}}}})
	for i := range 30 {
		next := fmt.Sprintf("f%d", i+1)
		m.Functions = append(m.Functions, &onnxpb.Function{Domain: "f", Name: fmt.Sprintf("f%d", i), Input: []string{"a"}, Output: []string{"b"}, Node: []*onnxpb.Node{
			{Domain: "f", OpType: next, Input: []string{"a"}, Output: []string{"t"}},
			{Domain: "f", OpType: next, Input: []string{"t"}, Output: []string{"b"}},
		}})
	}
	if _, err := Read(marshal(t, m)); !errors.Is(err, ErrFormat) {
		t.Errorf("error is %v", err)
	}
	m.Functions = m.Functions[:1]
	m.Functions[0].Node[0].OpType, m.Functions[0].Node[1].OpType = "f0", "f0"
	if _, err := Read(marshal(t, m)); !errors.Is(err, ErrFormat) {
		t.Errorf("error is %v", err)
	}
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, 64)
	for i := range data {
		data[i] = byte(i)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("model/sub/w.bin", data)
	write("outside.bin", data)
	if err := os.Symlink("../outside.bin", filepath.Join(dir, "model/link.bin")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                     string
		location, offset, length string
		says                     string // "" if it can be read
	}{
		{"good", "sub/w.bin", "8", "16", ""},
		{"no length", "sub/w.bin", "8", "", ""},
		{"short", "sub/w.bin", "8", "12", "12 bytes"},
		{"past the end", "sub/w.bin", "60", "16", "16 bytes from 60"},
		{"overflow", "sub/w.bin", "9223372036854775800", "16", "bytes from"},
		{"negative", "sub/w.bin", "-8", "16", "from -8"},
		{"no number", "sub/w.bin", "x", "16", "offset"},
		{"missing", "sub/none.bin", "0", "16", "no such file"},
		{"parent", "../outside.bin", "0", "16", "leaves the folder"},
		{"absolute", "/etc/passwd", "0", "16", "leaves the folder"},
		{"link", "link.bin", "0", "16", "escapes"},
		{"folder", "sub", "0", "16", "regular"},
		{"none", "", "0", "16", "leaves the folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &onnxpb.Tensor{DataType: 1, Dims: []int64{4}, DataLocation: onnxpb.Tensor_EXTERNAL}
			for _, kv := range [][2]string{{"location", c.location}, {"offset", c.offset}, {"length", c.length}, {"checksum", "?"}} {
				if kv[1] != "" {
					p.ExternalData = append(p.ExternalData, &onnxpb.StringEntry{Key: kv[0], Value: kv[1]})
				}
			}
			path := write("model/m.onnx", marshal(t, model(withConst(p))))
			g, err := ReadFile(path)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := g.Nodes[0].Inputs[1].Const.Bytes(); !slices.Equal(got, data[8:24]) {
				t.Errorf("read %v", got)
			}
		})
	}
}

func TestWriteExternalData(t *testing.T) {
	g, err := Read(marshal(t, model(withConst(&onnxpb.Tensor{DataType: 1, Dims: []int64{2000}, RawData: make([]byte, 8000)}))))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "big.onnx")
	if err := writeFile(path, g, 4000); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 1000 {
		t.Errorf("the model itself: %v %v", info.Size(), err)
	}
	again, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if graph.Format(again) != graph.Format(g) {
		t.Errorf("read again:\n%s", graph.Format(again))
	}
}

// Reading a large model takes little memory beside the file's own pages.
func TestReadLargeInPlace(t *testing.T) {
	if !looseAlignment || runtime.GOOS == "windows" {
		t.Skip("files are not mapped, or weights not read in place, on this system")
	}
	const size = 64 << 20
	g, err := Read(marshal(t, model(withConst(&onnxpb.Tensor{DataType: 1, Dims: []int64{size / 4}, RawData: make([]byte, size)}))))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "large.onnx")
	allocated := func(f func() error) uint64 {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := f(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if n := allocated(func() error { return WriteFile(path, g) }); n > size/10 {
		t.Errorf("writing %d bytes allocates %d", size, n)
	}
	if n := allocated(func() error { _, err := ReadFile(path); return err }); n > size/100 {
		t.Errorf("reading %d bytes allocates %d", size, n)
	}
}

func TestWriteUpgradesForQuantization(t *testing.T) {
	p := withConst(&onnxpb.Tensor{DataType: 3, Dims: []int64{2}, RawData: []byte{1, 2}})
	p.Initializer = append(p.Initializer, &onnxpb.Tensor{Name: "s", DataType: 1, Dims: []int64{2}, FloatData: []float32{1, 2}})
	p.Node = []*onnxpb.Node{node("DequantizeLinear", []string{"c", "s"}, []string{"w"}), node("Add", []string{"x", "w"}, []string{"y"})}
	m := model(p)
	m.OpsetImport[0].Version = 10
	g, err := Read(marshal(t, m))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, g); err != nil {
		t.Fatal(err)
	}
	again, err := Read([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if again.Opset[""] != 13 || g.Opset[""] != 10 {
		t.Errorf("written as operator set %d, the graph in memory is %d", again.Opset[""], g.Opset[""])
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	g, err := Read(marshal(t, model(relu())))
	if err != nil {
		t.Fatal(err)
	}
	g.Outputs[0].Name = "x" // as the input
	if err := WriteFile(filepath.Join(dir, "m.onnx"), g); err == nil {
		t.Error("two values of one name were written")
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%v was left", files)
	}
}
