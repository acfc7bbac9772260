package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "GatherElements", min: 2, infer: inferGatherElements, run: runGatherElements, anyType: true}.is(moving, floatMove, tensors, batch(elementSamples)),
	spec{name: "GatherND", min: 2, infer: inferGatherND, run: runGatherND, anyType: true}.is(moving, floatMove, tensors, batch(never)),
	spec{name: "ScatterElements", min: 3, infer: inferScatterElements, run: runScatterElements, anyType: true}.is(plain, floatMove, inputs(Data, Index, Data), tensors, keepsSign, tensorScale, batch(elementSamples)).where(scatterFlow),
	spec{name: "Scatter", min: 3, infer: inferScatterElements, run: runScatterElements, anyType: true}.is(plain, floatMove, inputs(Data, Index, Data), tensors, keepsSign, tensorScale, batch(elementSamples)).where(scatterFlow),
	spec{name: "ScatterND", min: 3, infer: inferScatterND, run: runScatterND, anyType: true}.is(plain, floatMove, inputs(Data, Index, Data), tensors, keepsSign, tensorScale, batch(never)).where(scatterFlow),
	spec{name: "OneHot", min: 3, infer: inferOneHot, run: runOneHot, anyType: true}.is(plain, inputs(Index, Index, Param), batch(oneHotSamples)),
	spec{name: "NonZero", min: 1, infer: inferNonZero, run: runNonZero, anyType: true}.is(plain, inputs(Data), batch(never)),
	spec{name: "Compress", min: 2, infer: inferCompress, run: runCompress, anyType: true}.is(moving, floatMove, tensors, batch(never)),
	spec{name: "Trilu", min: 1, max: 2, infer: inferTrilu, run: runTrilu, anyType: true}.is(moving, floatMove, tensors, batch(triluSamples)),
	spec{name: "EyeLike", min: 1, infer: inferEyeLike, run: runEyeLike, anyType: true}.is(plain, inputs(Shape), tensors, fraction, batch(never)),
)

func inferGatherElements(c *Call) error {
	if err := c.wantType(1, tensor.Int32, tensor.Int64); err != nil {
		return err
	}
	x, index := c.Types[0], c.Types[1]
	c.OutType[0] = Type{DType: x.DType, Shape: index.Shape, Known: index.Known}
	if !x.Known || !index.Known {
		return nil
	}
	return elementwiseIndex(c, x.Shape, index.Shape)
}

// elementwiseIndex checks that an index has one place for each element it
// takes, and reaches beyond the data along the axis only.
func elementwiseIndex(c *Call, x, index []int) error {
	axis, err := c.axis("axis", 0, len(x))
	if err != nil {
		return err
	}
	if len(index) != len(x) {
		return badInput("indices of shape %v for shape %v", index, x)
	}
	for d := range x {
		if d != axis && x[d] != Unknown && index[d] > x[d] {
			return badInput("indices of shape %v for shape %v", index, x)
		}
	}
	return nil
}

// eachIndexed calls f with the place in x that each element of the index at
// input 1 names, along the axis, and the element's own place.
func eachIndexed(c *Call, f func(at, i int)) error {
	shape, index := c.In[0].Shape(), indices(c.In[1])
	axis, err := c.axis("axis", 0, len(shape))
	if err != nil {
		return err
	}
	strides := tensor.Strides(shape)
	pos := make([]int, len(shape))
	for i, v := range index {
		unravel(i, c.In[1].Shape(), pos)
		if pos[axis], err = position(v, shape[axis]); err != nil {
			return err
		}
		at := 0
		for d, p := range pos {
			at += p * strides[d]
		}
		f(at, i)
	}
	return nil
}

func runGatherElements(c *Call) error {
	dst := c.out(0)
	return eachIndexed(c, func(at, i int) { copyRun(dst, i, c.In[0], at, 1) })
}

// copyRun copies n elements.
func copyRun(dst *tensor.Tensor, to int, src *tensor.Tensor, from, n int) {
	if dst.DType() == tensor.String {
		copy(tensor.Data[string](dst)[to:to+n], tensor.Data[string](src)[from:])
		return
	}
	size := dst.DType().Size()
	copy(dst.Bytes()[to*size:(to+n)*size], src.Bytes()[from*size:])
}

