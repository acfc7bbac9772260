package ptq

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// positions returns at how many places of one picture a convolution is looked at: more where that
// takes little.
func (p *patches) positions() int {
	return min(max(workPerInput/(p.groups*p.row*(p.row+64)), 16), 64)
}

// workPerInput is how much work the matrix of one node may be for one picture, if that suffices for 16 places: products, and
// 64 times as much for an element that is copied as for a product.
const workPerInput = 2 << 20

// patches says how the inputs of an affine node are laid out: which elements meet the
// weights of one output channel.
type patches struct {
	groups, row      int   // groups of channels, and elements for each output of a group
	kernel           []int // spatial sizes; empty for matrices
	stride, dilation []int
	pads             []int
}

// patchesOf returns the layout of the node's inputs, nil for a node that is not known.
func patchesOf(n *graph.Node) *patches {
	w := n.Inputs[1].Node.Inputs[0].Const.Shape()
	axis := channelAxis(n, n.Inputs[1].Node.Inputs[0].Const)
	switch channels := traitsOf(n).Channels; {
	case channels == -1:
		if len(w) != 2 {
			return nil
		}
		return &patches{groups: 1, row: w[1-axis]}
	case channels == 1 && axis == 0:
		return convolutionPatches(n, w)
	}
	return nil
}

// convolutionPatches returns the layout for weights of that shape, nil where the padding is not written out.
func convolutionPatches(n *graph.Node, w []int) *patches {
	if pad := n.Attrs.String("auto_pad", "NOTSET"); pad != "NOTSET" && pad != "VALID" {
		return nil
	}
	p := &patches{groups: n.Attrs.Int("group", 1), row: tensor.Volume(w[1:]), kernel: w[2:]}
	p.stride = orDefault(n.Attrs.Ints("strides"), len(p.kernel), 1)
	p.dilation = orDefault(n.Attrs.Ints("dilations"), len(p.kernel), 1)
	p.pads = orDefault(n.Attrs.Ints("pads"), 2*len(p.kernel), 0)
	return p
}

func orDefault(v []int, n, def int) []int {
	if len(v) == n {
		return v
	}
	v = make([]int, n)
	for i := range v {
		v[i] = def
	}
	return v
}

// each calls f with the elements that the weights of all groups meet, group after
// group, at some places of every sample of t: always the same ones, spread evenly, others for
// every sample. first is the number of the first one.
func (p *patches) each(t *tensor.Tensor, first int, f func(x []float32)) {
	data, shape := t.F32(), t.Shape()
	if len(p.kernel) == 0 {
		for at := 0; at+p.row <= len(data); at += p.row {
			f(data[at : at+p.row])
		}
		return
	}
	space := shape[2:]
	places := 1
	out := make([]int, len(space))
	for i, d := range space {
		out[i] = (d+p.pads[i]+p.pads[i+len(space)]-p.dilation[i]*(p.kernel[i]-1)-1)/p.stride[i] + 1
		places *= max(out[i], 0)
	}
	x := make([]float32, p.groups*p.row)
	window := make([]int, tensor.Volume(p.kernel))
	perSample := tensor.Volume(shape[1:])
	take := min(places, p.positions())
	for s := range shape[0] {
		for k := range take {
			place := (k*places + (first+s)*7919%places) / take % places
			p.window(window, space, out, place)
			gather(x, data[s*perSample:(s+1)*perSample], tensor.Volume(space), window)
			f(x)
		}
	}
}

// window finds where in a channel the elements around one place are, -1 for those
// beyond the border.
func (p *patches) window(at, space, out []int, place int) {
	for tap := range at {
		stride, inside := 1, true
		at[tap] = 0
		t, rest := tap, place
		for i := len(space) - 1; i >= 0; i-- {
			pos := rest%out[i]*p.stride[i] - p.pads[i] + t%p.kernel[i]*p.dilation[i]
			rest, t = rest/out[i], t/p.kernel[i]
			inside = inside && pos >= 0 && pos < space[i]
			at[tap] += pos * stride
			stride *= space[i]
		}
		if !inside {
			at[tap] = -1
		}
	}
}

// gather copies the window of every channel, zeros beyond the border.
func gather(x, sample []float32, size int, window []int) {
	for tap, at := range window {
		for c := tap; c < len(x); c += len(window) {
			x[c] = 0
			if at >= 0 {
				x[c] = sample[at]
				at += size
			}
		}
	}
}
