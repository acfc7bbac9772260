package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Operators that hand their input's data on.
var _ = register(
	spec{name: "Identity", min: 1, infer: same, run: passed, anyType: true}.is(moving, floatMove, inputs(Data), reshapes, channelScale, batch(firstInput)),
	spec{name: "Dropout", min: 1, max: 3, outs: 2, infer: inferDropout, run: runDropout, anyType: true}.is(perElement, inputs(Data, Param), keepsSign, channelScale).where(dropoutTraits),
	spec{name: "Reshape", min: 1, max: 2, infer: inferReshape, run: runView, anyType: true}.is(moving, inputs(Data, Shape), reshapes, batch(firstInput)),
	spec{name: "Flatten", min: 1, infer: inferFlatten, run: runView, anyType: true}.is(moving, inputs(Data), reshapes, batch(firstInput)),
	spec{name: "Squeeze", min: 1, max: 2, infer: inferSqueeze, run: runView, anyType: true}.is(moving, batchAxis(squeezedBatch), reshapes, batch(squeezeSamples)),
	spec{name: "Unsqueeze", min: 1, max: 2, infer: inferUnsqueeze, run: runView, anyType: true}.is(moving, batchAxis(unsqueezedBatch), reshapes, batch(firstInput)),
)

// runView gives output 0 the data of input 0 in the inferred shape.
func runView(c *Call) (err error) {
	c.Out[0], err = c.In[0].Reshape(c.OutType[0].Shape...)
	return err
}

// listOrAttr returns a list of integers that is an input from version since
// on, and an attribute before. known is false if it is not known yet; given
// is false if it is neither.
func (c *Call) listOrAttr(name string, input, since int) (v []int, given, known bool, err error) {
	if c.version() < since {
		return c.Attrs.Ints(name), c.Attrs.Has(name), true, nil
	}
	v, ok, err := c.intsInput(input)
	return v, c.has(input), ok || !c.has(input), err
}

func inferReshape(c *Call) error {
	want, given, known, err := c.listOrAttr("shape", 1, 5)
	if err != nil {
		return err
	}
	if !given {
		return badInput("the shape is missing")
	}
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !known {
		if s := c.typ(1); len(s.Shape) == 1 && s.Shape[0] >= 0 && s.Shape[0] <= 64 {
			c.setType(x.DType, unknownShape(s.Shape[0]))
		}
		return nil
	}
	shape, err := reshaped(x, want, c.Attrs.Int("allowzero", 0) != 0)
	if err != nil {
		return err
	}
	c.setType(x.DType, shape)
	return nil
}

// reshaped resolves 0 (the input's dimension, unless allowZero) and -1 (what is
// left) in a wanted shape.
func reshaped(x Type, want []int, allowZero bool) ([]int, error) {
	shape := slices.Clone(want)
	free := -1
	for i, d := range shape {
		switch {
		case d == -1 && free >= 0, d < -1:
			return nil, badInput("cannot reshape to %v", want)
		case d == -1:
			free = i
		case d == 0 && !allowZero:
			if !x.Known {
				shape[i] = Unknown
				continue
			}
			if i >= len(x.Shape) {
				return nil, badInput("cannot reshape %v to %v", x.Shape, want)
			}
			shape[i] = x.Shape[i]
		}
	}
	if !x.Known {
		return shape, nil
	}
	if free >= 0 {
		shape[free] = freeDim(x.Shape, shape, free)
		if shape[free] == Unknown && x.Static() {
			return nil, badInput("cannot reshape %v to %v", x.Shape, want)
		}
		return shape, nil
	}
	if x.Static() {
		have, ok := tensor.CheckedVolume(x.Shape)
		n, ok2 := tensor.CheckedVolume(shape)
		if !ok || !ok2 || have != n {
			return nil, badInput("cannot reshape %v to %v", x.Shape, want)
		}
	}
	return shape, nil
}

