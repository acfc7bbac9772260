package ptq

import (
	"math"
	"strings"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/mapped"
	"github.com/narrow-ml/narrow/tensor"
)

// traitsOf returns what the operator table says of n, for which the constants behind
// scaling nodes are constants.
func traitsOf(n *graph.Node) op.Traits {
	return n.TraitsWith(func(v *graph.Value) *tensor.Tensor {
		if !v.IsConst() && constant(v) {
			return v.Node.Inputs[0].Const
		}
		return v.Const
	})
}

// kindOf returns how a node with the given traits takes part in a quantized network, and for
// one that is computed in float the reason.
func kindOf(g *graph.Graph, n *graph.Node, t *op.Traits) (op.Flow, Reason) {
	switch {
	case t.Integer == op.OnIntegers:
	case t.Why != "":
		return op.FloatOnly, Reason{OperatorSays, t.Why}
	default:
		return op.FloatOnly, Reason{Code: NoIntegerForm}
	}
	if reason := inputReason(n, t); reason.Code != OnIntegers {
		return op.FloatOnly, reason
	}
	switch {
	case t.FloatAtEnd && g.IsOutput(n.Outputs[0]):
		return op.FloatOnly, Reason{FloatAtEnd, strings.ToLower(n.Op)}
	case t.Flow != op.Affine:
		return t.Flow, Reason{}
	case !constant(n.In(1)):
		return op.FloatOnly, Reason{Code: FreeWeights}
	case constant(n.In(0)):
		return op.FloatOnly, Reason{Code: ConstantResult}
	case n.In(2) != nil && !constant(n.In(2)):
		return op.FloatOnly, Reason{Code: FreeBias}
	}
	return op.Affine, Reason{}
}

// constant reports whether v is a constant, or one behind a scaling node.
func constant(v *graph.Value) bool {
	return v.IsConst() || v != nil && scalingOf(v.Node) != nil && isWeight(v.Node)
}

// inputReason returns why the node's activations cannot be integers, the zero value if they can.
func inputReason(n *graph.Node, t *op.Traits) Reason {
	for i, v := range n.Inputs {
		if r := t.Role(i); v == nil || r != op.Data && r != op.Weights && r != op.Bias {
			continue
		}
		if d := v.Type.DType; d != tensor.Float32 && d != tensor.Undefined {
			return Reason{OtherType, d.String()}
		}
		if v.IsConst() && !finite(v.Const) {
			return Reason{InfiniteConstant, v.Name}
		}
	}
	return Reason{}
}

func finite(t *tensor.Tensor) bool {
	if t.DType() != tensor.Float32 {
		return true
	}
	lo, hi, nan := asm.MinMaxF32(t.F32())
	mapped.Release(t.Bytes())
	return nan == 0 && !math.IsInf(float64(lo), 0) && !math.IsInf(float64(hi), 0)
}

// isActivation reports whether input i of a node is a tensor whose values are
// quantized as activations: computed, or a constant operand of a join.
func isActivation(n *graph.Node, t *op.Traits, i int) bool {
	return n.In(i) != nil && t.Role(i) == op.Data
}

// isActivationFunction reports whether n is a Relu or a Clip with constant
// bounds: computed by clamping, which the node before it does for free.
func isActivationFunction(n *graph.Node) bool {
	_, _, ok := n.Clamp()
	return ok
}
