package op

import (
	"cmp"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Range", min: 3, infer: inferRange, run: runRange, anyType: true}.is(plain, inputs(Param), batch(never)),
	spec{name: "CumSum", min: 2, infer: inferCumSum, run: byNumber{f32: cumSum[float32], f64: cumSum[float64],
		i32: cumSum[int32], u32: cumSum[uint32], i64: cumSum[int64], u64: cumSum[uint64]}.run}.is(plain, inputs(Data, Index), tensors, keepsSign, tensorScale, batch(cumulativeSamples)),
	spec{name: "CumProd", min: 2, infer: inferCumSum, run: byNumber{f32: cumProd[float32], f64: cumProd[float64],
		i32: cumProd[int32], u32: cumProd[uint32], i64: cumProd[int64], u64: cumProd[uint64]}.run}.is(plain, inputs(Data, Index), tensors, keepsPositive, batch(cumulativeSamples)),
	spec{name: "TopK", min: 1, max: 2, outs: 2, infer: inferTopK, run: byNumber{f32: topK[float32], f64: topK[float64], i8: topK[int8], u8: topK[uint8],
		i16: topK[int16], u16: topK[uint16], i32: topK[int32], u32: topK[uint32], i64: topK[int64], u64: topK[uint64]}.run}.is(moving, floatMove, tensors, batch(byAxis(-1))),
	spec{name: "NonMaxSuppression", min: 2, max: 5, infer: inferNMS, run: runNMS}.is(plain, inputs(Data, Data, Index), tensors, batch(never)),
	spec{name: "ReverseSequence", min: 2, infer: inferReverse, run: runReverse, anyType: true}.is(moving, floatMove, tensors, batch(never)),
)

// rangeCount returns the number of elements; known is false if limits or step
// are not known yet.
func rangeCount(c *Call) (n int, known bool, err error) {
	var v [3]float64
	for i := range v {
		if c.in(i) == nil {
			return 0, false, nil
		}
		if v[i], err = c.floatInput(i, 0); err != nil {
			return 0, false, err
		}
	}
	count := math.Ceil((v[1] - v[0]) / v[2])
	if v[2] == 0 || count != count || count > float64(maxElements) {
		return 0, false, badInput("no range from %v to %v by %v", v[0], v[1], v[2])
	}
	return int(max(count, 0)), true, nil
}

func inferRange(c *Call) error {
	for i := range c.Types {
		if err := c.wantType(i, tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16, tensor.Int16, tensor.Int32, tensor.Int64); err != nil {
			return err
		}
	}
	n, known, err := rangeCount(c)
	if err != nil {
		return err
	}
	if !known {
		n = Unknown
	}
	c.setType(c.Types[0].DType, []int{n})
	return nil
}

func runRange(c *Call) error {
	start, step := c.In[0].Float64s()[0], c.In[2].Float64s()[0]
	values := make([]float64, c.OutType[0].Shape[0])
	for i := range values {
		values[i] = start + float64(float64(i)*step)
	}
	setFloats(c.out(0), values)
	return nil
}

func inferCumSum(c *Call) error {
	if err := c.wantType(1, tensor.Int32, tensor.Int64); err != nil {
		return err
	}
	if x := c.Types[0]; x.Known && c.in(1) != nil {
		if _, err := cumSumAxis(c, len(x.Shape)); err != nil {
			return err
		}
	}
	return sameNumeric(c)
}

func cumSumAxis(c *Call, rank int) (int, error) {
	axis, err := c.floatInput(1, 0)
	if err != nil {
		return 0, err
	}
	return normAxis(int(axis), rank)
}

func cumSum[T number](c *Call) error { return cumulate(c, 0, add[T]) }

func cumProd[T number](c *Call) error { return cumulate(c, 1, mul[T]) }

