package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Constant", infer: inferConstant, run: runConstant, anyType: true}.is(plain, inputs(Shape), batch(never)),
	spec{name: "ConstantOfShape", min: 1, infer: inferConstantOfShape, run: runConstantOfShape, anyType: true}.is(plain, inputs(Shape), batch(never)),
	spec{name: "Shape", min: 1, infer: inferShape, run: runShape, anyType: true}.is(plain, inputs(Shape), batch(never)),
	spec{name: "Size", min: 1, infer: func(c *Call) error {
		c.setType(tensor.Int64, []int{})
		return nil
	}, run: func(c *Call) error {
		c.Out[0] = tensor.Scalar(int64(c.In[0].Len()))
		return nil
	}, anyType: true}.is(plain, inputs(Shape), batch(never)),
)

// constant returns the tensor that a Constant node holds.
func constant(a Attrs) (*tensor.Tensor, error) {
	switch v := a["value_float"].(type) {
	case float32:
		return tensor.Scalar(v), nil
	}
	if t := a.Tensor("value"); t != nil {
		return t, nil
	}
	if v, ok := a["value_int"].(int64); ok {
		return tensor.Scalar(v), nil
	}
	if v, ok := a["value_string"].(string); ok {
		return tensor.Scalar(v), nil
	}
	if v, ok := a["value_floats"].([]float32); ok {
		return tensor.From(v, len(v)), nil
	}
	if v, ok := a["value_ints"].([]int64); ok {
		return tensor.From(v, len(v)), nil
	}
	if v, ok := a["value_strings"].([]string); ok {
		return tensor.From(v, len(v)), nil
	}
	return nil, badAttr("a constant without a value, or with a sparse one")
}

func inferConstant(c *Call) error {
	t, err := constant(c.Attrs)
	if err != nil {
		return err
	}
	c.OutType[0] = TypeOf(t)
	return nil
}

func runConstant(c *Call) (err error) {
	c.Out[0], err = constant(c.Attrs)
	return err
}

func inferConstantOfShape(c *Call) error {
	d := tensor.Float32
	if t := c.Attrs.Tensor("value"); t != nil {
		if t.Len() != 1 {
			return badAttr("value has %d elements", t.Len())
		}
		d = t.DType()
	}
	c.OutType[0] = Type{DType: d}
	shape, known, err := c.intsInput(0)
	if err != nil || !known {
		return err
	}
	if slices.ContainsFunc(shape, func(n int) bool { return n < 0 }) {
		return badInput("the shape is %v", shape)
	}
	c.setType(d, shape)
	return nil
}

func runConstantOfShape(c *Call) error {
	dst := c.out(0)
	if t := c.Attrs.Tensor("value"); t != nil {
		fill(dst, t)
	}
	return nil
}

// shapeRange returns which dimensions Shape gives.
func shapeRange(c *Call, rank int) (start, end int) {
	start = limit(c.Attrs.Int("start", 0), rank, 0, rank)
	end = limit(c.Attrs.Int("end", rank), rank, 0, rank)
	return start, max(start, end)
}

func inferShape(c *Call) error {
	n := Unknown
	if c.Types[0].Known {
		start, end := shapeRange(c, len(c.Types[0].Shape))
		n = end - start
	}
	c.setType(tensor.Int64, []int{n})
	return nil
}

func runShape(c *Call) error {
	shape := c.In[0].Shape()
	start, end := shapeRange(c, len(shape))
	for i, d := range shape[start:end] {
		c.out(0).I64()[i] = int64(d)
	}
	c.out(0)
	return nil
}
