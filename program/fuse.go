package program

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

var inf = float32(math.Inf(1))

// tail is what follows a Conv, Gemm or MatMul and can be computed while its
// sums are still in registers.
type tail struct {
	out      *graph.Value // the value that comes out at the end
	nodes    []*graph.Node
	bias     []float32    // added to every channel; nil for none
	residual *graph.Value // added to every element; nil for none
	lo, hi   float32      // the clamp
}

// follow collects the tail of v, a value of the given number of channels
// along axis: + bias, + residual, then Relu or Clip, each at most once, as long as nobody
// else needs what lies between. bias and residual say which are possible.
func (b *builder) follow(v *graph.Value, channels, axis int, bias, residual bool) tail {
	t := tail{out: v, lo: -inf, hi: inf}
	for {
		n := b.single(t.out)
		if n == nil || b.done[n] || n.Domain != "" {
			return t
		}
		switch {
		case n.Op == "Add" && bias && t.bias == nil && t.residual == nil && b.channelConst(n, t.out, channels, axis) != nil:
			t.bias = b.channelConst(n, t.out, channels, axis)
		case n.Op == "Add" && residual && t.residual == nil && b.addend(n, t.out) != nil:
			t.residual = b.addend(n, t.out)
		default:
			lo, hi, ok := b.clamp(n)
			if !ok {
				return t
			}
			t.lo, t.hi = lo, hi
			t.take(n)
			return t
		}
		t.take(n)
	}
}

func (t *tail) take(n *graph.Node) {
	t.nodes = append(t.nodes, n)
	t.out = n.Outputs[0]
}

// claim marks the tail's nodes as done.
func (b *builder) claim(t tail) {
	for _, n := range t.nodes {
		b.done[n] = true
	}
}

// other returns the operand of a node of two that is not v.
func other(n *graph.Node, v *graph.Value) *graph.Value {
	if len(n.Inputs) != 2 {
		return nil
	}
	if n.Inputs[0] == v {
		return n.Inputs[1]
	}
	return n.Inputs[0]
}

// channelConst returns the constant operand of a node whose other one is v, if
// it has one number for each channel along axis, or for all of them; else nil.
func (b *builder) channelConst(n *graph.Node, v *graph.Value, channels, axis int) []float32 {
	o := other(n, v)
	if o == nil || !b.isConst(o) || !slices.Equal(b.shape(n.Outputs[0]), b.shape(v)) {
		return nil
	}
	return b.perChannel(o, b.rank(v), channels, axis)
}

// perChannel returns the elements of constant o, which broadcasts against a
// value of some rank, if they depend on nothing but the index along axis.
func (b *builder) perChannel(o *graph.Value, rank, channels, axis int) []float32 {
	shape := b.shape(o)
	if len(shape) > rank || b.typeOf(o).DType != tensor.Float32 {
		return nil
	}
	size := 1
	for i, d := range shape {
		if d != 1 && (rank-len(shape)+i != axis || d != channels) {
			return nil
		}
		size *= d
	}
	data := b.floats(o)
	if len(data) != size || size == 0 {
		return nil
	}
	if size == 1 && channels != 1 {
		return slices.Repeat(data, channels)
	}
	return data
}

// addend returns the operand of an Add that is not v, if it is a tensor of the
// same shape that can be had before v. Its nodes are lowered here: nothing of
// what they compute can depend on v, which only this Add reads.
func (b *builder) addend(n *graph.Node, v *graph.Value) *graph.Value {
	o := other(n, v)
	if o == nil || o == v || b.isConst(o) || !b.fits(o) || !slices.Equal(b.shape(o), b.shape(v)) {
		return nil
	}
	if o.Node != nil && !b.done[o.Node] {
		why := b.why
		if b.lower(o.Node) != nil {
			return nil
		}
		b.why = why
	}
	if !b.available(o) { // it is being lowered right now: its step comes after
		return nil
	}
	return o
}

// available reports whether a step has been added that makes v.
func (b *builder) available(v *graph.Value) bool {
	val := b.values[v]
	return val != nil && (!val.empty() || val.quant != nil && !val.quant.empty())
}

// clamp returns the bounds of a Relu or of a Clip with constant bounds.
func (b *builder) clamp(n *graph.Node) (lo, hi float32, ok bool) {
	switch n.Op {
	case "Relu":
		return 0, inf, true
	case "Clip":
		lo, hi = n.Attrs.Float("min", -inf), n.Attrs.Float("max", inf)
		for i, p := range []*float32{&lo, &hi} {
			v := n.In(i + 1)
			if v == nil {
				continue
			}
			x := b.floats(v)
			if len(x) != 1 {
				return 0, 0, false
			}
			*p = x[0]
		}
		return lo, hi, lo <= hi
	}
	return 0, 0, false
}