// tupleShapes checks the operands of GatherND and ScatterND. Indices are
// tuples of k; what a tuple names has the shape that follows the first
// batch+k dimensions of x.
func tupleShapes(x, index Type, batch int) (k int, rest []int, err error) {
	if len(index.Shape) == 0 || len(x.Shape) == 0 {
		return 0, nil, badInput("indices of shape %v for shape %v", index.Shape, x.Shape)
	}
	k = index.Shape[len(index.Shape)-1]
	if k < 1 || batch < 0 || batch >= len(index.Shape) || batch+k > len(x.Shape) {
		return 0, nil, badInput("indices of shape %v for shape %v, %d of them batch dimensions", index.Shape, x.Shape, batch)
	}
	for d := range batch {
		if !compatible(x.Shape[d], index.Shape[d]) {
			return 0, nil, badInput("indices of shape %v for shape %v", index.Shape, x.Shape)
		}
	}
	return k, x.Shape[batch+k:], nil
}

func inferGatherND(c *Call) error {
	if err := c.wantType(1, tensor.Int64); err != nil {
		return err
	}
	x, index := c.Types[0], c.Types[1]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known || !index.Known || len(index.Shape) > 0 && index.Shape[len(index.Shape)-1] == Unknown {
		return nil
	}
	_, rest, err := tupleShapes(x, index, c.Attrs.Int("batch_dims", 0))
	if err != nil {
		return err
	}
	c.setType(x.DType, slices.Concat(index.Shape[:len(index.Shape)-1], rest))
	return nil
}

// tupleOffset returns the first element that a tuple of indices names.
func tupleOffset(tuple, shape []int, size int) (int, error) {
	at := 0
	for d, v := range tuple {
		p, err := position(v, shape[d])
		if err != nil {
			return 0, err
		}
		at = at*shape[d] + p
	}
	return at * size, nil
}

func runGatherND(c *Call) error {
	x, dst, index := c.In[0], c.out(0), indices(c.In[1])
	batch := c.Attrs.Int("batch_dims", 0)
	k, rest, err := tupleShapes(c.Types[0], c.Types[1], batch)
	if err != nil {
		return err
	}
	size := tensor.Volume(rest)
	perBatch := tensor.Volume(c.Types[1].Shape[batch : len(c.Types[1].Shape)-1])
	block := tensor.Volume(x.Shape()[batch:])
	for i := 0; i*k < len(index); i++ {
		at, err := tupleOffset(index[i*k:(i+1)*k], x.Shape()[batch:], size)
		if err != nil {
			return err
		}
		copyRun(dst, i*size, x, i/perBatch*block+at, size)
	}
	return nil
}

func inferScatterElements(c *Call) error {
	if err := c.wantType(1, tensor.Int32, tensor.Int64); err != nil {
		return err
	}
	if err := checkReduction(c); err != nil {
		return err
	}
	x, index, updates := c.Types[0], c.Types[1], c.Types[2]
	if x.DType != tensor.Undefined && updates.DType != tensor.Undefined && x.DType != updates.DType {
		return badInput("updates are %s, data are %s", updates.DType, x.DType)
	}
	c.OutType[0] = x
	if !x.Known || !index.Known {
		return nil
	}
	if updates.Static() && index.Static() && !slices.Equal(updates.Shape, index.Shape) {
		return badInput("updates of shape %v for indices of shape %v", updates.Shape, index.Shape)
	}
	return elementwiseIndex(c, x.Shape, index.Shape)
}

func checkReduction(c *Call) error {
	r := c.Attrs.String("reduction", "none")
	if !slices.Contains([]string{"none", "add", "mul", "max", "min"}, r) {
		return badAttr("reduction is %q", r)
	}
	if d := c.Types[0].DType; r != "none" && !slices.Contains(numericTypes, d) && d != tensor.Undefined {
		return badInput("%s have no reduction %q", d, r)
	}
	return nil
}

func runScatterElements(c *Call) error {
	dst := c.In[0].Clone()
	c.Out[0] = dst
	combine := combiner(c.Attrs.String("reduction", "none"))
	return eachIndexed(c, func(at, i int) { combine(dst, at, c.In[2], i, 1) })
}

