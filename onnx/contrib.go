package onnx

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// ONNX Runtime's optimizer writes fused operators of its own into files. Those that it commonly writes for networks that
// are to be quantized are taken apart again when a file is read: all else then knows the standard's operators only.
// Meaning: ContribOperators.md of ONNX Runtime.

const microsoft = "com.microsoft"

// expansion puts nodes in the place of a fused one.
type expansion func(e *expander, n *graph.Node) error

var expansions = map[string]expansion{
	"FusedConv": expandFusedConv, "FusedGemm": expandFusedGemm, "FusedMatMul": expandFusedMatMul, "TransposeMatMul": expandFusedMatMul,
	"BiasGelu": expandBiasGelu, "FastGelu": expandFastGelu, "QuickGelu": expandQuickGelu,
	"SkipLayerNormalization": expandSkipNorm,
}

// expandContrib takes the fused operators of g and its subgraphs apart.
func expandContrib(g *graph.Graph) error {
	var e *expander
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			if err := expandContrib(sub); err != nil {
				return err
			}
		}
		f := expansions[n.Op]
		if f == nil || n.Domain != microsoft || len(n.Outputs) == 0 || n.Outputs[0] == nil {
			continue
		}
		if e == nil {
			e = &expander{g: g, used: make(map[string]bool)}
			for _, v := range g.Values() {
				e.used[v.Name] = true
			}
		}
		if err := f(e, n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	if e == nil {
		return nil
	}
	return g.Sort()
}

// expander appends nodes to a graph under names that are free.
type expander struct {
	g    *graph.Graph
	used map[string]bool
}

// node appends a node that computes a part of what n does.
func (e *expander) node(n *graph.Node, operator string, attrs op.Attrs, in ...*graph.Value) *graph.Value {
	return e.g.New(e.name(n, operator), operator, attrs, in...)
}

