package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Operators that put pieces into a larger tensor or cut them out.
var _ = register(
	spec{name: "CenterCropPad", min: 2, infer: inferCenterCropPad, run: runCenterCropPad, anyType: true}.
		is(moving, floatMove, inputs(Data, Shape), tensors, batch(cropSamples)),
	spec{name: "Col2Im", min: 3, infer: inferCol2Im, run: runCol2Im, anyType: true}.
		is(spatial, inputs(Data, Shape), keepsSign, tensorScale),
	spec{name: "TensorScatter", min: 2, max: 3, infer: inferTensorScatter, run: runTensorScatter, anyType: true}.
		is(plain, floatMove, inputs(Data, Data, Index), tensors, keepsSign, tensorScale, batch(everyInput)),
	spec{name: "MaxUnpool", min: 2, max: 3, infer: inferMaxUnpool, run: runMaxUnpool, anyType: true}.
		is(plain, floatMove, inputs(Data, Index, Shape), tensors, keepsSign, tensorScale, batch(never)),
)

// cropSizes returns the shape to crop or pad to; ok is false if it is not known yet.
func cropSizes(c *Call) (shape []int, ok bool, err error) {
	x := c.Types[0]
	want, known, err := c.intsInput(1)
	if err != nil || !known || !x.Known {
		return nil, false, err
	}
	axes := c.Attrs.Ints("axes")
	if axes == nil {
		axes = make([]int, len(x.Shape))
		for i := range axes {
			axes[i] = i
		}
	}
	if axes, err = normAxes(axes, len(x.Shape)); err != nil || len(axes) != len(want) {
		return nil, false, badInput("sizes %v for axes %v", want, axes)
	}
	shape = slices.Clone(x.Shape)
	for i, a := range axes {
		if shape[a] = want[i]; want[i] < 0 {
			return nil, false, badInput("sizes %v", want)
		}
	}
	return shape, true, nil
}

func inferCenterCropPad(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	shape, ok, err := cropSizes(c)
	switch {
	case err != nil:
		return err
	case ok:
		c.setType(x.DType, shape)
	case x.Known:
		c.setType(x.DType, unknownShape(len(x.Shape)))
	}
	return nil
}

// runCenterCropPad copies what is in both, an odd element more being cut or added
// at the end.
func runCenterCropPad(c *Call) error {
	src, dst := whole(c.In[0]), whole(c.out(0))
	from, to := c.In[0].Shape(), c.OutType[0].Shape
	both := slices.Clone(from)
	for d := range both {
		if both[d] = min(from[d], to[d]); from[d] > to[d] {
			src.offset += (from[d] - to[d]) / 2 * src.strides[d]
		} else {
			dst.offset += (to[d] - from[d]) / 2 * dst.strides[d]
		}
	}
	copyView(dst, src, both)
	return nil
}

func cropSamples(s *Samples) bool { return firstInput(s) && s.leaves(s.Attrs.Ints("axes"), true) }

// blocks is where the blocks of a Col2Im stand.
type blocks struct {
	image, block, stride, dilation, pads, count []int
}

func blocksOf(c *Call) (b blocks, ok bool, err error) {
	image, known, err := c.intsInput(1)
	if err != nil || !known {
		return b, false, err
	}
	block, known, err := c.intsInput(2)
	if err != nil || !known {
		return b, false, err
	}
	r := len(image)
	orAll := func(name string, n, def int) []int {
		if v := c.Attrs.Ints(name); v != nil {
			return v
		}
		return slices.Repeat([]int{def}, n)
	}
	b = blocks{image, block, orAll("strides", r, 1), orAll("dilations", r, 1), orAll("pads", 2*r, 0), make([]int, r)}
	if r < 1 || len(block) != r || len(b.stride) != r || len(b.dilation) != r || len(b.pads) != 2*r {
		return b, false, badInput("blocks of shape %v in an image of shape %v", block, image)
	}
	for d := range image {
		if block[d] < 1 || b.stride[d] < 1 || b.dilation[d] < 1 || b.pads[d] < 0 || b.pads[d+r] < 0 || image[d] < 1 || max(image[d], block[d], b.dilation[d]) > maxWindow {
			return b, false, badInput("blocks of shape %v in an image of shape %v", block, image)
		}
		if b.count[d] = (image[d]+b.pads[d]+b.pads[d+r]-b.dilation[d]*(block[d]-1)-1)/b.stride[d] + 1; b.count[d] < 1 {
			return b, false, badInput("blocks of shape %v in an image of shape %v", block, image)
		}
	}
	return b, true, nil
}

func inferCol2Im(c *Call) error {
	x := c.Types[0]
	b, ok, err := blocksOf(c)
	c.OutType[0] = Type{DType: x.DType}
	if err != nil || !ok || !x.Static() {
		return err
	}
	size := tensor.Volume(b.block)
	if x.DType == tensor.String || len(x.Shape) != 3 || x.Shape[1]%size != 0 || x.Shape[2] != tensor.Volume(b.count) {
		return badInput("shape %v for blocks of shape %v in an image of shape %v", x.Shape, b.block, b.image)
	}
	c.setType(x.DType, append([]int{x.Shape[0], x.Shape[1] / size}, b.image...))
	return nil
}

