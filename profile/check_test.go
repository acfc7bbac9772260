package profile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// network is a convolution with an activation function, quantized, and how it is.
type network struct {
	types     tensor.DType
	zero      int8
	scale     float32
	weights   []float32 // scales
	bias      float32   // scale; 0 for a bias in float
	noResult  bool      // it is read in float
	relu      bool
	operator  string // Conv if empty
	opset     int
	axis      int64
	largeSums bool
}

func (n network) graph() *graph.Graph {
	g := &graph.Graph{Opset: map[string]int{"": max(n.opset, 13)}}
	x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{1, 2, 4, 4}, Known: true}}
	g.Inputs = []*graph.Value{x}
	scale := graph.NewConst("s", tensor.Scalar(n.scale))
	var zero *graph.Value
	if n.types == tensor.Uint8 {
		zero = graph.NewConst("z", tensor.Scalar(uint8(n.zero)))
	} else {
		zero = graph.NewConst("z", tensor.Scalar(n.zero))
	}
	coded := func(name string, v *graph.Value) *graph.Value {
		return g.New(name+"_dq", "DequantizeLinear", nil, g.New(name+"_q", "QuantizeLinear", nil, v, scale, zero), scale, zero)
	}
	w := tensor.New(tensor.Int8, 2, 2, 3, 3)
	for i := range tensor.Data[int8](w) {
		tensor.Data[int8](w)[i] = 30
		if n.largeSums {
			tensor.Data[int8](w)[i] = 100
		}
	}
	ws := graph.NewConst("ws", tensor.Scalar(n.weights[0]))
	if len(n.weights) > 1 {
		ws = graph.NewConst("ws", tensor.From(n.weights, len(n.weights)))
	}
	weights := g.New("w_dq", "DequantizeLinear", op.Attrs{"axis": n.axis}, graph.NewConst("w", w), ws)
	bias := graph.NewConst("b", tensor.From([]float32{1, 2}, 2))
	if n.bias != 0 {
		bias = g.New("b_dq", "DequantizeLinear", nil, graph.NewConst("b", tensor.From([]int32{1, 2}, 2)), graph.NewConst("bs", tensor.Scalar(n.bias)))
	}
	y := g.New("conv", "Conv", nil, coded("x", x), weights, bias)
	if n.relu {
		y = g.New("relu", "Relu", nil, y)
	}
	if n.operator != "" {
		y = g.New("more", n.operator, nil, y)
	}
	if !n.noResult {
		y = coded("y", y)
	}
	g.Outputs = []*graph.Value{y}
	return g
}

// good is a network that every target takes but those for weights alone.
var good = network{types: tensor.Int8, scale: 0.5, weights: []float32{0.25}}

// TestProblems: each rule is told when it is broken, and only then.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, target string
		change       func(n *network)
		want         string // part of a problem; "" for none
	}{
		{"good", "tensorrt", func(*network) {}, ""},
		{"unsigned", "tensorrt", func(n *network) { n.types = tensor.Uint8 }, "takes int8"},
		{"zero point", "tensorrt", func(n *network) { n.zero = 3 }, "middle"},
		{"bias of integers", "tensorrt", func(n *network) { n.bias = 0.125 }, "biases in float"},
		{"bias of integers", "stm32", func(n *network) { n.bias = 0.125 }, ""},
		{"bias of another scale", "stm32", func(n *network) { n.bias = 0.25 }, "scale of its bias"},
		{"bias of another scale", "onnxruntime", func(n *network) { n.bias = 0.25 }, "scale of its bias"},
		{"channels", "tensorrt", func(n *network) { n.weights = []float32{0.25, 0.5} }, ""},
		{"channels", "esp-dl", func(n *network) { n.weights, n.bias = []float32{0.25, 0.5}, 0.125 }, "2 scales"},
		{"channels along another axis", "tensorrt", func(n *network) { n.weights, n.axis = []float32{0.25, 0.5}, 1 }, "axis 1"},
		{"powers of two", "vitis", func(*network) {}, ""},
		{"no power of two", "vitis", func(n *network) { n.scale = 0.3 }, "power of two"},
		{"negative scale", "onnxruntime", func(n *network) { n.scale = -1 }, "positive"},
		{"operator set", "migraphx", func(n *network) { n.opset = 21 }, "operator set 21"},
		{"operator set", "tensorrt", func(n *network) { n.opset = 21 }, ""},
		{"saturation", "onnxruntime-x64-any", func(n *network) { n.largeSums = true }, "saturates"},
		{"saturation", "onnxruntime", func(n *network) { n.largeSums = true }, ""},
		{"activations", "coreml", func(*network) {}, "weights alone"},
		{"in float", "cmsis-nn", func(n *network) { n.bias, n.noResult = 0.125, true }, "nothing in float"},
		{"in float", "tensorrt", func(n *network) { n.noResult = true }, ""},
	} {
		p, err := Find(c.target)
		if err != nil {
			t.Fatal(err)
		}
		n := good
		c.change(&n)
		r, err := Check(n.graph(), p)
		if err != nil {
			t.Errorf("%s for %s: %v", c.name, c.target, err)
			continue
		}
		found := slices.ContainsFunc(r.Problems, func(p Problem) bool { return strings.Contains(p.What, c.want) })
		if c.want == "" && len(r.Problems) > 0 || c.want != "" && !found {
			t.Errorf("%s for %s: %v, want %q", c.name, c.target, r.Problems, c.want)
		}
		if err := r.Err(); (err != nil) != (len(r.Problems) > 0) || err != nil && !errors.Is(err, ErrBroken) {
			t.Errorf("%s for %s: error %v of %d problems", c.name, c.target, err, len(r.Problems))
		}
	}
}

