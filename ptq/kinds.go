package ptq

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// kind says how an operator takes part in a quantized network.
type kind int

const (
	inFloat   kind = iota // computed in float
	affine                // Conv, ConvTranspose, Gemm, MatMul with constant weights
	product               // MatMul of two activations
	join                  // Add, Sub, Mul: several activations, each with its own scale
	concat                // several activations and an output that share one scale
	moving                // moves or selects values: the output keeps the input's scale
	rescaling             // one activation in, one out, each with its own scale
	bounded               // like rescaling, the output's range being known: [0,1] or [-1,1]
)

// kinds has every operator that can be computed on integers.
var kinds = map[string]kind{
	"Conv": affine, "ConvTranspose": affine, "Gemm": affine, "MatMul": affine,
	"Add": join, "Sub": join, "Mul": join,
	"Concat": concat,

	"MaxPool": moving, "Reshape": moving, "Flatten": moving, "Transpose": moving, "Squeeze": moving, "Unsqueeze": moving,
	"Slice": moving, "Split": moving, "Gather": moving, "Pad": moving, "Resize": moving, "Upsample": moving,
	"DepthToSpace": moving, "SpaceToDepth": moving, "Expand": moving, "Tile": moving, "GlobalMaxPool": moving,

	"AveragePool": rescaling, "GlobalAveragePool": rescaling, "Relu": rescaling, "Clip": rescaling, "LeakyRelu": rescaling,
	"HardSwish": rescaling,

	"Sigmoid": bounded, "HardSigmoid": bounded, "Softmax": bounded, "Tanh": bounded,
}

// boundedRange returns the range of the outputs of a bounded operator.
func boundedRange(operator string) (lo, hi float64) {
	if operator == "Tanh" {
		return -1, 1
	}
	return 0, 1
}

// kindOf returns how a node takes part, and for one that is computed in float
// the reason.
func kindOf(g *graph.Graph, n *graph.Node) (kind, string) {
	k, ok := kinds[n.Op]
	if !ok || n.Domain != "" {
		return inFloat, "the operator has no integer form"
	}
	if reason := inputReason(n, k); reason != "" {
		return inFloat, reason
	}
	switch n.Op {
	case "MatMul":
		if !constant(n.In(1)) || constant(n.In(0)) {
			return product, ""
		}
	case "Gemm":
		if !constant(n.In(1)) || n.Attrs.Int("transA", 0) != 0 || n.Attrs.Float("alpha", 1) != 1 || n.Attrs.Float("beta", 1) != 1 {
			return inFloat, "its second operand is not constant, or it transposes or scales the operands"
		}
	case "Conv", "ConvTranspose":
		if !constant(n.In(1)) {
			return inFloat, "its weights are not constant"
		}
	case "Softmax":
		if g.IsOutput(n.Outputs[0]) {
			return inFloat, "a softmax at the end is computed in float"
		}
	case "Resize", "Upsample":
		if n.Attrs.String("mode", "nearest") != "nearest" {
			return rescaling, ""
		}
	case "Pad":
		if n.Attrs.String("mode", "constant") == "constant" && !padsZero(n) {
			return inFloat, "it pads with another value than zero"
		}
	}
	if k == affine && constant(n.In(0)) {
		return inFloat, "it computes a constant"
	}
	if b := n.In(2); k == affine && b != nil && !constant(b) {
		return inFloat, "its bias is not constant"
	}
	return k, ""
}

// constant reports whether v is a constant, or one behind a scaling node.
func constant(v *graph.Value) bool {
	return v.IsConst() || v != nil && scalingOf(v.Node) != nil && isWeight(v.Node)
}

// inputReason returns why the node's activations cannot be integers, "" if they can.
func inputReason(n *graph.Node, k kind) string {
	for i, v := range n.Inputs {
		if v == nil || !isData(n, k, i) {
			continue
		}
		if t := v.Type.DType; t != tensor.Float32 && t != tensor.Undefined {
			return fmt.Sprintf("it computes on %s", t)
		}
		if v.IsConst() && !finite(v.Const) {
			return fmt.Sprintf("its constant %q has %s", v.Name, infinities)
		}
	}
	return ""
}

// infinities ends the reason of a node that must not be quantized for its constants.
const infinities = "an infinity or a NaN"

func finite(t *tensor.Tensor) bool {
	if t.DType() != tensor.Float32 {
		return true
	}
	lo, hi, nan := asm.MinMaxF32(t.F32())
	return nan == 0 && !math.IsInf(float64(lo), 0) && !math.IsInf(float64(hi), 0)
}

// padsZero reports whether a constant Pad fills with zeros.
func padsZero(n *graph.Node) bool {
	v := n.In(2)
	if v == nil {
		return n.Attrs.Float("value", 0) == 0
	}
	if !v.IsConst() {
		return false
	}
	for _, x := range v.Const.Float64s() {
		if x != 0 {
			return false
		}
	}
	return true
}

// isData reports whether input i of a node of kind k is a tensor of values,
// not of shapes, indices or bounds.
func isData(n *graph.Node, k kind, i int) bool {
	switch k {
	case affine:
		return i < 3
	case product, join:
		return i < 2
	case concat:
		return true
	}
	return i == 0
}

// isActivation reports whether input i of a node of kind k is a tensor whose
// values are quantized as activations: computed, or a constant operand of a join.
func isActivation(n *graph.Node, k kind, i int) bool {
	if !isData(n, k, i) || n.In(i) == nil {
		return false
	}
	return k != affine || i == 0
}

// isActivationFunction reports whether n is a Relu or a Clip with constant
// bounds: computed by clamping, which the node before it does for free.
func isActivationFunction(n *graph.Node) bool {
	switch n.Op {
	case "Relu":
		return true
	case "Clip":
		return (n.In(1) == nil || n.In(1).IsConst()) && (n.In(2) == nil || n.In(2).IsConst())
	}
	return false
}

// clipBounds returns the bounds of a Relu or of a Clip, infinite where there are none.
func clipBounds(n *graph.Node) (lo, hi float64) {
	lo, hi = math.Inf(-1), math.Inf(1)
	if n.Op == "Relu" {
		return 0, hi
	}
	lo, hi = float64(n.Attrs.Float("min", float32(lo))), float64(n.Attrs.Float("max", float32(hi)))
	if v := n.In(1); v.IsConst() && v.Const.Len() == 1 {
		lo = v.Const.Float64s()[0]
	}
	if v := n.In(2); v.IsConst() && v.Const.Len() == 1 {
		hi = v.Const.Float64s()[0]
	}
	return lo, hi
}
