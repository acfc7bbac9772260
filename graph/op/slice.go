package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Slice", min: 1, max: 5, infer: inferSlice, run: runSlice, anyType: true}.is(moving, batchAxis(slicedBatch), tensors, batch(sliceSamples)),
	spec{name: "Pad", min: 1, max: 4, infer: inferPad, run: runPad, anyType: true}.is(moving, noQ, inputs(Data, Index, Param, Index), batch(padSamples)).where(padFlow),
	spec{name: "Gather", min: 2, infer: inferGather, run: runGather, anyType: true}.is(moving, batchAxis(gatheredBatch), tensors, batch(gatherSamples), weightAxes(gatherWeightAxes)),
)

// cut is a slice along one dimension: size elements from start, step apart.
type cut struct{ start, step, size int }

// cuts returns the cut of every dimension; nil if it is not known yet. A size
// is Unknown if the dimension is.
func cuts(c *Call) ([]cut, error) {
	shape := c.Types[0].Shape
	var lists [4][]int // starts, ends, axes, steps
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		v, given, known, err := c.listOrAttr(name, i+1, 10)
		switch {
		case err != nil:
			return nil, err
		case !known:
			return nil, nil
		case !given && i < 2:
			return nil, badInput("%s is missing", name)
		}
		lists[i] = v
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	if axes == nil {
		for d := range starts {
			axes = append(axes, d)
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, badInput("starts %v, ends %v, axes %v and steps %v differ in length", starts, ends, axes, steps)
	}
	axes, err := normAxes(axes, len(shape))
	if err != nil {
		return nil, err
	}
	out := make([]cut, len(shape))
	for d, n := range shape {
		out[d] = cut{0, 1, n}
	}
	for i, d := range axes {
		if steps[i] == 0 {
			return nil, badInput("a step is 0")
		}
		out[d] = newCut(starts[i], ends[i], steps[i], shape[d])
	}
	return out, nil
}

// newCut resolves negative and out-of-range limits as Python does.
func newCut(start, end, step, n int) cut {
	if n == Unknown {
		return cut{0, step, Unknown}
	}
	if step > 0 {
		start, end = limit(start, n, 0, n), limit(end, n, 0, n)
		if end <= start {
			return cut{0, 1, 0}
		}
		return cut{start, step, (end-start-1)/step + 1}
	}
	start, end = limit(start, n, 0, n-1), limit(end, n, -1, n-1)
	if start <= end {
		return cut{0, 1, 0}
	}
	if step < -n { // its negative may not fit an int
		return cut{start, -n, 1}
	}
	return cut{start, step, (start-end-1)/-step + 1}
}

// limit counts a negative v from the end n, and keeps it in [lo,hi].
func limit(v, n, lo, hi int) int {
	if v < 0 {
		v += n
	}
	return min(max(v, lo), hi)
}

func inferSlice(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	all, err := cuts(c)
	if err != nil {
		return err
	}
	shape := unknownShape(len(x.Shape))
	for d, k := range all {
		shape[d] = k.size
	}
	c.setType(x.DType, shape)
	return nil
}

func runSlice(c *Call) error {
	all, err := cuts(c)
	if err != nil {
		return err
	}
	src := whole(c.In[0])
	for d, k := range all {
		src.offset += k.start * src.strides[d]
		src.strides[d] *= k.step
	}
	copyView(whole(c.out(0)), src, c.OutType[0].Shape)
	return nil
}

// padding returns what is added before and after every dimension (taken away,
// if negative); nil if it is not known yet.
func padding(c *Call, rank int) (begin, end []int, err error) {
	pads, given, known, err := c.listOrAttr("pads", 1, 11)
	if c.version() < 2 && !given {
		pads, given = c.Attrs.Ints("paddings"), c.Attrs.Has("paddings")
	}
	switch {
	case err != nil:
		return nil, nil, err
	case !given:
		return nil, nil, badInput("pads is missing")
	case !known:
		return nil, nil, nil
	}
	axes := make([]int, rank)
	for d := range axes {
		axes[d] = d
	}
	if c.has(3) {
		given, known, err := c.intsInput(3)
		if err != nil || !known {
			return nil, nil, err
		}
		if axes, err = normAxes(given, rank); err != nil {
			return nil, nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, nil, badInput("pads %v for %d dimensions", pads, len(axes))
	}
	begin, end = make([]int, rank), make([]int, rank)
	for i, a := range axes {
		begin[a], end[a] = pads[i], pads[len(axes)+i]
		if max(begin[a], -begin[a], end[a], -end[a]) > maxElements || min(begin[a], end[a]) < -maxElements {
			return nil, nil, badInput("pads is %v", pads)
		}
	}
	return begin, end, nil
}

func inferPad(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	begin, end, err := padding(c, len(x.Shape))
	if err != nil {
		return err
	}
	mode := c.Attrs.String("mode", "constant")
	if !slices.Contains([]string{"constant", "reflect", "edge", "wrap"}, mode) {
		return badAttr("mode is %q", mode)
	}
	shape := unknownShape(len(x.Shape))
	for d := range begin {
		n := x.Shape[d]
		if n == Unknown {
			continue
		}
		if shape[d] = n + begin[d] + end[d]; shape[d] < 0 {
			return badInput("pads %v and %v of shape %v", begin, end, x.Shape)
		}
		if n == 0 && shape[d] > 0 && mode != "constant" {
			return badInput("mode %s cannot fill from shape %v", mode, x.Shape)
		}
	}
	if v := c.in(2); v != nil && (v.Len() != 1 || v.DType() != x.DType && x.DType != tensor.Undefined) {
		return badInput("the value is %s, the input %s", v, x.DType)
	}
	c.setType(x.DType, shape)
	return nil
}

func runPad(c *Call) error {
	x, dst := c.In[0], c.out(0)
	begin, _, err := padding(c, x.Rank())
	if err != nil {
		return err
	}
	if mode := c.Attrs.String("mode", "constant"); mode != "constant" {
		copyIndexed(dst, x, padIndex(mode, begin, x.Shape(), dst.Shape()))
		return nil
	}
	if v := c.in(2); v != nil {
		fill(dst, v)
	} else if v := c.Attrs.Float("value", 0); v != 0 && c.version() < 11 && x.DType() != tensor.String {
		fill(dst, convert(tensor.Scalar(v), x.DType()))
	}
	from, to := whole(x), whole(dst)
	shape := slices.Clone(x.Shape())
	for d, n := range shape {
		first := max(0, -begin[d])
		shape[d] = max(0, min(n, dst.Shape()[d]-begin[d])-first)
		from.offset += first * from.strides[d]
		to.offset += (first + begin[d]) * to.strides[d]
	}
	if slices.Contains(shape, 0) {
		return nil
	}
	copyView(to, from, shape)
	return nil
}

// padIndex returns, for every dimension, the input position that each output
// position repeats.
func padIndex(mode string, begin, in, out []int) [][]int {
	index := make([][]int, len(in))
	for d, n := range in {
		index[d] = make([]int, out[d])
		for o := range index[d] {
			i := o - begin[d]
			switch {
			case mode == "edge" || n == 1:
				i = min(max(i, 0), n-1)
			case mode == "wrap":
				i = (i%n + n) % n
			default: // reflect: the border itself is not repeated
				period := 2 * (n - 1)
				if i = (i%period + period) % period; i >= n {
					i = period - i
				}
			}
			index[d][o] = i
		}
	}
	return index
}

// copyIndexed sets dst[i,j,...] to src[index[0][i],index[1][j],...].
func copyIndexed(dst, src *tensor.Tensor, index [][]int) {
	switch dst.DType().Size() {
	case 1:
		copyIndexedAs[uint8](dst, src, index)
	case 2:
		copyIndexedAs[uint16](dst, src, index)
	case 4:
		copyIndexedAs[uint32](dst, src, index)
	case 8:
		copyIndexedAs[uint64](dst, src, index)
	default:
		copyIndexedAs[string](dst, src, index)
	}
}

func copyIndexedAs[T uint8 | uint16 | uint32 | uint64 | string](dst, src *tensor.Tensor, index [][]int) {
	to, from := elements[T](dst), elements[T](src)
	shape, strides := dst.Shape(), tensor.Strides(src.Shape())
	if len(shape) == 0 {
		copy(to, from)
		return
	}
	last := len(shape) - 1
	pos := make([]int, last)
	row := shape[last]
	for start := 0; start < len(to); start += row {
		unravel(start/row, shape[:last], pos)
		base := 0
		for d, p := range pos {
			base += index[d][p] * strides[d]
		}
		for i, at := range index[last] {
			to[start+i] = from[base+at]
		}
	}
}

func inferGather(c *Call) error {
	if err := c.wantType(1, tensor.Int32, tensor.Int64); err != nil {
		return err
	}
	x, index := c.Types[0], c.Types[1]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	axis, err := c.axis("axis", 0, len(x.Shape))
	if err != nil || !index.Known {
		return err
	}
	c.setType(x.DType, slices.Concat(x.Shape[:axis], index.Shape, x.Shape[axis+1:]))
	return nil
}

func runGather(c *Call) error {
	x, dst := c.In[0], c.out(0)
	axis, err := c.axis("axis", 0, x.Rank())
	if err != nil {
		return err
	}
	n := x.Shape()[axis]
	outer, inner := tensor.Volume(x.Shape()[:axis]), tensor.Volume(x.Shape()[axis+1:])
	index := indices(c.In[1])
	to := view{t: dst, strides: []int{len(index) * inner, 1}}
	from := view{t: x, strides: []int{n * inner, 1}}
	for k, i := range index {
		if i, err = position(i, n); err != nil {
			return err
		}
		to.offset, from.offset = k*inner, i*inner
		copyView(to, from, []int{outer, inner})
	}
	return nil
}

// position checks an index into n elements and counts a negative one from the
// end.
func position(i, n int) (int, error) {
	if i < -n || i >= n {
		return 0, badInput("index %d of %d", i, n)
	}
	if i < 0 {
		i += n
	}
	return i, nil
}

// indices returns the elements of an integer tensor.
func indices(t *tensor.Tensor) []int { return mapSlice(ints64(t), toInt) }

// padFlow: it fills in its value, which integers have if it is 0. It leaves
// channels apart unless it pads them.
func padFlow(c *Call, t *Traits) {
	if padsSpaceOnly(c) {
		t.Scale = ChannelScale
	}
	if c.Attrs.String("mode", "constant") != "constant" {
		return
	}
	if c.has(2) && c.in(2) == nil {
		t.Flow, t.Integer, t.Scale, t.Sign, t.Why = FloatOnly, InFloat, NoScale, AnySign, "it pads with a value that is not constant"
		return
	}
	value, err := c.floatInput(2, float64(c.Attrs.Float("value", 0)))
	if err != nil || value == 0 {
		return
	}
	t.Flow, t.Integer, t.Scale, t.Sign, t.Why = FloatOnly, InFloat, NoScale, NonNegative, "it pads with another value than zero"
	if value < 0 {
		t.Sign = AnySign
	}
}

// padsSpaceOnly reports whether a Pad is known to leave batch and channels alone.
func padsSpaceOnly(c *Call) bool {
	pads := c.Attrs.Ints("pads")
	if t := c.in(1); t != nil && t.DType() == tensor.Int64 {
		pads = t.Ints()
	}
	half := len(pads) / 2
	return half >= 2 && !c.has(3) && pads[0] == 0 && pads[1] == 0 && pads[half] == 0 && pads[half+1] == 0
}