// combiner returns a function that folds n elements of src into dst.
func combiner(reduction string) func(dst *tensor.Tensor, to int, src *tensor.Tensor, from, n int) {
	if reduction == "none" {
		return copyRun
	}
	return func(dst *tensor.Tensor, to int, src *tensor.Tensor, from, n int) {
		switch dst.DType() {
		case tensor.Float32:
			combineAs[float32](reduction, dst, to, src, from, n)
		case tensor.Float64:
			combineAs[float64](reduction, dst, to, src, from, n)
		case tensor.Int32:
			combineAs[int32](reduction, dst, to, src, from, n)
		case tensor.Int64:
			combineAs[int64](reduction, dst, to, src, from, n)
		case tensor.Int8:
			combineAs[int8](reduction, dst, to, src, from, n)
		case tensor.Uint8:
			combineAs[uint8](reduction, dst, to, src, from, n)
		default:
			panic("no reduction of " + dst.DType().String())
		}
	}
}

func combineAs[T number](reduction string, dst *tensor.Tensor, to int, src *tensor.Tensor, from, n int) {
	f := map[string]func(a, b T) T{"add": add[T], "mul": mul[T], "max": larger[T], "min": smaller[T]}[reduction]
	d, s := tensor.Data[T](dst)[to:to+n], tensor.Data[T](src)[from:from+n]
	for i := range d {
		d[i] = f(d[i], s[i])
	}
}

func inferScatterND(c *Call) error {
	if err := c.wantType(1, tensor.Int64); err != nil {
		return err
	}
	if err := checkReduction(c); err != nil {
		return err
	}
	x, index, updates := c.Types[0], c.Types[1], c.Types[2]
	if x.DType != tensor.Undefined && updates.DType != tensor.Undefined && x.DType != updates.DType {
		return badInput("updates are %s, data are %s", updates.DType, x.DType)
	}
	c.OutType[0] = x
	if !x.Static() || !index.Static() || !updates.Static() {
		return nil
	}
	_, rest, err := tupleShapes(x, index, 0)
	if err != nil {
		return err
	}
	if want := slices.Concat(index.Shape[:len(index.Shape)-1], rest); !slices.Equal(updates.Shape, want) {
		return badInput("updates of shape %v, should be %v", updates.Shape, want)
	}
	return nil
}

func runScatterND(c *Call) error {
	dst, index := c.In[0].Clone(), indices(c.In[1])
	c.Out[0] = dst
	k, rest, err := tupleShapes(c.Types[0], c.Types[1], 0)
	if err != nil {
		return err
	}
	size := tensor.Volume(rest)
	combine := combiner(c.Attrs.String("reduction", "none"))
	for i := 0; i*k < len(index); i++ {
		at, err := tupleOffset(index[i*k:(i+1)*k], dst.Shape(), size)
		if err != nil {
			return err
		}
		combine(dst, at, c.In[2], i*size, size)
	}
	return nil
}

func inferOneHot(c *Call) error {
	for i := range 2 {
		if err := c.wantType(i, numericTypes...); err != nil {
			return err
		}
	}
	index := c.Types[0]
	c.OutType[0] = Type{DType: c.Types[2].DType}
	if v := c.in(2); v != nil && v.Len() != 2 {
		return badInput("values are %s, two are needed", v)
	}
	if !index.Known {
		return nil
	}
	axis, err := c.axis("axis", -1, len(index.Shape)+1)
	if err != nil {
		return err
	}
	depth := Unknown
	if c.in(1) != nil {
		d, err := c.floatInput(1, 0)
		if err != nil {
			return err
		}
		if !(d >= 1) || d > MaxElements {
			return badInput("the depth is %v", d)
		}
		depth = int(d)
	}
	c.setType(c.Types[2].DType, slices.Insert(slices.Clone(index.Shape), axis, depth))
	return nil
}

func runOneHot(c *Call) error {
	dst := c.out(0)
	axis, err := c.axis("axis", -1, dst.Rank())
	if err != nil {
		return err
	}
	depth, inner := dst.Shape()[axis], tensor.Volume(dst.Shape()[axis+1:])
	copyView(whole(dst), view{t: c.In[2], strides: make([]int, dst.Rank())}, dst.Shape())
	for i, v := range c.In[0].Float64s() {
		if p, err := position(int(v), depth); err == nil { // others stay off
			copyRun(dst, (i/inner*depth+p)*inner+i%inner, c.In[2], 1, 1)
		}
	}
	return nil
}

func inferNonZero(c *Call) error {
	rank := Unknown
	if c.Types[0].Known {
		rank = len(c.Types[0].Shape)
	}
	if c.Types[0].DType == tensor.String {
		return badInput("strings are not zero or not")
	}
	c.setType(tensor.Int64, []int{rank, Unknown})
	return nil
}