// cumulate folds everything along the axis before each element, and the element
// unless it is exclusive.
func cumulate[T number](c *Call, start T, f func(a, b T) T) error {
	shape := c.Types[0].Shape
	axis, err := cumSumAxis(c, len(shape))
	if err != nil {
		return err
	}
	exclusive, reverse := c.Attrs.Int("exclusive", 0) != 0, c.Attrs.Int("reverse", 0) != 0
	n, inner := shape[axis], tensor.Volume(shape[axis+1:])
	x, y := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	for lane := range len(x) / max(1, n) {
		base := lane/inner*n*inner + lane%inner
		acc := start
		for k := range n {
			at := base + k*inner
			if reverse {
				at = base + (n-1-k)*inner
			}
			if exclusive {
				y[at] = acc
			}
			if acc = f(acc, x[at]); !exclusive {
				y[at] = acc
			}
		}
	}
	return nil
}

func inferTopK(c *Call) error {
	x := c.Types[0]
	if err := c.wantType(0, numericTypes...); err != nil {
		return err
	}
	types := []Type{{DType: x.DType}, {DType: tensor.Int64}}
	copy(c.OutType, types)
	if !x.Known {
		return nil
	}
	axis, err := c.axis("axis", -1, len(x.Shape))
	if err != nil {
		return err
	}
	k, given, known, err := c.listOrAttr("k", 1, 10)
	if c.version() < 10 {
		k, given = []int{c.Attrs.Int("k", -1)}, true
	}
	if err != nil || !given || known && len(k) != 1 {
		return cmp.Or(err, badInput("k is missing, or not one number"))
	}
	shape := slices.Clone(x.Shape)
	if shape[axis] = Unknown; known {
		if k[0] < 0 || x.Shape[axis] != Unknown && k[0] > x.Shape[axis] {
			return badInput("the top %d of %d", k[0], x.Shape[axis])
		}
		shape[axis] = k[0]
	}
	for i := range c.OutType {
		c.OutType[i] = Type{DType: types[i].DType, Shape: shape, Known: true}
	}
	return nil
}

// topK gives the k best of every lane, best first; of equal ones the first
// comes first, and NaN comes last.
func topK[T number](c *Call) error {
	shape := c.Types[0].Shape
	axis, err := c.axis("axis", -1, len(shape))
	if err != nil {
		return err
	}
	x, y := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	var at []int64
	if len(c.Out) > 1 {
		at = c.out(1).I64()
	}
	sign := -1
	if c.Attrs.Int("largest", 1) == 0 {
		sign = 1
	}
	n, k, inner := shape[axis], c.OutType[0].Shape[axis], tensor.Volume(shape[axis+1:])
	order := make([]int, n)
	for lane := range len(x) / max(1, n) {
		base, to := lane/inner*n*inner+lane%inner, lane/inner*k*inner+lane%inner
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int {
			a, b := x[base+i*inner], x[base+j*inner]
			if isNaN(a) || isNaN(b) {
				return cmp.Compare(b2i(isNaN(a)), b2i(isNaN(b)))
			}
			return sign * cmp.Compare(a, b)
		})
		for i, o := range order[:k] {
			y[to+i*inner] = x[base+o*inner]
			if at != nil {
				at[to+i*inner] = int64(o)
			}
		}
	}
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func inferNMS(c *Call) error {
	for i := range 2 {
		if err := c.wantType(i, tensor.Float32); err != nil {
			return err
		}
	}
	boxes, scores := c.Types[0], c.Types[1]
	if boxes.Known && (len(boxes.Shape) != 3 || !compatible(boxes.Shape[2], 4)) ||
		scores.Known && len(scores.Shape) != 3 ||
		boxes.Known && scores.Known && (!compatible(boxes.Shape[0], scores.Shape[0]) || !compatible(boxes.Shape[1], scores.Shape[2])) {
		return badInput("boxes of shape %v with scores of shape %v", boxes.Shape, scores.Shape)
	}
	c.setType(tensor.Int64, []int{Unknown, 3})
	return nil
}

