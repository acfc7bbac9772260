package graph

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// FoldBatchNorm multiplies a BatchNormalization, or a Mul or Add of one
// constant for each channel, into the Conv, ConvTranspose or Gemm before it,
// if nothing else reads that one's result. Sums are in float64 and rounded
// once. A BatchNormalization behind anything else stays.
func FoldBatchNorm(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	for _, n := range g.Nodes {
		x, scale, shift := channelAffine(n)
		if x == nil || x.Node == nil || len(uses[x]) != 1 || g.IsOutput(x) || len(x.Node.Outputs) != 1 {
			continue
		}
		affine := x.Node
		w := newAffine(affine)
		if w == nil || len(scale) != 1 && len(scale) != w.channels {
			continue
		}
		w.apply(spread(scale, w.channels), spread(shift, w.channels))
		folded := &Node{Name: affine.Name, Op: affine.Op, Attrs: affine.Attrs, Outputs: n.Outputs[:1],
			Inputs: []*Value{affine.Inputs[0], w.weightValue(g), w.biasValue(g)}}
		if affine.Op == "Gemm" {
			folded.Attrs = cloneAttrs(affine.Attrs)
			delete(folded.Attrs, "beta") // in the bias now
		}
		*n = *folded
		count++
	}
	return count, g.Sort()
}

// spread repeats a single number for all channels.
func spread(v []float64, channels int) []float64 {
	if len(v) == 1 {
		return slices.Repeat(v, channels)
	}
	return v
}

// channelAffine recognises y = scale*x + shift with constants for each channel
// (or one for all); x is nil if n is nothing of the kind.
func channelAffine(n *Node) (x *Value, scale, shift []float64) {
	if n.Domain != "" || len(n.Inputs) == 0 || len(n.Outputs) == 0 {
		return nil, nil, nil
	}
	switch n.Op {
	case "BatchNormalization":
		scale, shift = batchNormAffine(n)
		if scale == nil {
			return nil, nil, nil
		}
		return n.Inputs[0], scale, shift
	case "Mul", "Add", "Sub", "Div":
		return constantAffine(n)
	}
	return nil, nil, nil
}

// vanishing is the variance plus epsilon under which a channel counts as
// constant: dividing by its root would blow up what is only rounding noise.
const vanishing = 1e-12

// batchNormAffine returns the scale and shift of a BatchNormalization, nil if
// they are not constant.
func batchNormAffine(n *Node) (scale, shift []float64) {
	if len(n.Inputs) != 5 || n.Attrs.Int("training_mode", 0) != 0 || n.Attrs.Int("spatial", 1) != 1 || n.Attrs.Int("is_test", 1) != 1 {
		return nil, nil
	}
	for _, v := range n.Outputs[1:] {
		if v != nil {
			return nil, nil
		}
	}
	var p [4][]float64 // scale, bias, mean, variance
	for i := range p {
		v := n.Inputs[1+i]
		if !v.IsConst() || v.Const.DType() != tensor.Float32 || v.Const.Len() != n.Inputs[1].Const.Len() {
			return nil, nil
		}
		p[i] = v.Const.Float64s()
	}
	eps := float64(n.Attrs.Float("epsilon", 1e-5))
	scale, shift = make([]float64, len(p[0])), make([]float64, len(p[0]))
	for c := range scale {
		if variance := p[3][c] + eps; variance >= vanishing || math.IsNaN(variance) {
			scale[c] = p[0][c] / math.Sqrt(variance)
		}
		shift[c] = p[1][c] - float64(p[2][c]*scale[c])
	}
	return scale, shift
}

// constantAffine recognises arithmetic with a constant for each channel, whose
// shape is [C,1,1] for a picture or [C] for a matrix.
func constantAffine(n *Node) (x *Value, scale, shift []float64) {
	if len(n.Inputs) != 2 {
		return nil, nil, nil
	}
	at := slices.IndexFunc(n.Inputs, (*Value).IsConst)
	if at < 0 || n.Inputs[1-at] == nil || n.Inputs[1-at].IsConst() || at == 0 && (n.Op == "Div" || n.Op == "Sub") {
		return nil, nil, nil
	}
	x = n.Inputs[1-at]
	k := n.Inputs[at].Const
	if k.DType() != tensor.Float32 || !x.Type.Known || !perChannel(k.Shape(), x.Type.Shape) {
		return nil, nil, nil
	}
	v := k.Float64s()
	switch n.Op {
	case "Mul":
		return x, v, []float64{0}
	case "Add":
		return x, []float64{1}, v
	case "Sub":
		return x, []float64{1}, each(v, func(f float64) float64 { return -f })
	}
	if slices.Contains(v, 0) {
		return nil, nil, nil
	}
	return x, each(v, func(f float64) float64 { return 1 / f }), []float64{0}
}

// perChannel reports whether a constant of this shape, broadcast to x, differs
// along axis 1 at most, and does not make x larger.
func perChannel(shape, x []int) bool {
	if len(x) < 2 || len(shape) > len(x) {
		return false
	}
	lead := len(x) - len(shape)
	for i, d := range shape {
		if axis := lead + i; d != 1 && (axis != 1 || d != x[1]) {
			return false
		}
	}
	return true
}

func each(v []float64, f func(float64) float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	return out
}
