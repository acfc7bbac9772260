package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Transpose", min: 1, infer: inferTranspose, run: runTranspose, anyType: true}.is(moving, batchAxis(transposedBatch), permutes, batch(transposeSamples)),
	spec{name: "Concat", min: 1, max: variadic, infer: inferConcat, run: runConcat, anyType: true}.is(plain, inputs(Data), tensors, flow(Concat, inQ(QConcat, microsoft, "QLinearConcat", false)), keepsSign, tensorScale, batch(concatSamples)),
	spec{name: "Split", min: 1, max: 2, outs: variadic, infer: inferSplit, run: runSplit, anyType: true}.is(moving, batchAxis(splitBatch), tensors, batch(byAxis(0))),
	spec{name: "Expand", min: 2, infer: inferExpand, run: runExpand, anyType: true}.is(moving, inputs(Data, Shape), batch(expandSamples)),
	spec{name: "Tile", min: 2, max: 3, infer: inferTile, run: runTile, anyType: true}.is(moving, batch(tileSamples)),
	spec{name: "DepthToSpace", min: 1, infer: inferDepthToSpace, run: runDepthToSpace, anyType: true}.is(moving, permutes, tensors, batch(firstInput)),
	spec{name: "SpaceToDepth", min: 1, infer: inferSpaceToDepth, run: runSpaceToDepth, anyType: true}.is(moving, permutes, tensors, batch(firstInput)),
)

// permutation returns the perm attribute, by default the reversed order.
func permutation(c *Call, rank int) ([]int, error) {
	perm := c.Attrs.Ints("perm")
	if perm == nil {
		perm = make([]int, rank)
		for i := range perm {
			perm[i] = rank - 1 - i
		}
	}
	if len(perm) != rank {
		return nil, badAttr("perm %v for %d dimensions", perm, rank)
	}
	return normAxes(perm, rank)
}

func inferTranspose(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	perm, err := permutation(c, len(x.Shape))
	if err != nil {
		return err
	}
	c.setType(x.DType, permuted(x.Shape, perm))
	return nil
}

func permuted(v, perm []int) []int {
	out := make([]int, len(perm))
	for i, p := range perm {
		out[i] = v[p]
	}
	return out
}

func runTranspose(c *Call) error {
	perm, err := permutation(c, c.In[0].Rank())
	if err != nil {
		return err
	}
	transpose(c.out(0), c.In[0], perm)
	return nil
}

func transpose(dst, src *tensor.Tensor, perm []int) {
	copyView(whole(dst), view{t: src, strides: permuted(tensor.Strides(src.Shape()), perm)}, dst.Shape())
}

func inferConcat(c *Call) error {
	d := tensor.Undefined
	for _, t := range c.Types {
		if d != tensor.Undefined && t.DType != tensor.Undefined && d != t.DType {
			return badInput("inputs are %s and %s", d, t.DType)
		}
		d = max(d, t.DType)
	}
	c.OutType[0] = Type{DType: d}
	var shape []int
	axis := 0
	for i, t := range c.Types {
		if !t.Known {
			return nil
		}
		if shape == nil {
			var err error
			if axis, err = concatAxis(c, len(t.Shape)); err != nil {
				return err
			}
			shape = slices.Clone(t.Shape)
			continue
		}
		if len(t.Shape) != len(shape) {
			return badInput("input %d has shape %v, input 0 %v", i, t.Shape, c.Types[0].Shape)
		}
		for d, n := range t.Shape {
			switch {
			case d == axis && (n == Unknown || shape[d] == Unknown):
				shape[d] = Unknown
			case d == axis:
				shape[d] += n
			case !compatible(n, shape[d]):
				return badInput("input %d has shape %v, input 0 %v", i, t.Shape, c.Types[0].Shape)
			case shape[d] == Unknown:
				shape[d] = n
			}
		}
	}
	c.setType(d, shape)
	return nil
}

func concatAxis(c *Call, rank int) (int, error) {
	if c.version() >= 4 {
		if err := c.Attrs.Require("axis"); err != nil {
			return 0, err
		}
	}
	return c.axis("axis", 1, rank)
}

