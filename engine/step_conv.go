package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// packKey names packed weights: plans of one network for different shapes share them.
type packKey struct {
	node *graph.Node
	kind string
}

// packedFor returns weights that were packed for the node, packing them the
// first time.
func packedFor[T any](net *Net, n *graph.Node, kind string, pack func() T) T {
	key := packKey{n, kind}
	if p, ok := net.packed[key].(T); ok {
		return p
	}
	p := pack()
	net.packed[key] = p
	return p
}

// residual is where a worker keeps what is to be added, which kernels take by
// reference: here it need not be allocated.
type residual struct {
	image      asm.Image[float32]
	bytesToAdd asm.Residual
}

// window is the geometry of a convolution or pool.
type window struct {
	kernel, stride, dilation [2]int
	pad                      sides
	groups                   int
}

// windowOf reads the attributes of a 1-D or 2-D convolution or pool; false if
// they are of another kind. in and out are its input's and output's shapes.
func windowOf(n *graph.Node, in, out, kernel []int) (window, bool) {
	spatial := len(in) - 2
	if spatial < 1 || spatial > 2 || len(out) != len(in) || len(kernel) != spatial {
		return window{}, false
	}
	w := window{stride: [2]int{1, 1}, dilation: [2]int{1, 1}, kernel: [2]int{1, 1}, groups: n.Attrs.Int("group", 1)}
	copy(w.kernel[2-spatial:], kernel)
	for name, to := range map[string][]int{"strides": w.stride[2-spatial:], "dilations": w.dilation[2-spatial:]} {
		if list := n.Attrs.Ints(name); list != nil {
			if len(list) != spatial || slices.Min(list) < 1 {
				return window{}, false
			}
			copy(to, list)
		}
	}
	pads := make([]int, 2*spatial)
	if list := n.Attrs.Ints("pads"); len(list) == len(pads) {
		copy(pads, list)
	}
	for i := range spatial {
		k := 2 - spatial + i
		total := max(0, (out[2+i]-1)*w.stride[k]+(w.kernel[k]-1)*w.dilation[k]+1-in[2+i])
		switch n.Attrs.String("auto_pad", "NOTSET") {
		case "SAME_UPPER":
			pads[i], pads[spatial+i] = total/2, total-total/2
		case "SAME_LOWER":
			pads[i], pads[spatial+i] = total-total/2, total/2
		case "VALID":
			pads[i], pads[spatial+i] = 0, 0
		}
	}
	if slices.Min(pads) < 0 {
		return window{}, false
	}
	if spatial == 1 {
		w.pad = sides{left: pads[0], right: pads[1]}
	} else {
		w.pad = sides{top: pads[0], left: pads[1], bottom: pads[2], right: pads[3]}
	}
	return w, true
}

func (w window) convSpec() asm.ConvSpec {
	return asm.ConvSpec{KH: w.kernel[0], KW: w.kernel[1], StrideH: w.stride[0], StrideW: w.stride[1],
		DilationH: w.dilation[0], DilationW: w.dilation[1], Groups: w.groups}
}

// lowerConv computes Conv, with its tail, by one kernel over padded images.
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
	if weights[1]*win.groups != c {
		return false
	}
	t := b.follow(y, m, 1, n.In(2) == nil, true)
	if n.In(2) != nil {
		t.bias = b.floats(n.In(2))
	}
	conv := packedFor(b.net, n, "f32", func() *asm.ConvF32 {
		return asm.PackConvF32(b.floats(n.In(1)), t.bias, m, c, win.convSpec())
	})
	src := b.padded(b.float(x, last), win.pad, 0)
	var add *buffer
	if t.residual != nil {
		add = b.float(t.residual, last)
	}
	b.claim(t)
	dst := b.buffer(tensor.Float32, b.shape(t.out), last)
	b.value(t.out).in[last] = dst
	s := b.add(convStep(dst, src, add, conv, t.lo, t.hi))
	s.of(n).of(t.nodes...).reading(src)
	s.name = b.label(s.nodes...)
	s.ops = 2 * dst.h * dst.w * tensor.Volume(weights)
	s.slow = weights[1] == 1
	if add != nil {
		s.reading(add)
	}
	return true
}

// convStep is cut by rows or, where there is one row only, by output channels.
func convStep(dst, src, add *buffer, conv *asm.ConvF32, lo, hi float32) *step {
	image := func(c *call, w *worker, s int) *asm.Image[float32] {
		if add == nil {
			return nil
		}
		w.image = add.f32(c, s)
		return &w.image
	}
	if dst.h > 1 {
		return rowsStep("Conv", dst, conv.RowsTogether(), func(c *call, w *worker, s, y0, y1 int) {
			conv.Run(dst.f32(c, s), src.f32(c, s), image(c, w, s), lo, hi, y0, y1)
		})
	}
	return panelStep(dst, conv.Panels(), func(c *call, w *worker, s, p0, p1 int) {
		conv.RunPanels(dst.f32(c, s), src.f32(c, s), image(c, w, s), lo, hi, 0, 1, p0, p1)
	})
}

// panelStep makes a step that is cut by panels of output channels, each for
// all samples.
func panelStep(dst *buffer, panels int, f func(c *call, w *worker, s, p0, p1 int)) *step {
	return &step{
		kind: Float, writes: []*buffer{dst},
		units: func(int) int { return panels },
		run: func(c *call, w *worker, lo, hi int) error {
			for s := range dst.count(c.n) {
				f(c, w, s, lo, hi)
			}
			return nil
		},
	}
}

// padded returns a view of src with that much of a border of a given fill.
func (b *builder) padded(src *buffer, pad sides, fill uint32) *buffer {
	if pad == (sides{}) {
		return src
	}
	if !src.ask(pad, fill) {
		src = b.copied(src, pad, fill)
	}
	return b.own(src.window(place{y: -pad.top, x: -pad.left}, src.h+pad.top+pad.bottom, src.w+pad.left+pad.right, src.c, [2]int{1, 1}))
}

// copied returns a copy of src with a border.
func (b *builder) copied(src *buffer, pad sides, fill uint32) *buffer {
	dst := b.own(&buffer{dtype: src.dtype, order: src.order, samples: src.samples, h: src.h, w: src.w, c: src.c, border: pad, fill: fill})
	b.add(copyStep("pad", dst, src).reading(src))
	return dst
}