func (e *expander) name(n *graph.Node, part string) string {
	base := n.Outputs[0].Name + "_" + part
	name := base
	for i := 1; e.used[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	e.used[name] = true
	return name
}

func (e *expander) number(n *graph.Node, x float32) *graph.Value {
	return graph.NewConst(e.name(n, "number"), tensor.Scalar(x))
}

// become makes n the last node of its expansion: its result and name stay.
func become(n *graph.Node, operator string, attrs op.Attrs, in ...*graph.Value) {
	n.Op, n.Domain, n.Attrs, n.Inputs = operator, "", attrs, in
	for i := 1; i < len(n.Outputs); i++ {
		n.Outputs[i] = nil
	}
	n.Outputs = n.Outputs[:1]
}

// without returns the attributes but some.
func without(a op.Attrs, names ...string) op.Attrs {
	out := make(op.Attrs)
	for k, v := range a {
		out[k] = v
	}
	for _, name := range names {
		delete(out, name)
	}
	return out
}

// activate ends n with its activation function on x.
func (e *expander) activate(n *graph.Node, name string, params []float32, x *graph.Value) error {
	param := func(i int, def float32) float32 {
		if i < len(params) {
			return params[i]
		}
		return def
	}
	switch name {
	case "":
		become(n, "Identity", nil, x)
	case "Relu", "Tanh", "Sigmoid":
		become(n, name, nil, x)
	case "LeakyRelu":
		become(n, name, op.Attrs{"alpha": param(0, 0.01)}, x)
	case "HardSigmoid":
		become(n, name, op.Attrs{"alpha": param(0, 0.2), "beta": param(1, 0.5)}, x)
	case "Clip":
		low := e.node(n, "Max", nil, x, e.number(n, param(0, -math.MaxFloat32)))
		become(n, "Min", nil, low, e.number(n, param(1, math.MaxFloat32)))
	default:
		return fmt.Errorf("the activation %q of ONNX Runtime's optimizer is %w: use the file from before it ran", name, ErrUnsupported)
	}
	return nil
}

// expandFusedConv: activation(Conv(X, W, B) + Z).
func expandFusedConv(e *expander, n *graph.Node) error {
	y := e.node(n, "Conv", without(n.Attrs, "activation", "activation_params"), n.Inputs[:min(3, len(n.Inputs))]...)
	if z := n.In(3); z != nil {
		y = e.node(n, "Add", nil, y, z)
	}
	params, _ := n.Attrs["activation_params"].([]float32)
	return e.activate(n, n.Attrs.String("activation", ""), params, y)
}

func expandFusedGemm(e *expander, n *graph.Node) error {
	y := e.node(n, "Gemm", without(n.Attrs, "activation", "activation_alpha", "activation_beta", "activation_gamma"), n.Inputs...)
	params := []float32{n.Attrs.Float("activation_alpha", 0.01), n.Attrs.Float("activation_beta", 0.5)}
	return e.activate(n, n.Attrs.String("activation", ""), params, y)
}

// expandFusedMatMul: alpha * A' B', with the last two axes of an operand exchanged or not.
func expandFusedMatMul(e *expander, n *graph.Node) error {
	if n.Attrs.Int("transBatchA", 0) != 0 || n.Attrs.Int("transBatchB", 0) != 0 {
		return fmt.Errorf("a product over moved batch axes is %w: use the file from before ONNX Runtime's optimizer ran", ErrUnsupported)
	}
	in := make([]*graph.Value, 2)
	for i, name := range []string{"transA", "transB"} {
		in[i] = n.In(i)
		if n.Attrs.Int(name, 0) == 0 || in[i] == nil {
			continue
		}
		if !in[i].Type.Known || len(in[i].Type.Shape) < 2 {
			_ = graph.Infer(e.g) // what fails shows where it is run
		}
		rank := len(in[i].Type.Shape)
		if rank < 2 {
			return fmt.Errorf("an operand of a rank that is not known before it runs is %w: use the file from before ONNX Runtime's optimizer ran", ErrUnsupported)
		}
		perm := make([]int64, rank)
		for k := range perm {
			perm[k] = int64(k)
		}
		perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
		t := in[i].Type
		in[i] = e.node(n, "Transpose", op.Attrs{"perm": perm}, in[i])
		in[i].Type = op.Type{DType: t.DType}
	}
	alpha := n.Attrs.Float("alpha", 1)
	if alpha == 1 {
		become(n, "MatMul", nil, in...)
		return nil
	}
	become(n, "Mul", nil, e.node(n, "MatMul", nil, in...), e.number(n, alpha))
	return nil
}

// gelu ends n with x/2 * (1 + erf(x/sqrt(2))).
func (e *expander) gelu(n *graph.Node, x *graph.Value) {
	erf := e.node(n, "Erf", nil, e.node(n, "Div", nil, x, e.number(n, math.Sqrt2)))
	gate := e.node(n, "Add", nil, erf, e.number(n, 1))
	become(n, "Mul", nil, e.node(n, "Mul", nil, x, gate), e.number(n, 0.5))
}

func expandBiasGelu(e *expander, n *graph.Node) error {
	e.gelu(n, e.node(n, "Add", nil, n.In(0), n.In(1)))
	return nil
}

// expandFastGelu: x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), of x + bias if there is one.
func expandFastGelu(e *expander, n *graph.Node) error {
	x := n.In(0)
	if bias := n.In(1); bias != nil {
		x = e.node(n, "Add", nil, x, bias)
	}
	cube := e.node(n, "Mul", nil, e.node(n, "Pow", nil, x, e.number(n, 3)), e.number(n, 0.044715))
	tanh := e.node(n, "Tanh", nil, e.node(n, "Mul", nil, e.node(n, "Add", nil, x, cube), e.number(n, 0.7978845608)))
	gate := e.node(n, "Add", nil, tanh, e.number(n, 1))
	become(n, "Mul", nil, e.node(n, "Mul", nil, x, gate), e.number(n, 0.5))
	return nil
}

// expandQuickGelu: x * sigmoid(alpha*x).
func expandQuickGelu(e *expander, n *graph.Node) error {
	x := n.In(0)
	become(n, "Mul", nil, x, e.node(n, "Sigmoid", nil, e.node(n, "Mul", nil, x, e.number(n, n.Attrs.Float("alpha", 1.702)))))
	return nil
}

// expandSkipNorm: LayerNormalization(input + skip + bias) with scale and shift, and the sum as output 3.
func expandSkipNorm(e *expander, n *graph.Node) error {
	if len(n.Outputs) > 1 && n.Outputs[1] != nil || len(n.Outputs) > 2 && n.Outputs[2] != nil {
		return fmt.Errorf("the mean or deviation of a SkipLayerNormalization as an output is %w: use the file from before ONNX Runtime's optimizer ran", ErrUnsupported)
	}
	sum := e.node(n, "Add", nil, n.In(0), n.In(1))
	if bias := n.In(4); bias != nil {
		sum = e.node(n, "Add", nil, sum, bias)
	}
	if len(n.Outputs) > 3 && n.Outputs[3] != nil { // the value that others read becomes that of this node
		last := sum.Node
		n.Outputs[3].Node, last.Outputs = last, []*graph.Value{n.Outputs[3]}
		sum = n.Outputs[3]
	}
	e.layerNorm(n, sum, n.In(2), n.In(3), n.Attrs.Float("epsilon", 1e-12))
	return nil
}

// layerNorm ends n with a LayerNormalization over the last axis, in its parts before operator set 17 had it.
func (e *expander) layerNorm(n *graph.Node, x, scale, shift *graph.Value, epsilon float32) {
	if e.g.Opset[""] >= 17 {
		in := []*graph.Value{x, scale}
		if shift != nil {
			in = append(in, shift)
		}
		become(n, "LayerNormalization", op.Attrs{"axis": int64(-1), "epsilon": epsilon}, in...)
		return
	}
	mean := func(v *graph.Value) *graph.Value {
		return e.node(n, "ReduceMean", op.Attrs{"axes": []int64{-1}}, v)
	}
	d := e.node(n, "Sub", nil, x, mean(x))
	deviation := e.node(n, "Sqrt", nil, e.node(n, "Add", nil, mean(e.node(n, "Mul", nil, d, d)), e.number(n, epsilon)))
	y := e.node(n, "Div", nil, d, deviation)
	if shift == nil {
		become(n, "Mul", nil, y, scale)
		return
	}
	become(n, "Add", nil, e.node(n, "Mul", nil, y, scale), shift)
}
