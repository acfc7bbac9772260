package program

import (
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// maxSumLength is the largest number of products in one sum: that many times 255*128 stay below 1<<31.
const maxSumLength = (1<<31 - 1) / (255 * 128)

// windowOf reads the attributes of a 1-D or 2-D convolution or pool; false if
// they are of another kind. in and out are its input's and output's shapes.
func windowOf(n *graph.Node, in, out, kernel []int) (Geometry, bool) {
	spatial := len(in) - 2
	if spatial < 1 || spatial > 2 || len(out) != len(in) || len(kernel) != spatial {
		return Geometry{}, false
	}
	w := Geometry{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Kernel: [2]int{1, 1}, Groups: n.Attrs.Int("group", 1)}
	copy(w.Kernel[2-spatial:], kernel)
	for name, to := range map[string][]int{"strides": w.Stride[2-spatial:], "dilations": w.Dilation[2-spatial:]} {
		if list := n.Attrs.Ints(name); list != nil {
			if len(list) != spatial || slices.Min(list) < 1 {
				return Geometry{}, false
			}
			copy(to, list)
		}
	}
	pads := w.padsOf(n, in, out)
	if slices.Min(pads) < 0 {
		return Geometry{}, false
	}
	if spatial == 1 {
		w.Pad = Sides{Left: pads[0], Right: pads[1]}
	} else {
		w.Pad = Sides{Top: pads[0], Left: pads[1], Bottom: pads[2], Right: pads[3]}
	}
	return w, w.borderFits(in[2:])
}

// maxBorder is how many times an image with its border may be larger than it is, past a small size: a file may ask
// for a border of any width, which the reference kernels need not lay out.
const maxBorder = 16

// borderFits reports whether an image of that size can lie in memory with the border around it.
func (g *Geometry) borderFits(size []int) bool {
	h, w := 1, size[len(size)-1]
	if len(size) == 2 {
		h = size[0]
	}
	all, ok := tensor.CheckedVolume([]int{h + g.Pad.Top + g.Pad.Bottom, w + g.Pad.Left + g.Pad.Right})
	return ok && all <= 1<<16+maxBorder*h*w
}

// padsOf returns the padding before each dimension, then that behind each.
func (g *Geometry) padsOf(n *graph.Node, in, out []int) []int {
	spatial := len(in) - 2
	pads := make([]int, 2*spatial)
	if list := n.Attrs.Ints("pads"); len(list) == len(pads) {
		copy(pads, list)
	}
	for i := range spatial {
		k := 2 - spatial + i
		total := max(0, (out[2+i]-1)*g.Stride[k]+(g.Kernel[k]-1)*g.Dilation[k]+1-in[2+i])
		switch n.Attrs.String("auto_pad", "NOTSET") {
		case "SAME_UPPER":
			pads[i], pads[spatial+i] = total/2, total-total/2
		case "SAME_LOWER":
			pads[i], pads[spatial+i] = total-total/2, total/2
		case "VALID":
			pads[i], pads[spatial+i] = 0, 0
		}
	}
	return pads
}

// convolution lays the weights out that a convolution with window g has, in ONNX's order [m][c/groups][kh][kw].
func (w Weights) convolution(g Geometry, m, in int) Weights {
	area := g.Kernel[0] * g.Kernel[1]
	w.Groups, w.PerGroup, w.Kernel, w.In = g.Groups, m/g.Groups, g.Kernel, in
	w.Steps = [5]int{m / g.Groups * in * area, in * area, g.Kernel[1], 1, area}
	return w
}

// product lays the weights of a k by n matrix out, n by k with transB.
func (w Weights) product(k, n int, transB bool) Weights {
	w.Groups, w.PerGroup, w.Kernel, w.In = 1, n, [2]int{1, 1}, k
	w.Steps = [5]int{k * n, 1, 0, 0, n}
	if transB {
		w.Steps[1], w.Steps[4] = k, 1
	}
	return w
}

// lowerConv computes Conv, with its tail.
func lowerConv(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || !b.isConst(n.In(1)) || n.In(2) != nil && !b.isConst(n.In(2)) {
		return false
	}
	if b.quantizedConv(n) {
		return true
	}
	if b.typeOf(x).DType != tensor.Float32 {
		return false
	}
	weights := b.shape(n.In(1))
	win, ok := windowOf(n, b.shape(x), b.shape(y), weights[2:])
	if !ok {
		return false
	}
	m, c := weights[0], b.shape(x)[1]
	if weights[1]*win.Groups != c {
		return false
	}
	t := b.follow(y, m, 1, n.In(2) == nil, true)
	if n.In(2) != nil {
		t.bias = b.floats(n.In(2))
	}
	a := &ConvFloat{Geometry: win, Bias: t.bias, Lo: t.lo, Hi: t.hi}
	a.Weights = Weights{F32: b.floats(n.In(1))}.convolution(win, m, weights[1])
	a.In = b.room(b.float(x, Last), win.Pad, 0)
	if t.residual != nil {
		a.Add = b.float(t.residual, Last)
	}
	b.claim(t)
	a.Out = b.floatResult(t.out, Last)
	s := b.step("Conv", Float, a).of(n).of(t.nodes...).labelled()
	s.Ops = 2 * a.Out.H * a.Out.W * tensor.Volume(weights)
	s.Slow = weights[1] == 1
	return true
}

// floatResult makes the tensor for a float value.
func (b *builder) floatResult(v *graph.Value, l Layout) *Tensor {
	dst := b.tensor(tensor.Float32, b.shape(v), l)
	dst.Name = v.Name
	b.value(v).in[l] = dst
	return dst
}
