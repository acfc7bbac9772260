package engine

import (
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// The operators of this file move elements without looking at them, so they
// do the same for floats and for bytes: a value that is the meaning of a
// quantized tensor stays quantized through them.

// moved gives the forms of x that a moving operator reads, and the forms of y
// that it fills in.
func (b *builder) moved(x, y *graph.Value) (from, to *forms) {
	src, dst := b.value(x), b.value(y)
	if q := src.quant; q != nil {
		dst.quant = &quant{new(forms), q.coding}
		return q.forms, dst.quant.forms
	}
	return &src.forms, &dst.forms
}

// fillOf returns the bits that stand for number v in buffers of x.
func (b *builder) fillOf(x *graph.Value, v float32) (uint32, bool) {
	if q := b.value(x).quant; q != nil {
		return uint32(q.zero), v == 0
	}
	switch b.typeOf(x).DType {
	case tensor.Float32:
		return bitsOf(v), true
	case tensor.Uint8:
		return uint32(uint8(v)), v >= 0 && v <= 255
	case tensor.Int8:
		return uint32(uint8(int8(v)) ^ 0x80), v >= -128 && v <= 127
	}
	return 0, false
}

// lowerAlias handles operators that return their first input.
func lowerAlias(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if len(n.Outputs) > 1 && n.Outputs[1] != nil || b.isConst(x) {
		return false
	}
	b.values[y] = b.value(x)
	return true
}

// lowerReshape handles operators that keep the elements' order and change
// the shape: the output is a view.
func lowerReshape(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) {
		return false
	}
	if slices.Equal(b.shape(x), b.shape(y)) {
		return lowerAlias(b, n)
	}
	if m, _ := b.samplesOf(b.shape(x)); !b.batched {
		if n, _ := b.samplesOf(b.shape(y)); m != n {
			return false // the samples are others
		}
	}
	from, to := b.moved(x, y)
	src := b.form(x, from, plain)
	if !src.gapless() {
		src = b.copied(src, sides{}, 0)
	}
	_, sample := b.samplesOf(b.shape(y))
	h, w, c, _ := dims(sample, plain)
	to.in[plain] = b.own(src.as(plain, h, w, c))
	return true
}

// lowerTranspose changes the order of the dimensions of a sample. Between
// channels-first and channels-last shapes it is only another way to look at the buffer.
func lowerTranspose(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	perm := n.Attrs.Ints("perm")
	if !b.fits(x) || !b.fits(y) || len(perm) != b.rank(x) || len(perm) == 0 || perm[0] != 0 {
		return false
	}
	from, to := b.moved(x, y)
	rank := len(perm)
	toLast := append([]int{0}, append(ascending(2, rank), 1)...)
	fromLast := append([]int{0, rank - 1}, ascending(1, rank-1)...)
	_, sample := b.samplesOf(b.shape(y))
	switch {
	case rank == 4 && slices.Equal(perm, toLast) || rank == 3 && from.in[last] != nil && slices.Equal(perm, toLast):
		if src := b.form(x, from, last); src.gapless() {
			h, w, c, _ := dims(sample, plain)
			to.in[plain] = b.own(src.as(plain, h, w, c))
			return true
		}
	case rank == 4 && slices.Equal(perm, fromLast):
		if src := b.form(x, from, plain); src.gapless() {
			h, w, c, _ := dims(sample, last)
			to.in[last] = b.own(src.as(last, h, w, c))
			return true
		}
	}
	src := b.form(x, from, plain)
	if !src.gapless() {
		src = b.copied(src, sides{}, 0)
	}
	src.pinned = true
	dst := b.buffer(src.dtype, b.shape(y), plain)
	to.in[plain] = b.pin(dst)
	walk := newWalk(b.shape(x)[1:], perm[1:])
	b.add(sampleStep(n.Op, dst, func(c *call, w *worker, s int) {
		if dst.dtype == tensor.Uint8 {
			permute(dst.u8(c, s).Data, src.u8(c, s).Data, walk)
		} else {
			permute(dst.f32(c, s).Data, src.f32(c, s).Data, walk)
		}
	}).of(n).reading(src).as(Move))
	return true
}