// runNonZero gives the positions of the elements that are not zero, a row for
// each dimension.
func runNonZero(c *Call) error {
	shape := c.In[0].Shape()
	rows := make([][]int64, len(shape))
	pos := make([]int, len(shape))
	count := 0
	for i, v := range c.In[0].Float64s() {
		if v == 0 {
			continue
		}
		count++
		unravel(i, shape, pos)
		for d, p := range pos {
			rows[d] = append(rows[d], int64(p))
		}
	}
	c.Out[0] = tensor.From(slices.Concat(rows...), len(shape), count)
	return nil
}

func inferCompress(c *Call) error {
	if err := c.wantType(1, tensor.Bool); err != nil {
		return err
	}
	x := c.Types[0]
	if p := c.Types[1]; p.Known && len(p.Shape) != 1 {
		return badInput("the condition has shape %v", p.Shape)
	}
	c.setType(x.DType, []int{Unknown})
	if !c.Attrs.Has("axis") {
		return nil
	}
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	axis, err := c.axis("axis", 0, len(x.Shape))
	if err != nil {
		return err
	}
	shape := slices.Clone(x.Shape)
	shape[axis] = Unknown
	c.setType(x.DType, shape)
	return nil
}

// runCompress keeps the slices along the axis for which the condition holds;
// without an axis, elements.
func runCompress(c *Call) (err error) {
	x, axis := c.In[0], 0
	if c.Attrs.Has("axis") {
		if axis, err = c.axis("axis", 0, x.Rank()); err != nil {
			return err
		}
	} else if x, err = x.Reshape(x.Len()); err != nil {
		return err
	}
	var keep []int64
	for i, v := range tensor.Data[bool](c.In[1]) {
		if v && i < x.Shape()[axis] {
			keep = append(keep, int64(i))
		}
	}
	o, err := Lookup("", "Gather")
	if err != nil {
		return err
	}
	g := &Call{Attrs: Attrs{"axis": int64(axis)}, In: []*tensor.Tensor{x, tensor.From(keep, len(keep))}, Out: c.Out}
	return o.Run(g)
}

func inferTrilu(c *Call) error {
	if x := c.Types[0]; x.Known && len(x.Shape) < 2 {
		return badInput("shape %v is no matrix", x.Shape)
	}
	if _, err := c.floatInput(1, 0); err != nil {
		return err
	}
	return same(c)
}

// runTrilu keeps the upper (or lower) triangle of matrices, up to diagonal k.
func runTrilu(c *Call) error {
	k, err := c.floatInput(1, 0)
	if err != nil {
		return err
	}
	x, dst := c.In[0], c.out(0)
	rows, cols := x.Shape()[x.Rank()-2], x.Shape()[x.Rank()-1]
	upper := c.Attrs.Int("upper", 1) != 0
	diagonal := int(clamp(k, -MaxElements, MaxElements))
	for start := 0; start < x.Len(); start += cols {
		first := start / cols % rows
		lo, hi := limit(max(0, first+diagonal), cols, 0, cols), cols
		if !upper {
			lo, hi = 0, min(max(0, first+diagonal+1), cols)
		}
		copyRun(dst, start+lo, x, start+lo, hi-lo)
	}
	return nil
}

func inferEyeLike(c *Call) error {
	x := c.Types[0]
	if x.Known && len(x.Shape) != 2 {
		return badInput("shape %v is no matrix", x.Shape)
	}
	c.OutType[0] = x
	if n := c.Attrs.Int("dtype", 0); n != 0 {
		to, ok := fileTypes[n]
		if !ok || to == tensor.String {
			return badAttr("dtype: element type %d is not supported", n)
		}
		c.OutType[0].DType = to
	}
	return nil
}

func runEyeLike(c *Call) error {
	dst := c.out(0)
	rows, cols, k := dst.Shape()[0], dst.Shape()[1], c.Attrs.Int("k", 0)
	values := make([]float64, dst.Len())
	for i := range rows {
		if j := i + k; j >= 0 && j < cols {
			values[i*cols+j] = 1
		}
	}
	setFloats(dst, values)
	return nil
}

// scatterFlow: with a reduction it computes.
func scatterFlow(c *Call, t *Traits) {
	switch c.Attrs.String("reduction", "none") {
	case "none":
	case "mul":
		t.Flow, t.Sign, t.Scale = FloatOnly, NonNegative, NoScale
	default:
		t.Flow = FloatOnly
	}
}
