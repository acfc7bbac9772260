package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// poolOf returns the window of a MaxPool, AveragePool, GlobalAveragePool or a ReduceMean
// over all pixels; false for other reductions.
func (b *builder) poolOf(n *graph.Node) (win window, countPad, ok bool) {
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

func globalWindow(in []int) window {
	win := window{kernel: [2]int{1, in[2]}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
	if len(in) == 4 {
		win.kernel = [2]int{in[2], in[3]}
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

func (w window) poolSpec() asm.PoolSpec {
	return asm.PoolSpec{KH: w.kernel[0], KW: w.kernel[1], StrideH: w.stride[0], StrideW: w.stride[1],
		DilationH: w.dilation[0], DilationW: w.dilation[1], PadTop: w.pad.top, PadLeft: w.pad.left}
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
	src := b.float(x, last)
	h, w := outOf(b.shape(y))
	dst := b.own(&buffer{dtype: tensor.Float32, order: last, samples: src.samples, h: h, w: w, c: src.c})
	spec := win.poolSpec()
	f := asm.MaxPoolF32
	if n.Op != "MaxPool" {
		f = func(dst, src asm.Image[float32], spec asm.PoolSpec, y0, y1 int) {
			asm.AveragePoolF32(dst, src, spec, countPad, y0, y1)
		}
	}
	s := rowStep(n.Op, dst, func(c *call, wk *worker, s, y0, y1 int) {
		f(dst.f32(c, s), src.f32(c, s), spec, y0, y1)
	})
	s.ops = dst.h * dst.w * dst.c * spec.KH * spec.KW
	b.add(s.of(n).reading(src))
	b.value(y).in[last] = dst
	return true
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