func runConcat(c *Call) error {
	dst := whole(c.out(0))
	axis, err := concatAxis(c, dst.t.Rank())
	if err != nil {
		return err
	}
	for _, t := range c.In {
		copyView(dst, whole(t), t.Shape())
		dst.offset += t.Shape()[axis] * dst.strides[axis]
	}
	return nil
}

// splitSizes returns the sizes of the parts along the axis; nil if they are not
// known yet.
func splitSizes(c *Call, n int) ([]int, error) {
	sizes, given, known, err := c.listOrAttr("split", 1, 13)
	if err != nil || !known {
		return nil, err
	}
	parts := len(c.OutType)
	if !given {
		if c.Attrs.Has("num_outputs") && c.Attrs.Int("num_outputs", 0) != parts {
			return nil, badAttr("num_outputs is %d for %d outputs", c.Attrs.Int("num_outputs", 0), parts)
		}
		if n == Unknown {
			return nil, nil
		}
		// The last part is smaller if they cannot be equal.
		each := (n + parts - 1) / parts
		for i := range parts {
			sizes = append(sizes, max(0, min(each, n-i*each)))
		}
		return sizes, nil
	}
	left := n
	for _, s := range sizes {
		if s < 0 || n != Unknown && s > left {
			return nil, badInput("cannot split %d to %v", n, sizes)
		}
		left -= s
	}
	if len(sizes) != parts || n != Unknown && left != 0 {
		return nil, badInput("cannot split %d to %v, %d outputs", n, sizes, parts)
	}
	return sizes, nil
}

func inferSplit(c *Call) error {
	x := c.Types[0]
	for i := range c.OutType {
		c.OutType[i] = Type{DType: x.DType}
	}
	if !x.Known {
		return nil
	}
	axis, err := c.axis("axis", 0, len(x.Shape))
	if err != nil {
		return err
	}
	sizes, err := splitSizes(c, x.Shape[axis])
	if err != nil {
		return err
	}
	for i := range c.OutType {
		shape := slices.Clone(x.Shape)
		if shape[axis] = Unknown; sizes != nil {
			shape[axis] = sizes[i]
		}
		c.OutType[i] = Type{DType: x.DType, Shape: shape, Known: true}
	}
	return nil
}

func runSplit(c *Call) error {
	src := whole(c.In[0])
	axis, err := c.axis("axis", 0, c.In[0].Rank())
	if err != nil {
		return err
	}
	for i := range c.Out {
		dst := c.out(i)
		copyView(whole(dst), src, dst.Shape())
		src.offset += dst.Shape()[axis] * src.strides[axis]
	}
	return nil
}

func inferExpand(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	want, known, err := c.intsInput(1)
	if err != nil || !known || !x.Known {
		return err
	}
	if slices.ContainsFunc(want, func(d int) bool { return d < 0 }) {
		return badInput("cannot expand to %v", want)
	}
	shape, err := broadcast(x.Shape, want)
	if err != nil {
		return err
	}
	c.setType(x.DType, shape)
	return nil
}

func runExpand(c *Call) error {
	dst := c.out(0)
	copyView(whole(dst), view{t: c.In[0], strides: broadcastStrides(c.In[0].Shape(), dst.Shape())}, dst.Shape())
	return nil
}

// tileRepeats returns how often each dimension is repeated. Version 1 had
// number and axis as inputs instead.
func tileRepeats(c *Call, rank int) ([]int, error) {
	repeats, known, err := c.intsInput(1)
	if err != nil || !known {
		return nil, err
	}
	if c.version() < 6 {
		axis, ok, err := c.intsInput(2)
		if err != nil || !ok && c.has(2) {
			return nil, err
		}
		if len(axis) != 1 || len(repeats) != 1 {
			return nil, badInput("repeats %v along %v: one number each is needed", repeats, axis)
		}
		a, err := normAxis(axis[0], rank)
		if err != nil {
			return nil, err
		}
		all := slices.Repeat([]int{1}, rank)
		all[a] = repeats[0]
		repeats = all
	}
	if len(repeats) != rank || slices.ContainsFunc(repeats, func(r int) bool { return r < 0 }) {
		return nil, badInput("cannot repeat %d dimensions %v times", rank, repeats)
	}
	return repeats, nil
}