// TestRuns: what falls back to float is told, and why.
func TestRuns(t *testing.T) {
	for _, c := range []struct {
		name, target string
		change       func(n *network)
		node, why    string // why "" is integer
	}{
		{"convolution", "onnxruntime", func(*network) {}, "conv", ""},
		{"result in float", "onnxruntime", func(n *network) { n.noResult = true }, "conv", "read in float"},
		{"result in float", "openvino", func(n *network) { n.noResult = true }, "conv", ""},
		{"activation function", "onnxruntime", func(n *network) { n.relu, n.types = true, tensor.Uint8 }, "relu", ""},
		{"clamping signed integers", "onnxruntime", func(n *network) { n.relu = true }, "conv", "clamps"},
		{"clamping signed integers", "tensorrt", func(n *network) { n.relu = true }, "relu", ""},
		{"unknown to it", "onnxruntime", func(n *network) { n.operator = "Tanh" }, "more", "Tanh in float"},
		{"behind it", "onnxruntime", func(n *network) { n.operator = "Tanh" }, "conv", "read in float"},
		{"bias", "qnn", func(n *network) { n.types = tensor.Uint8 }, "conv", "bias is in float"},
		{"bias", "qnn", func(n *network) { n.types, n.bias = tensor.Uint8, 0.125 }, "conv", ""},
	} {
		p, err := Find(c.target)
		if err != nil {
			t.Fatal(err)
		}
		n := good
		c.change(&n)
		r, err := Check(n.graph(), p)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Nodes, func(m Node) bool { return m.Name == c.node })
		if i < 0 {
			t.Errorf("%s for %s: no node %s in %v", c.name, c.target, c.node, r.Nodes)
			continue
		}
		got := r.Nodes[i]
		if (got.Runs == Integer) != (c.why == "") || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s for %s: %v, want %q", c.name, c.target, got, c.why)
		}
	}
}

// TestSharedInt8: int8 integers with several readers are not computed on by ONNX Runtime on x86, those with one are.
func TestSharedInt8(t *testing.T) {
	p, err := Find("onnxruntime")
	if err != nil {
		t.Fatal(err)
	}
	g := good.graph()
	i := slices.IndexFunc(g.Nodes, func(n *graph.Node) bool { return n.Name == "x_dq" })
	dq := g.Nodes[i]
	g.Outputs = append(g.Outputs, g.New("again", "DequantizeLinear", nil, dq.Inputs...))
	r, err := Check(g, p)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Nodes[0]; n.Runs != Float || !strings.Contains(n.Why, "several readers") {
		t.Errorf("%v", n)
	}
}

// TestDamaged: what no tool writes is an error or a report, never a panic.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(g *graph.Graph){
		"no inputs":  func(g *graph.Graph) { g.Nodes[0].Inputs = nil },
		"no outputs": func(g *graph.Graph) { g.Nodes[2].Outputs = nil },
		"no scale":   func(g *graph.Graph) { g.Nodes[1].Inputs[1] = nil },
		"empty scale": func(g *graph.Graph) {
			g.Nodes[1].Inputs[1] = graph.NewConst("none", tensor.New(tensor.Float32, 0))
		},
		"cycle":          func(g *graph.Graph) { g.Nodes[0].Inputs[0] = g.Outputs[0] },
		"other operator": func(g *graph.Graph) { g.Nodes[3].Op = "Nothing" },
		"text":           func(g *graph.Graph) { g.Nodes[1].Inputs[1] = graph.NewConst("t", tensor.Scalar("x")) },
	} {
		for _, target := range Names() {
			p, err := Find(target)
			if err != nil {
				t.Fatal(err)
			}
			g := good.graph()
			damage(g)
			if _, err := Check(g, p); err != nil && strings.Contains(err.Error(), "internal error") {
				t.Errorf("%s for %s: %v", name, target, err)
			}
		}
	}
}