// runCol2Im adds every block where it stands.
func runCol2Im(c *Call) error {
	b, _, err := blocksOf(c)
	if err != nil {
		return err
	}
	x, shape := c.In[0].Float64s(), c.Types[0].Shape
	y := make([]float64, tensor.Volume(c.OutType[0].Shape))
	taps, plane := tensor.Volume(b.block), tensor.Volume(b.image)
	for row := range shape[0] * shape[1] {
		base := row / taps * plane
		for at := range shape[2] {
			offset, inside := 0, true
			for d, tap, place, stride := len(b.image)-1, row%taps, at, 1; d >= 0; d-- {
				i := place%b.count[d]*b.stride[d] - b.pads[d] + tap%b.block[d]*b.dilation[d]
				inside = inside && i >= 0 && i < b.image[d]
				offset += i * stride
				tap, place, stride = tap/b.block[d], place/b.count[d], stride*b.image[d]
			}
			if inside {
				y[base+offset] += x[row*shape[2]+at]
			}
		}
	}
	setFloats(c.out(0), y)
	return nil
}

func inferTensorScatter(c *Call) error {
	x, u := c.Types[0], c.Types[1]
	c.OutType[0] = x
	if err := c.wantType(2, tensor.Int64, tensor.Int32); err != nil || !x.Static() || !u.Static() {
		return err
	}
	axis, err := c.axis("axis", -2, len(x.Shape))
	if err != nil {
		return err
	}
	same := len(x.Shape) == len(u.Shape) && axis > 0
	for d := range x.Shape {
		same = same && (x.Shape[d] == u.Shape[d] || d == axis && u.Shape[d] <= x.Shape[d])
	}
	if !same || x.DType != u.DType {
		return badInput("an update %s%v of a cache %s%v along axis %d", u.DType, u.Shape, x.DType, x.Shape, axis)
	}
	if t := c.typ(2); t.Static() && !slices.Equal(t.Shape, x.Shape[:1]) {
		return badInput("places of shape %v for a batch of %d", t.Shape, x.Shape[0])
	}
	return nil
}

// runTensorScatter writes the steps of the update behind each other from a place on,
// which a circular cache counts modulo its length.
func runTensorScatter(c *Call) error {
	shape, steps := c.Types[0].Shape, c.Types[1].Shape
	axis, err := c.axis("axis", -2, len(shape))
	if err != nil {
		return err
	}
	places := make([]int, shape[0])
	if t := c.in(2); t != nil {
		places = t.Ints()
	}
	c.Out[0] = c.In[0].Clone()
	dst, src := whole(c.Out[0]), whole(c.In[1])
	one := slices.Clone(steps)
	one[0], one[axis] = 1, 1
	for n, place := range places {
		for i := range steps[axis] {
			at := place + i
			if c.Attrs.String("mode", "linear") == "circular" && at >= 0 {
				at %= shape[axis]
			}
			if at < 0 || at >= shape[axis] {
				return badInput("step %d of a cache of %d", at, shape[axis])
			}
			d, s := dst, src
			d.offset = n*d.strides[0] + at*d.strides[axis]
			s.offset = n*s.strides[0] + i*s.strides[axis]
			copyView(d, s, one)
		}
	}
	return nil
}

// inferMaxUnpool: the shape before the pooling, which the attributes tell unless it is
// given.
func inferMaxUnpool(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if err := c.wantType(1, tensor.Int64); err != nil {
		return err
	}
	shape, known, err := c.intsInput(2)
	if err != nil || c.has(2) && !known || !x.Static() {
		return err
	}
	kernel := c.Attrs.Ints("kernel_shape")
	r := len(x.Shape) - 2
	if r < 1 || len(kernel) != r || c.typ(1).Static() && !slices.Equal(c.typ(1).Shape, x.Shape) {
		return badInput("shape %v for a kernel of shape %v", x.Shape, kernel)
	}
	if !known {
		strides, pads := c.Attrs.Ints("strides"), c.Attrs.Ints("pads")
		if strides == nil {
			strides = slices.Repeat([]int{1}, r)
		}
		if pads == nil {
			pads = make([]int, 2*r)
		}
		if len(strides) != r || len(pads) != 2*r {
			return badAttr("strides %v and pads %v for a kernel of shape %v", strides, pads, kernel)
		}
		shape = slices.Clone(x.Shape)
		for d := range kernel {
			shape[2+d] = (x.Shape[2+d]-1)*strides[d] + kernel[d] - pads[d] - pads[d+r]
		}
	}
	if n, ok := tensor.CheckedVolume(shape); !ok || n > maxElements {
		return badInput("an output of shape %v", shape)
	}
	c.setType(x.DType, shape)
	return nil
}

// runMaxUnpool puts every element where its index says, in the tensor as it was
// before the pooling.
func runMaxUnpool(c *Call) error {
	out := c.OutType[0].Shape
	x, at := c.In[0].Float64s(), c.In[1].I64()
	// Indices count in the pooled tensor of the attributes' shape; an output that
	// is given may be larger.
	full := *c
	full.Types, full.In, full.OutType = c.Types[:2:2], c.In[:2:2], make([]Type, 1)
	if err := inferMaxUnpool(&full); err != nil {
		return err
	}
	from := full.OutType[0].Shape
	if len(from) != len(out) {
		return badInput("an output of shape %v for a tensor of shape %v", out, from)
	}
	y, strides := make([]float64, tensor.Volume(out)), tensor.Strides(out)
	for i, index := range at {
		offset, rest := 0, int(index)
		for d := len(from) - 1; d >= 0; d-- {
			if from[d] < 1 || rest < 0 || rest%from[d] >= out[d] {
				return badInput("index %d of a tensor of shape %v", index, out)
			}
			offset += rest % from[d] * strides[d]
			rest /= from[d]
		}
		if rest != 0 {
			return badInput("index %d of a tensor of shape %v", index, from)
		}
		y[offset] = x[i]
	}
	setFloats(c.out(0), y)
	return nil
}