func ascending(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// walk is the way through a source that a permutation of its dimensions takes.
type walk struct {
	shape, strides []int // of the result, and of the source, by the result's dimensions
}

func newWalk(shape, perm []int) walk {
	from := tensor.Strides(shape)
	var w walk
	for _, p := range perm { // perm counts the batch too
		w.shape = append(w.shape, shape[p-1])
		w.strides = append(w.strides, from[p-1])
	}
	return w
}

// permute writes dst in its order from src in the order of the walk.
func permute[T any](dst, src []T, w walk) {
	if len(w.shape) == 0 {
		dst[0] = src[0]
		return
	}
	if n := w.shape[0]; len(w.shape) > 1 {
		inner := walk{w.shape[1:], w.strides[1:]}
		size := tensor.Volume(inner.shape)
		for i := range n {
			permute(dst[i*size:], src[i*w.strides[0]:], inner)
		}
		return
	}
	n, step := w.shape[0], w.strides[0]
	if step == 1 {
		copy(dst[:n], src)
		return
	}
	for i := range n {
		dst[i] = src[i*step]
	}
}

// along returns the order in which a dimension of a tensor of some rank is a
// side of the images, and which side: 0 rows, 1 pixels of a row, 2 channels.
func along(axis, rank int) (o order, side int, ok bool) {
	switch {
	case rank == 4 && axis >= 1:
		return last, []int{2, 0, 1}[axis-1], true
	case rank == 3 && axis >= 1:
		return plain, axis, true
	case rank == 2 && axis == 1:
		return plain, 2, true
	}
	return plain, 0, false
}

// part returns a window of an image along one side.
func part(b *buffer, side, from, size, step int) *buffer {
	at, h, w, c, steps := place{}, b.h, b.w, b.c, [2]int{1, 1}
	switch side {
	case 0:
		at.y, h, steps[0] = from, size, step
	case 1:
		at.x, w, steps[1] = from, size, step
	case 2:
		at.c, c = from, size
	}
	return b.window(at, h, w, c, steps)
}

// lowerSlice makes a view of the part that is asked for.
func lowerSlice(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) {
		return false
	}
	cuts, ok := b.cuts(n)
	if !ok {
		return false
	}
	rank := b.rank(x)
	o := plain
	for _, cut := range cuts {
		order, side, ok := along(cut.axis, rank)
		if !ok || cut.step < 1 || side == 2 && cut.step != 1 {
			return false
		}
		o = order
	}
	from, to := b.moved(x, y)
	if len(cuts) == 0 {
		return lowerAlias(b, n)
	}
	view := b.form(x, from, o)
	for _, cut := range cuts {
		_, side, _ := along(cut.axis, rank)
		view = b.own(part(view, side, cut.from, b.shape(y)[cut.axis], cut.step))
	}
	to.in[o] = b.compact(view)
	return true
}

// compact returns a window as readers of its order expect it: those of a plain
// sample take its elements to be neighbours.
func (b *builder) compact(view *buffer) *buffer {
	if view.order == plain && !view.gapless() {
		return b.copied(view, sides{}, 0)
	}
	return view
}

// cut is what Slice takes of one dimension.
type cut struct{ axis, from, step int }

// cuts reads the inputs or attributes of a Slice, leaving out dimensions that are taken whole.
func (b *builder) cuts(n *graph.Node) ([]cut, bool) {
	lists := [3][]int{} // starts, axes, steps
	if n.In(1) == nil {
		lists = [3][]int{n.Attrs.Ints("starts"), n.Attrs.Ints("axes"), nil}
	} else {
		for i, v := range []*graph.Value{n.In(1), n.In(3), n.In(4)} {
			list, ok := b.ints(v)
			if !ok {
				return nil, false
			}
			lists[i] = list
		}
	}
	shape := b.shape(n.In(0))
	var cuts []cut
	for i, start := range lists[0] {
		c := cut{axis: i, from: start, step: 1}
		if lists[1] != nil {
			c.axis = lists[1][i]
		}
		if lists[2] != nil {
			c.step = lists[2][i]
		}
		if c.axis < 0 {
			c.axis += len(shape)
		}
		size := shape[c.axis]
		if c.from < 0 {
			c.from += size
		}
		c.from = min(max(c.from, 0), size)
		if c.from == 0 && c.step == 1 && b.shape(n.Outputs[0])[c.axis] == size {
			continue
		}
		cuts = append(cuts, c)
	}
	return cuts, true
}

