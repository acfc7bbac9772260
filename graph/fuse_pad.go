package graph

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// FusePad moves a Pad with zeros into the convolution that reads it, or the
// pool where that means the same.
func FusePad(g *Graph) (int, error) {
	count := 0
	uses := g.Uses()
	for _, n := range g.Nodes {
		if n.Domain != "" || len(n.Inputs) == 0 || n.Inputs[0] == nil || n.Inputs[0].Node == nil {
			continue
		}
		pad := n.Inputs[0].Node
		if pad.Op != "Pad" || pad.Domain != "" || len(uses[n.Inputs[0]]) != 1 || g.IsOutput(n.Inputs[0]) {
			continue
		}
		extra, ok := spatialZeros(pad)
		if !ok || !takesPad(n, pad, extra) {
			continue
		}
		pads := n.Attrs.Ints("pads")
		sum := make([]int64, len(extra))
		for i := range extra {
			sum[i] = int64(extra[i])
			if pads != nil {
				sum[i] += int64(pads[i])
			}
		}
		n.Attrs = cloneAttrs(n.Attrs)
		n.Attrs["pads"] = sum
		if n.Op == "AveragePool" {
			n.Attrs["count_include_pad"] = int64(1)
		}
		n.Inputs = slices.Clone(n.Inputs)
		n.Inputs[0] = pad.Inputs[0]
		count++
	}
	return count, g.Sort()
}

// takesPad reports whether n, reading pad, can pad by extra itself.
func takesPad(n, pad *Node, extra []int) bool {
	auto := n.Attrs.String("auto_pad", "NOTSET")
	pads := n.Attrs.Ints("pads")
	if auto != "NOTSET" && auto != "" && auto != "VALID" || auto == "VALID" && pads != nil || pads != nil && len(pads) != len(extra) {
		return false
	}
	if auto == "VALID" {
		return false
	}
	kernel := n.Attrs.Ints("kernel_shape")
	switch n.Op {
	case "Conv":
		return true
	case "MaxPool":
		// A pool pads with minus infinity, which zeros equal where the values
		// are not negative, unless a window holds nothing else.
		return len(n.Outputs) == 1 && n.Attrs.Int("ceil_mode", 0) == 0 &&
			notNegative(pad.Inputs[0]) && narrower(extra, pads, kernel)
	case "AveragePool":
		// A pool's own padding is not counted unless asked for, the Pad's is.
		own := slices.ContainsFunc(pads, func(p int) bool { return p != 0 })
		return n.Attrs.Int("ceil_mode", 0) == 0 && (!own || n.Attrs.Int("count_include_pad", 0) == 1) && narrower(extra, pads, kernel)
	}
	return false
}

// narrower reports whether all padding is narrower than the kernel, as a
// pool's must be.
func narrower(extra, pads, kernel []int) bool {
	for i, p := range extra {
		if pads != nil {
			p += pads[i]
		}
		if len(kernel) == 0 || p >= kernel[i%len(kernel)] {
			return false
		}
	}
	return true
}

// notNegative reports whether v cannot be below zero.
func notNegative(v *Value) bool {
	if v.Node == nil {
		return false
	}
	t := v.Node.Traits()
	return t.NeverNegative()
}

// spatialZeros returns what a Pad adds to the spatial axes, befores then
// afters, if it adds zeros and to no other axis.
func spatialZeros(pad *Node) ([]int, bool) {
	if pad.Attrs.String("mode", "constant") != "constant" || pad.In(0) == nil {
		return nil, false
	}
	value := float64(pad.Attrs.Float("value", 0))
	if v := pad.In(2); v != nil {
		if !v.IsConst() || v.Const.Len() != 1 || v.Const.DType() == tensor.String {
			return nil, false
		}
		value = v.Const.Float64s()[0]
	}
	pads, ok := padsOf(pad)
	rank := len(pads) / 2
	if !ok || value != 0 || rank < 3 || slices.ContainsFunc(pads, func(p int) bool { return p < 0 }) {
		return nil, false
	}
	if pads[0]|pads[1]|pads[rank]|pads[rank+1] != 0 {
		return nil, false
	}
	return slices.Concat(pads[2:rank], pads[rank+2:]), true
}

// padsOf returns the amounts of a Pad for every axis, befores then afters;
// false if they are not constant.
func padsOf(n *Node) ([]int, bool) {
	for _, name := range []string{"pads", "paddings"} {
		if n.Attrs.Has(name) {
			return n.Attrs.Ints(name), true
		}
	}
	if p := n.In(1); !p.IsConst() || p.Const.DType() != tensor.Int64 {
		return nil, false
	}
	pads := n.In(1).Const.Ints()
	if n.In(3) == nil {
		return pads, true
	}
	rank := len(n.In(0).Type.Shape)
	if !n.In(3).IsConst() || !n.In(0).Type.Known {
		return nil, false
	}
	axes := n.In(3).Const.Ints()
	if len(pads) != 2*len(axes) {
		return nil, false
	}
	all := make([]int, 2*rank)
	for i, a := range axes {
		if a < 0 {
			a += rank
		}
		if a < 0 || a >= rank {
			return nil, false
		}
		all[a], all[rank+a] = pads[i], pads[len(axes)+i]
	}
	return all, true
}
