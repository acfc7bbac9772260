package program

import (
	"slices"

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
		dst.quant = &quant{new(forms), q.Coding}
		return q.forms, dst.quant.forms
	}
	return &src.forms, &dst.forms
}

// fillOf returns the bits that stand for number v in tensors of x.
func (b *builder) fillOf(x *graph.Value, v float32) (uint32, bool) {
	if q := b.value(x).quant; q != nil {
		return uint32(bits(q.Zero)), v == 0
	}
	switch b.typeOf(x).DType {
	case tensor.Float32:
		return bitsOf(v), true
	case tensor.Uint8:
		return uint32(uint8(v)), v >= 0 && v <= 255
	case tensor.Int8:
		return uint32(uint8(int8(v))), v >= -128 && v <= 127
	}
	return 0, false
}

// lowerAlias handles operators that return their first input.
func lowerAlias(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	if len(n.Outputs) > 1 && n.Outputs[1] != nil || b.isConst(x) || n.Traits().Random {
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
	if m, _ := b.samplesOf(b.shape(x)); !b.Batched {
		if n, _ := b.samplesOf(b.shape(y)); m != n {
			return false // the samples are others
		}
	}
	from, to := b.moved(x, y)
	src := b.form(x, from, Plain)
	if !src.Gapless() {
		src = b.copied(src, Sides{}, 0)
	}
	_, sample := b.samplesOf(b.shape(y))
	h, w, c, _ := dims(sample, Plain)
	to.in[Plain] = b.own(src.as(Plain, h, w, c))
	return true
}

// lowerTranspose changes the order of the dimensions of a sample. Between
// channels-first and channels-last shapes it is only another way to look at the tensor.
func lowerTranspose(b *builder, n *graph.Node) bool {
	x, y := n.In(0), n.Outputs[0]
	perm := n.Attrs.Ints("perm")
	if !b.fits(x) || !b.fits(y) || len(perm) != b.rank(x) || len(perm) == 0 || perm[0] != 0 {
		return false
	}
	from, to := b.moved(x, y)
	if b.transposedView(x, y, perm, from, to) {
		return true
	}
	src := b.form(x, from, Plain)
	if !src.Gapless() {
		src = b.copied(src, Sides{}, 0)
	}
	b.pin(src)
	dst := b.pin(b.tensor(src.DType, b.shape(y), Plain))
	dst.Name, dst.Coding = y.Name, src.Coding
	to.in[Plain] = dst
	a := &Transpose{In: src, Out: dst}
	strides := tensor.Strides(b.shape(x)[1:])
	for _, p := range perm[1:] { // perm counts the batch too
		a.Shape = append(a.Shape, b.shape(x)[p])
		a.Strides = append(a.Strides, strides[p-1])
	}
	b.step(n.Op, Move, a).of(n)
	return true
}

// transposedView makes y a view of x where a permutation goes between channels-first and channels-last.
func (b *builder) transposedView(x, y *graph.Value, perm []int, from, to *forms) bool {
	rank := len(perm)
	toLast := append([]int{0}, append(ascending(2, rank), 1)...)
	fromLast := append([]int{0, rank - 1}, ascending(1, rank-1)...)
	_, sample := b.samplesOf(b.shape(y))
	switch {
	case rank == 4 && slices.Equal(perm, toLast) || rank == 3 && from.in[Last] != nil && slices.Equal(perm, toLast):
		if src := b.form(x, from, Last); src.Gapless() {
			h, w, c, _ := dims(sample, Plain)
			to.in[Plain] = b.own(src.as(Plain, h, w, c))
			return true
		}
	case rank == 4 && slices.Equal(perm, fromLast):
		if src := b.form(x, from, Plain); src.Gapless() {
			h, w, c, _ := dims(sample, Last)
			to.in[Last] = b.own(src.as(Last, h, w, c))
			return true
		}
	}
	return false
}

func ascending(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// along returns the layout in which a dimension of a tensor of some rank is a
// side of the images, and which side: 0 rows, 1 pixels of a row, 2 channels.
func along(axis, rank int) (l Layout, side int, ok bool) {
	switch {
	case rank == 4 && axis >= 1:
		return Last, []int{2, 0, 1}[axis-1], true
	case rank == 3 && axis >= 1:
		return Plain, axis, true
	case rank == 2 && axis == 1:
		return Plain, 2, true
	}
	return Plain, 0, false
}

// part returns a window of an image along one side.
func part(t *Tensor, side, from, size, step int) *Tensor {
	at, h, w, c, steps := Position{}, t.H, t.W, t.C, [2]int{1, 1}
	switch side {
	case 0:
		at.Y, h, steps[0] = from, size, step
	case 1:
		at.X, w, steps[1] = from, size, step
	case 2:
		at.C, c = from, size
	}
	return t.window(at, h, w, c, steps)
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
	l := Plain
	for _, cut := range cuts {
		layout, side, ok := along(cut.axis, rank)
		if !ok || cut.step < 1 || side == 2 && cut.step != 1 {
			return false
		}
		l = layout
	}
	if len(cuts) == 0 {
		return lowerAlias(b, n)
	}
	from, to := b.moved(x, y)
	view := b.form(x, from, l)
	for _, cut := range cuts {
		_, side, _ := along(cut.axis, rank)
		view = b.own(part(view, side, cut.from, b.shape(y)[cut.axis], cut.step))
	}
	to.in[l] = b.compact(view)
	return true
}

// compact returns a window as readers of its layout expect it: those of a plain
// sample take its elements to be neighbours.
func (b *builder) compact(view *Tensor) *Tensor {
	if view.Layout == Plain && !view.Gapless() {
		return b.copied(view, Sides{}, 0)
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
	l, side, ok := along(axis, rank)
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
		to.in[l] = b.compact(b.own(part(b.form(x, from, l), side, at, size, 1)))
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
	l, side, ok := along(axis, rank)
	if !ok {
		return false
	}
	if b.quantizedConcat(n, l, side) {
		return true
	}
	inputs := make([]*Tensor, len(n.Inputs))
	for i, v := range n.Inputs {
		if d := b.typeOf(v).DType; d == tensor.Float32 {
			inputs[i] = b.float(v, l)
		} else {
			inputs[i] = b.form(v, &b.value(v).forms, l)
		}
	}
	b.value(y).in[l] = b.join(n, inputs, y, l, side)
	return true
}

// join returns a tensor for v with the inputs side by side.
func (b *builder) join(n *graph.Node, inputs []*Tensor, v *graph.Value, l Layout, side int) *Tensor {
	dst := b.tensor(inputs[0].DType, b.shape(v), l)
	dst.Name, dst.Coding = v.Name, inputs[0].Coding
	at := 0
	for _, src := range inputs {
		size := []int{src.H, src.W, src.C}[side]
		if side != 2 || !src.become(dst, at) {
			to := b.own(part(dst, side, at, size, 1))
			b.step(n.Op, Move, &Copy{In: src, Out: to}).of(n)
		}
		at += size
	}
	return dst
}

// quantizedConcat lowers a Concat of quantized tensors: those in the coding of the
// result are put side by side as they are, others through a table.
func (b *builder) quantizedConcat(n *graph.Node, l Layout, side int) bool {
	qs := make([]*quant, len(n.Inputs))
	same := true
	for i, v := range n.Inputs {
		if qs[i] = b.quantOf(v); qs[i] == nil {
			b.why = "not all its inputs are quantized"
			return false
		}
		same = same && qs[i].Coding == qs[0].Coding
	}
	y := n.Outputs[0]
	t, ok := b.targetOf(y)
	if !ok && !same {
		return false
	}
	c, v := qs[0].Coding, y
	if ok {
		if lo, hi := t.bounds(); t.lo != lo || t.hi != hi { // a clamp in between: the same codes, clamped
			return false
		}
		c, v = t.Coding, t.out
	}
	whole := b.join(n, b.inCoding(n, n.Inputs, qs, c, l), v, l, side)
	whole.Coding = c
	if ok {
		b.value(t.out).in[l] = whole
		b.claimTarget(t)
	} else {
		f := &forms{}
		f.in[l] = whole
		b.value(y).quant = &quant{f, c}
	}
	return true
}

// inCoding returns the tensors in one coding: through tables where they have another.
func (b *builder) inCoding(n *graph.Node, vs []*graph.Value, qs []*quant, c Coding, l Layout) []*Tensor {
	inputs := make([]*Tensor, len(qs))
	for i, q := range qs {
		inputs[i] = b.form(vs[i], q.forms, l)
		if q.Coding != c {
			src := inputs[i]
			inputs[i] = b.own(src.like(c.Type))
			inputs[i].Coding = c
			b.lookUp(inputs[i], src, recode(q.Coding, c)).of(n)
		}
	}
	return inputs
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
	src := b.form(x, from, Last)
	sides := Sides{Top: pads[2], Left: pads[3], Bottom: pads[6], Right: pads[7]}
	if b.Borders && pads[1] == 0 && pads[5] == 0 && src.ask(sides, fill) {
		at := Position{Y: -sides.Top, X: -sides.Left}
		to.in[Last] = b.own(src.window(at, src.H+sides.Top+sides.Bottom, src.W+sides.Left+sides.Right, src.C, [2]int{1, 1}))
		return true
	}
	dst := b.tensor(src.DType, b.shape(y), Last)
	dst.Name, dst.Coding = y.Name, src.Coding
	to.in[Last] = dst
	b.step(n.Op, Move, &Pad{In: src, Out: dst, At: Position{pads[2], pads[3], pads[1]}, Fill: fill}).of(n)
	return true
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
	from, to := b.moved(x, y)
	src := b.form(x, from, Last)
	dst := b.tensor(src.DType, ys, Last)
	dst.Name, dst.Coding = y.Name, src.Coding
	to.in[Last] = dst
	b.step(n.Op, Move, &Repeat{In: src, Out: dst, Rows: ys[2] / xs[2], Cols: ys[3] / xs[3]}).of(n)
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