// lowerSplit makes views of the parts.
func lowerSplit(b *builder, n *graph.Node) bool {
	x := n.In(0)
	if !b.fits(x) {
		return false
	}
	axis, rank := n.Attrs.Int("axis", 0), b.rank(x)
	if axis < 0 {
		axis += rank
	}
	o, side, ok := along(axis, rank)
	if !ok {
		return false
	}
	at := 0
	for _, y := range n.Outputs {
		if y == nil || !b.fits(y) {
			return false
		}
	}
	for _, y := range n.Outputs {
		size := b.shape(y)[axis]
		from, to := b.moved(x, y)
		to.in[o] = b.compact(b.own(part(b.form(x, from, o), side, at, size, 1)))
		at += size
	}
	return true
}

// lowerConcat puts its inputs side by side: those that are computed for it
// alone are computed in their place in the first place.
func lowerConcat(b *builder, n *graph.Node) bool {
	y := n.Outputs[0]
	if !b.fits(y) || slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return v == nil || !b.fits(v) || b.isConst(v) }) {
		return false
	}
	axis, rank := n.Attrs.Int("axis", 0), b.rank(y)
	if axis < 0 {
		axis += rank
	}
	o, side, ok := along(axis, rank)
	if !ok {
		return false
	}
	if b.quantizedConcat(n, o, side, axis) {
		return true
	}
	inputs := make([]*buffer, len(n.Inputs))
	for i, v := range n.Inputs {
		if d := b.typeOf(v).DType; d == tensor.Float32 {
			inputs[i] = b.float(v, o)
		} else {
			inputs[i] = b.form(v, &b.value(v).forms, o)
		}
	}
	b.value(y).in[o] = b.join(n, inputs, b.shape(y), o, side)
	return true
}

// join returns a buffer for a tensor of that shape with the inputs side by side.
func (b *builder) join(n *graph.Node, inputs []*buffer, shape []int, o order, side int) *buffer {
	dst := b.buffer(inputs[0].dtype, shape, o)
	at := 0
	for _, src := range inputs {
		size := []int{src.h, src.w, src.c}[side]
		if side != 2 || !src.become(dst, at) {
			to := b.own(part(dst, side, at, size, 1))
			b.add(copyStep(n.Op, to, src).of(n).reading(src))
		}
		at += size
	}
	return dst
}

// lowerPad adds numbers around images: as a border where there is room for one.
func lowerPad(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	pads, known := b.ints(n.In(1))
	if n.In(1) == nil {
		pads = n.Attrs.Ints("pads")
	}
	if !b.fits(x) || !b.fits(y) || b.rank(x) != 4 || !known || len(pads) != 8 || slices.Min(pads) < 0 ||
		n.In(3) != nil || n.Attrs.String("mode", "constant") != "constant" || pads[0] != 0 || pads[4] != 0 {
		return false
	}
	number := n.Attrs.Float("value", 0)
	if v := n.In(2); v != nil {
		t := b.constant(v)
		if t == nil || t.Len() != 1 || t.DType() == tensor.String {
			return false
		}
		number = float32(t.Float64s()[0])
	}
	fill, ok := b.fillOf(x, number)
	if !ok {
		return false
	}
	from, to := b.moved(x, y)
	src := b.padded(b.form(x, from, last), sides{top: pads[2], left: pads[3], bottom: pads[6], right: pads[7]}, fill)
	if pads[1] > 0 || pads[5] > 0 {
		src = b.morechannels(n, src, b.shape(y), pads[1], fill)
	}
	to.in[last] = src
	return true
}