// freeDim returns the dimension that makes the volumes equal, or Unknown.
// Unknown dimensions that stand on both sides cancel.
func freeDim(x, shape []int, free int) int {
	have, rest := cancel(slices.Clone(x), slices.Delete(slices.Clone(shape), free, free+1))
	h, ok := tensor.CheckedVolume(have)
	r, ok2 := tensor.CheckedVolume(rest)
	if !ok || !ok2 || r == 0 || h%r != 0 {
		return Unknown
	}
	return h / r
}

// cancel removes one unknown dimension from both lists.
func cancel(a, b []int) ([]int, []int) {
	i, j := slices.Index(a, Unknown), slices.Index(b, Unknown)
	if i < 0 || j < 0 {
		return a, b
	}
	return slices.Delete(a, i, i+1), slices.Delete(b, j, j+1)
}

func inferFlatten(c *Call) error {
	x := c.Types[0]
	c.setType(x.DType, unknownShape(2))
	if !x.Known {
		return nil
	}
	axis := c.Attrs.Int("axis", 1)
	if axis < 0 && c.version() >= 11 {
		axis += len(x.Shape)
	}
	if axis < 0 || axis > len(x.Shape) {
		return badAttr("axis %d for %d dimensions", c.Attrs.Int("axis", 1), len(x.Shape))
	}
	c.setType(x.DType, []int{product(x.Shape[:axis]), product(x.Shape[axis:])})
	return nil
}

func inferSqueeze(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	axes, given, known, err := c.listOrAttr("axes", 1, 13)
	if err != nil || !x.Known || !known {
		return err
	}
	if !given && slices.Contains(x.Shape, Unknown) {
		return nil
	}
	if axes, err = normAxes(axes, len(x.Shape)); err != nil {
		return err
	}
	shape := []int{}
	for d, n := range x.Shape {
		listed := slices.Contains(axes, d)
		if listed && n != 1 && n != Unknown {
			return badInput("dimension %d of shape %v is not 1", d, x.Shape)
		}
		if !listed && (given || n != 1) {
			shape = append(shape, n)
		}
	}
	c.setType(x.DType, shape)
	return nil
}

func inferUnsqueeze(c *Call) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	axes, given, known, err := c.listOrAttr("axes", 1, 13)
	if err != nil {
		return err
	}
	if !given {
		return badAttr("axes is missing")
	}
	if !x.Known || !known {
		return nil
	}
	if len(axes) > 64 {
		return badInput("%d axes", len(axes))
	}
	rank := len(x.Shape) + len(axes)
	if axes, err = normAxes(axes, rank); err != nil {
		return err
	}
	shape := make([]int, rank)
	next := 0
	for d := range shape {
		if shape[d] = 1; !slices.Contains(axes, d) {
			shape[d] = x.Shape[next]
			next++
		}
	}
	c.setType(x.DType, shape)
	return nil
}

// inferDropout: outside of training the data go through unchanged.
func inferDropout(c *Call) error {
	ratio, err := c.floatInput(1, 0.5)
	if err != nil {
		return err
	}
	if t := c.in(2); t != nil && t.DType() == tensor.Bool && t.Len() == 1 && tensor.Data[bool](t)[0] && ratio != 0 {
		return badInput("training mode drops elements at random; narrow does not train")
	}
	c.OutType[0] = c.Types[0]
	if len(c.OutType) > 1 {
		c.OutType[1] = c.Types[0]
		if c.version() >= 10 {
			c.OutType[1].DType = tensor.Bool
		}
	}
	return nil
}

func runDropout(c *Call) error {
	c.Out[0] = c.In[0]
	if len(c.Out) > 1 {
		ones := make([]float64, c.In[0].Len())
		for i := range ones {
			ones[i] = 1
		}
		setFloats(c.out(1), ones)
	}
	return nil
}

// dropoutTraits: in training it makes up which elements it drops.
func dropoutTraits(c *Call, t *Traits) {
	if c.has(2) && (c.in(2) == nil || slices.Contains(c.in(2).Float64s(), 1)) || c.Attrs.Int("is_test", 1) == 0 {
		t.Batch, t.Random = never, true
	}
}
