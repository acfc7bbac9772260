package program

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// poolOf returns the window of a MaxPool, AveragePool, GlobalAveragePool or a ReduceMean
// over all pixels; false for other reductions.
func (b *builder) poolOf(n *graph.Node) (win Geometry, countPad, ok bool) {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || len(n.Outputs) > 1 && n.Outputs[1] != nil {
		return win, false, false
	}
	in := b.shape(x)
	if len(in) != 3 && len(in) != 4 {
		return win, false, false
	}
	switch n.Op {
	case "GlobalAveragePool", "QLinearGlobalAveragePool":
		return globalWindow(in), false, true
	case "ReduceMean":
		return globalWindow(in), false, b.overPixels(n)
	}
	kernel := n.Attrs.Ints("kernel_shape")
	if win, ok = windowOf(n, in, b.shape(y), kernel); !ok {
		return win, false, false
	}
	// With ceil_mode the last window may reach beyond the padding; then the
	// mean's divisor is another.
	countPad = n.Attrs.Int("count_include_pad", 0) != 0
	return win, countPad, !countPad || n.Attrs.Int("ceil_mode", 0) == 0
}

func globalWindow(in []int) Geometry {
	win := Geometry{Kernel: [2]int{1, in[2]}, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
	if len(in) == 4 {
		win.Kernel = [2]int{in[2], in[3]}
	}
	return win
}

// overPixels reports whether a reduction is over all dimensions but batch and channels.
func (b *builder) overPixels(n *graph.Node) bool {
	axes, known := b.ints(n.In(1))
	if n.In(1) == nil {
		axes = n.Attrs.Ints("axes")
	}
	rank := b.rank(n.In(0))
	if !known || len(axes) != rank-2 {
		return false
	}
	axes = slices.Clone(axes)
	for i, a := range axes {
		if a < 0 {
			axes[i] += rank
		}
	}
	slices.Sort(axes)
	return axes[0] == 2 && axes[len(axes)-1] == rank-1
}

// lowerPool computes the pools that poolOf knows.
func lowerPool(b *builder, n *graph.Node) bool {
	win, countPad, ok := b.poolOf(n)
	if !ok {
		return false
	}
	if b.quantizedPool(n, win, countPad) {
		return true
	}
	x, y := n.In(0), n.Outputs[0]
	if b.typeOf(x).DType != tensor.Float32 {
		return false
	}
	src := b.float(x, Last)
	dst := b.pooled(src, y, tensor.Float32)
	b.value(y).in[Last] = dst
	var a Action = &AveragePool{In: src, Out: dst, Geometry: win, CountPad: countPad}
	if n.Op == "MaxPool" {
		a = &MaxPool{In: src, Out: dst, Geometry: win}
	}
	b.step(n.Op, Float, a).of(n).Ops = win.operations(dst)
	return true
}

// operations returns how many a pool takes for one sample.
func (g *Geometry) operations(dst *Tensor) int {
	return dst.H * dst.W * dst.C * g.Kernel[0] * g.Kernel[1]
}

// pooled makes the tensor for y, a pool of src.
func (b *builder) pooled(src *Tensor, y *graph.Value, d tensor.DType) *Tensor {
	dst := src.like(d)
	dst.Name = y.Name
	dst.H, dst.W = outOf(b.shape(y))
	return b.own(dst)
}

// outOf returns the size of the image in an output's shape: 1 by 1 for what a
// reduction that drops dimensions leaves.
func outOf(shape []int) (h, w int) {
	switch len(shape) {
	case 4:
		return shape[2], shape[3]
	case 3:
		return 1, shape[2]
	}
	return 1, 1
}

// quantizedPool lowers a pool of a quantized tensor: of bytes to bytes of the same coding
// for a maximum, to those of the QuantizeLinear behind it for a mean.
func (b *builder) quantizedPool(n *graph.Node, win Geometry, countPad bool) bool {
	if n.Op == "MaxPool" {
		return b.bytesMaxPool(n, win)
	}
	x := b.quantOf(n.In(0))
	if x == nil {
		b.why = "its input is not quantized"
		return false
	}
	if !b.meanOfBytes(n, win, countPad) {
		return false
	}
	t, ok := b.targetOf(n.Outputs[0])
	if !ok {
		return false
	}
	b.claimTarget(t)
	b.averageStep(n, n.In(0), x, win, t)
	return true
}

// meanOfBytes reports whether all windows have the same number of elements.
func (b *builder) meanOfBytes(n *graph.Node, win Geometry, countPad bool) bool {
	if win.Pad != (Sides{}) && !countPad {
		b.why = "its windows reach into a padding that does not count"
		return false
	}
	shape := b.shape(n.In(0))
	h, w := 1, shape[len(shape)-1]
	if len(shape) == 4 {
		h = shape[2]
	}
	oh, ow := outOf(b.shape(n.Outputs[0]))
	if fits := (oh-1)*win.Stride[0]+(win.Kernel[0]-1)*win.Dilation[0] < h+win.Pad.Top+win.Pad.Bottom &&
		(ow-1)*win.Stride[1]+(win.Kernel[1]-1)*win.Dilation[1] < w+win.Pad.Left+win.Pad.Right; !fits {
		b.why = "its last windows are cut off"
		return false
	}
	return true
}

// averageStep computes means of windows of bytes.
func (b *builder) averageStep(n *graph.Node, in *graph.Value, x *quant, win Geometry, t target) {
	src := b.room(b.form(in, x.forms, Last), win.Pad, uint32(bits(x.Zero)))
	req := b.average(n, x.Scale/t.Scale, win.Kernel[0]*win.Kernel[1], src.C, t)
	dst := b.coded(b.pooled(src, n.Outputs[0], t.Type), t.out, t.Coding)
	b.value(t.out).in[Last] = dst
	a := &AveragePool{In: src, Out: dst, Geometry: win, CountPad: true, ZeroIn: x.Zero, Requant: req}
	b.step(n.Op, Integer, a).of(n).of(t.nodes...).Ops = win.operations(dst)
}

// bytesMaxPool lowers MaxPool of bytes, or of what bytes stand for.
func (b *builder) bytesMaxPool(n *graph.Node, win Geometry) bool {
	x, y := n.In(0), n.Outputs[0]
	if b.quantOf(x) == nil && !bytewide(b.typeOf(x).DType) {
		b.why = "its input is not quantized"
		return false
	}
	from, to := b.moved(x, y)
	image := b.form(x, from, Last)
	// With ceil_mode the last window may reach beyond the padding.
	h, w := outOf(b.shape(y))
	win.Pad.Bottom = max(win.Pad.Bottom, (h-1)*win.Stride[0]+(win.Kernel[0]-1)*win.Dilation[0]+1-image.H-win.Pad.Top)
	win.Pad.Right = max(win.Pad.Right, (w-1)*win.Stride[1]+(win.Kernel[1]-1)*win.Dilation[1]+1-image.W-win.Pad.Left)
	src := b.room(image, win.Pad, lowest(image.DType))
	dst := b.pooled(src, y, src.DType)
	dst.Coding = src.Coding
	to.in[Last] = dst
	b.step(n.Op, Integer, &MaxPool{In: src, Out: dst, Geometry: win}).of(n).Ops = win.operations(dst)
	return true
}

// lowest returns the bits of the least number of a type.
func lowest(d tensor.DType) uint32 {
	switch d {
	case tensor.Int8:
		return 0x80
	case tensor.Uint8:
		return 0
	}
	return bitsOf(float32(math.Inf(-1)))
}

func bitsOf(v float32) uint32 { return math.Float32bits(v) }