// runNMS selects, for every batch and class, boxes by descending score that
// overlap none selected before by more than a threshold.
func runNMS(c *Call) error {
	most, err := c.floatInput(2, 0)
	if err != nil {
		return err
	}
	overlap, err := c.floatInput(3, 0)
	if err != nil {
		return err
	}
	least, err := c.floatInput(4, math.Inf(-1))
	if err != nil {
		return err
	}
	batch, classes, n := c.Types[1].Shape[0], c.Types[1].Shape[1], c.Types[1].Shape[2]
	var out []int64
	for b := range batch {
		boxes := cornerBoxes(c.In[0].F32()[b*n*4:][:n*4], c.Attrs.Int("center_point_box", 0) != 0)
		for class := range classes {
			scores := c.In[1].F32()[(b*classes+class)*n:][:n]
			for _, i := range suppress(boxes, scores, int(clamp(most, 0, MaxElements)), overlap, least) {
				out = append(out, int64(b), int64(class), int64(i))
			}
		}
	}
	c.Out[0] = tensor.From(out, len(out)/3, 3)
	return nil
}

// cornerBoxes turns boxes to corners in order: y and x of the first, then of
// the second. Boxes by centre are x, y, width, height.
func cornerBoxes(v []float32, centre bool) [][4]float64 {
	boxes := make([][4]float64, len(v)/4)
	for i := range boxes {
		a, b, c, d := float64(v[4*i]), float64(v[4*i+1]), float64(v[4*i+2]), float64(v[4*i+3])
		if centre {
			boxes[i] = [4]float64{b - d/2, a - c/2, b + d/2, a + c/2}
			continue
		}
		boxes[i] = [4]float64{min(a, c), min(b, d), max(a, c), max(b, d)}
	}
	return boxes
}

func suppress(boxes [][4]float64, scores []float32, most int, overlap, least float64) []int {
	var order, kept []int
	for i, s := range scores {
		if float64(s) > least || math.IsInf(least, -1) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
	for _, i := range order {
		if len(kept) >= most {
			break
		}
		if !slices.ContainsFunc(kept, func(k int) bool { return intersectionOverUnion(boxes[i], boxes[k]) > overlap }) {
			kept = append(kept, i)
		}
	}
	return kept
}

func intersectionOverUnion(a, b [4]float64) float64 {
	h, w := min(a[2], b[2])-max(a[0], b[0]), min(a[3], b[3])-max(a[1], b[1])
	if h <= 0 || w <= 0 {
		return 0
	}
	area := func(v [4]float64) float64 { return (v[2] - v[0]) * (v[3] - v[1]) }
	return h * w / (area(a) + area(b) - h*w)
}

func reverseAxes(c *Call, rank int) (time, batch int, err error) {
	time, batch = c.Attrs.Int("time_axis", 0), c.Attrs.Int("batch_axis", 1)
	if rank < 2 || time < 0 || time > 1 || batch != 1-time {
		return 0, 0, badAttr("time_axis %d and batch_axis %d for %d dimensions", time, batch, rank)
	}
	return time, batch, nil
}

func inferReverse(c *Call) error {
	if err := c.wantType(1, tensor.Int64); err != nil {
		return err
	}
	x, lengths := c.Types[0], c.Types[1]
	c.OutType[0] = x
	if !x.Known {
		return nil
	}
	_, batch, err := reverseAxes(c, len(x.Shape))
	if err != nil {
		return err
	}
	if lengths.Known && (len(lengths.Shape) != 1 || !compatible(lengths.Shape[0], x.Shape[batch])) {
		return badInput("lengths of shape %v for shape %v", lengths.Shape, x.Shape)
	}
	return nil
}

// runReverse turns the first elements along the time axis around: for each
// place in the batch as many as its length says.
func runReverse(c *Call) error {
	x, dst := c.In[0], c.out(0)
	shape := x.Shape()
	time, batch, err := reverseAxes(c, x.Rank())
	if err != nil {
		return err
	}
	strides, inner := tensor.Strides(shape), tensor.Volume(shape[2:])
	for b, n := range indices(c.In[1]) {
		if n < 0 || n > shape[time] {
			return badInput("length %d of %d", n, shape[time])
		}
		for t := range shape[time] {
			from := t
			if t < n {
				from = n - 1 - t
			}
			copyRun(dst, b*strides[batch]+t*strides[time], x, b*strides[batch]+from*strides[time], inner)
		}
	}
	return nil
}
