package ptq

import (
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// positions returns at how many places of one picture a convolution is looked at: more where that
// takes little.
func (p *patches) positions() int {
	return min(max(workPerInput/(p.groups*p.row*(p.row+64)), 16), 64)
}

// places returns how many places of a matrix to look at, from all inputs: more where that takes little.
func (p *patches) places() int {
	return min(max(int(workPerMatrix/float64(p.row*(p.row+64))), 1024), 8192)
}

// workPerMatrix is how much work the matrix of one node may be, if that suffices for 1024 places.
const workPerMatrix = 6 << 30

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
// every sample; of a matrix at all rows. first is the number of the first one.
func (p *patches) each(t *tensor.Tensor, first int, f func(x []float32)) {
	p.pick(engine.Whole(t), first, t.Len(), new(pickBuffers), f)
}

// pickBuffers is memory that calls of pick can share.
type pickBuffers struct {
	plain, x []float32
	window   []int
}

// pick is each for a part of a value, of whose rows it takes at most so many if it is a matrix.
func (p *patches) pick(part *engine.Sample, first, rows int, b *pickBuffers, f func(x []float32)) {
	shape := part.Shape
	if len(p.kernel) == 0 {
		data := part.Plain(&b.plain)
		all := len(data) / p.row
		rows = min(rows, all)
		for k := range rows {
			at := (k*all + first*7919%all) / rows % all * p.row
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
	taps := tensor.Volume(p.kernel)
	b.x, b.window = grown(b.x, shape[1]*taps), grown(b.window, taps)
	take := min(places, p.positions())
	for s := range shape[0] {
		for k := range take {
			place := (k*places + (first+s)*7919%places) / take % places
			p.window(b.window, space, out, place)
			for tap, at := range b.window {
				if at < 0 {
					for c := tap; c < len(b.x); c += taps {
						b.x[c] = 0
					}
					continue
				}
				part.Channels(b.x[tap:], s, at, taps)
			}
			f(b.x)
		}
	}
}

// grown returns a slice of n elements, x if it is long enough.
func grown[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
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
