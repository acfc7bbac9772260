package graph

import (
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// FuseLayerNorm makes one LayerNormalization of its parts, as exporters write
// them for operator sets before 17: d = x - mean(x), d/sqrt(mean(d^2) + eps),
// times a scale, plus a bias, over the last axis. Rounded to integers the
// parts would lose the network's accuracy. The writer sees to the operator set.
func FuseLayerNorm(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	for _, n := range g.Nodes {
		x, eps := normalized(n)
		if x == nil || x.Type.DType != tensor.Float32 {
			continue
		}
		width := x.Type.Shape[len(x.Type.Shape)-1]
		last := n
		scale, bias := onePerElement(width), (*Value)(nil)
		if next, k := scaledBy(g, last, "Mul", width, uses); next != nil {
			last, scale = next, k
		}
		if next, k := scaledBy(g, last, "Add", width, uses); next != nil {
			last, bias = next, k
		}
		inputs := []*Value{x, NewConst(g.Unique(last.Outputs[0].Name+"_scale"), scale.Const)}
		if bias != nil {
			inputs = append(inputs, NewConst(g.Unique(last.Outputs[0].Name+"_bias"), bias.Const))
		}
		*last = Node{Name: last.Name, Op: "LayerNormalization", Inputs: inputs, Outputs: last.Outputs,
			Attrs: op.Attrs{"axis": int64(-1), "epsilon": float32(eps)}}
		count++
	}
	return count, g.Sort()
}

// normalized recognises d/sqrt(mean(d^2) + eps) with d = x - mean(x) over a
// last axis of known length; x is nil if n is something else.
func normalized(n *Node) (x *Value, eps float64) {
	if n.Op != "Div" || n.Domain != "" || len(n.Inputs) != 2 {
		return nil, 0
	}
	d := producer(n.Inputs[0], "Sub")
	root := producer(n.Inputs[1], "Sqrt")
	if d == nil || root == nil || len(d.Inputs) != 2 || d.Inputs[0] == nil {
		return nil, 0
	}
	x = d.Inputs[0]
	if t := x.Type; !t.Known || len(t.Shape) < 2 || t.Shape[len(t.Shape)-1] < 1 || !isMeanOf(d.Inputs[1], x) {
		return nil, 0
	}
	sum := producer(root.In(0), "Add")
	if sum == nil || len(sum.Inputs) != 2 {
		return nil, 0
	}
	for i, v := range sum.Inputs {
		eps, ok := number(v)
		mean := producer(sum.Inputs[1-i], "ReduceMean")
		if ok && eps >= 0 && mean != nil && isSquareOf(mean.In(0), d) && isMeanOf(sum.Inputs[1-i], mean.In(0)) {
			return x, eps
		}
	}
	return nil, 0
}

// isMeanOf recognises the mean of x over its last axis, which is kept.
func isMeanOf(v, x *Value) bool {
	n := producer(v, "ReduceMean")
	if n == nil || n.In(0) != x || !x.Type.Known || n.Attrs.Int("keepdims", 1) != 1 {
		return false
	}
	axes := n.Attrs.Ints("axes")
	if a := n.In(1); a != nil {
		if !a.IsConst() || a.Const.DType() != tensor.Int64 {
			return false
		}
		axes = a.Const.Ints()
	}
	return len(axes) == 1 && (axes[0] == -1 || axes[0] == len(x.Type.Shape)-1)
}

// isSquareOf recognises the square of the difference d, or of another node
// that computes the same.
func isSquareOf(v *Value, d *Node) bool {
	same := func(v *Value) bool {
		s := producer(v, "Sub")
		return s == d || s != nil && len(s.Inputs) == 2 && s.Inputs[0] == d.Inputs[0] && isMeanOf(s.Inputs[1], d.Inputs[0])
	}
	if n := producer(v, "Pow"); n != nil && len(n.Inputs) == 2 {
		k, ok := number(n.Inputs[1])
		return ok && k == 2 && same(n.Inputs[0])
	}
	n := producer(v, "Mul")
	return n != nil && len(n.Inputs) == 2 && n.Inputs[0] == n.Inputs[1] && same(n.Inputs[0])
}

// scaledBy returns the one reader of n's result if it is the operator with a
// constant for each element of the last axis, and that constant as a list.
func scaledBy(g *Graph, n *Node, operator string, width int, uses map[*Value][]*Node) (*Node, *Value) {
	y := n.Outputs[0]
	if len(uses[y]) != 1 || g.IsOutput(y) {
		return nil, nil
	}
	next := uses[y][0]
	if next.Op != operator || next.Domain != "" || len(next.Inputs) != 2 {
		return nil, nil
	}
	for _, k := range next.Inputs {
		if !k.IsConst() || k.Const.DType() != tensor.Float32 || k.Const.Len() != width || k.Const.Rank() < 1 ||
			k.Const.Shape()[k.Const.Rank()-1] != width || k.Const.Rank() > len(n.Inputs[0].Type.Shape) {
			continue
		}
		flat, err := k.Const.Reshape(width)
		if err == nil {
			return next, NewConst(k.Name, flat)
		}
	}
	return nil, nil
}

func onePerElement(width int) *Value {
	ones := make([]float32, width)
	for i := range ones {
		ones[i] = 1
	}
	return NewConst("", tensor.From(ones, width))
}