func inferTile(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	repeats, err := tileRepeats(c, len(x.Shape))
	if err != nil {
		return err
	}
	shape := unknownShape(len(x.Shape))
	for d := range repeats {
		if x.Shape[d] == Unknown {
			continue
		}
		n, ok := tensor.CheckedVolume([]int{x.Shape[d], repeats[d]})
		if !ok {
			return badInput("cannot repeat shape %v %v times", x.Shape, repeats)
		}
		shape[d] = n
	}
	c.setType(x.DType, shape)
	return nil
}

// runTile splits every dimension in the repeats, which read the same elements
// again, and the dimension itself.
func runTile(c *Call) error {
	repeats, err := tileRepeats(c, c.In[0].Rank())
	if err != nil {
		return err
	}
	var shape, strides []int
	s := tensor.Strides(c.In[0].Shape())
	for d, n := range c.In[0].Shape() {
		shape, strides = append(shape, repeats[d], n), append(strides, 0, s[d])
	}
	dst := c.out(0)
	copyView(view{t: dst, strides: tensor.Strides(shape)}, view{t: c.In[0], strides: strides}, shape)
	return nil
}

// blockSize returns the blocksize attribute.
func blockSize(c *Call) (int, error) {
	b := c.Attrs.Int("blocksize", 0)
	if b < 1 || b > maxWindow {
		return 0, badAttr("blocksize is %d", b)
	}
	return b, nil
}

func inferDepthToSpace(c *Call) error {
	b, err := blockSize(c)
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if err != nil || !x.Known {
		return err
	}
	if len(x.Shape) != 4 || x.Shape[1] != Unknown && x.Shape[1]%(b*b) != 0 {
		return badInput("shape %v for blocks of %d", x.Shape, b)
	}
	shape := slices.Clone(x.Shape)
	for d, n := range shape {
		switch {
		case n == Unknown || d == 0:
		case d == 1:
			shape[d] = n / (b * b)
		default:
			shape[d] = n * b
		}
	}
	c.setType(x.DType, shape)
	return nil
}

func runDepthToSpace(c *Call) error {
	b, err := blockSize(c)
	if err != nil {
		return err
	}
	s := c.In[0].Shape()
	split, perm := []int{s[0], b, b, s[1] / (b * b), s[2], s[3]}, []int{0, 3, 4, 1, 5, 2}
	if c.Attrs.String("mode", "DCR") == "CRD" {
		split, perm = []int{s[0], s[1] / (b * b), b, b, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	return moveBlocks(c, split, perm)
}

// moveBlocks transposes input 0, seen with shape split, to output 0.
func moveBlocks(c *Call, split, perm []int) error {
	src, err := c.In[0].Reshape(split...)
	if err != nil {
		return err
	}
	dst, err := c.out(0).Reshape(permuted(split, perm)...)
	if err != nil {
		return err
	}
	transpose(dst, src, perm)
	return nil
}

func inferSpaceToDepth(c *Call) error {
	b, err := blockSize(c)
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if err != nil || !x.Known {
		return err
	}
	if len(x.Shape) != 4 {
		return badInput("shape %v has not four dimensions", x.Shape)
	}
	shape := slices.Clone(x.Shape)
	for d, n := range shape {
		switch {
		case n == Unknown || d == 0:
		case d == 1:
			shape[d] = n * b * b
		case n%b != 0:
			return badInput("shape %v for blocks of %d", x.Shape, b)
		default:
			shape[d] = n / b
		}
	}
	c.setType(x.DType, shape)
	return nil
}

func runSpaceToDepth(c *Call) error {
	b, err := blockSize(c)
	if err != nil {
		return err
	}
	s := c.In[0].Shape()
	perm := []int{0, 3, 5, 1, 2, 4}
	if c.Attrs.String("mode", "DCR") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	return moveBlocks(c, []int{s[0], s[1], s[2] / b, b, s[3] / b, b}, perm)
}