// morechannels returns src with channels of a constant before and behind its own.
func (b *builder) morechannels(n *graph.Node, src *buffer, shape []int, before int, fill uint32) *buffer {
	dst := b.buffer(src.dtype, shape, last)
	s := rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		if dst.dtype == tensor.Uint8 {
			spread(dst.u8(c, s), src.u8(c, s), before, uint8(fill), y0, y1)
		} else {
			spread(dst.f32(c, s), src.f32(c, s), before, floatOf(fill), y0, y1)
		}
	})
	b.add(s.of(n).reading(src).as(Move))
	return dst
}

func spread[T comparable](dst, src asm.Image[T], before int, fill T, y0, y1 int) {
	for y := y0; y < y1; y++ {
		for x := range dst.W {
			d := dst.Data[y*dst.RowStride+x*dst.PixStride:][:dst.C]
			fillSlice(d[:before], fill)
			copy(d[before:], src.Data[y*src.RowStride+x*src.PixStride:][:src.C])
			fillSlice(d[before+src.C:], fill)
		}
	}
}

// lowerResize repeats pixels: enlarging by whole numbers, nearest.
func lowerResize(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if !b.fits(x) || !b.fits(y) || b.rank(x) != 4 || !nearest(n) || n.Attrs.Has("axes") || n.Attrs.String("keep_aspect_ratio_policy", "stretch") != "stretch" {
		return false
	}
	xs, ys := b.shape(x), b.shape(y)
	if xs[1] != ys[1] || ys[2]%xs[2] != 0 || ys[3]%xs[3] != 0 {
		return false
	}
	fy, fx := ys[2]/xs[2], ys[3]/xs[3]
	from, to := b.moved(x, y)
	src := b.form(x, from, last)
	dst := b.own(&buffer{dtype: src.dtype, order: last, samples: src.samples, h: ys[2], w: ys[3], c: src.c})
	to.in[last] = dst
	b.add(rowStep(n.Op, dst, func(c *call, w *worker, s, y0, y1 int) {
		if dst.dtype == tensor.Uint8 {
			repeat(dst.u8(c, s), src.u8(c, s), fy, fx, y0, y1)
		} else {
			repeat(dst.f32(c, s), src.f32(c, s), fy, fx, y0, y1)
		}
	}).of(n).reading(src).as(Move))
	return true
}

// nearest reports whether a Resize or Upsample takes pixel floor(x/f) for
// whole factors f.
func nearest(n *graph.Node) bool {
	if n.Attrs.String("mode", "nearest") != "nearest" {
		return false
	}
	if n.Op == "Upsample" {
		return true
	}
	rounding := n.Attrs.String("nearest_mode", "round_prefer_floor")
	switch n.Attrs.String("coordinate_transformation_mode", "half_pixel") {
	case "asymmetric":
		return rounding == "floor"
	case "half_pixel":
		return rounding == "round_prefer_floor" || rounding == "round_prefer_ceil"
	}
	return false
}

func repeat[T any](dst, src asm.Image[T], fy, fx, y0, y1 int) {
	for y := y0; y < y1; y++ {
		from := src.Data[y/fy*src.RowStride:]
		to := dst.Data[y*dst.RowStride:]
		for x := range dst.W {
			copy(to[x*dst.PixStride:][:dst.C], from[x/fx*src.PixStride:][:dst.C])
		}
	}
}

// copyStep copies the images of src to dst, of the same size.
func copyStep(name string, dst, src *buffer) *step {
	return rowStep(name, dst, func(c *call, w *worker, s, y0, y1 int) {
		if dst.dtype == tensor.Uint8 {
			copyRows(dst.u8(c, s), src.u8(c, s), y0, y1)
		} else {
			copyRows(dst.f32(c, s), src.f32(c, s), y0, y1)
		}
	}).as(Move)
}

func copyRows[T any](dst, src asm.Image[T], y0, y1 int) {
	for y := y0; y < y1; y++ {
		to, from := dst.Data[y*dst.RowStride:], src.Data[y*src.RowStride:]
		if dst.PixStride == dst.C && src.PixStride == src.C {
			copy(to[:dst.W*dst.C], from[:dst.W*dst.C])
			continue
		}
		for x := range dst.W {
			copy(to[x*dst.PixStride:][:dst.C], from[x*src.PixStride:][:dst.C])
		}
	}
}
