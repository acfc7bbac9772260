package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// RMSNormalization (of operator set 23) and Swish (of 24) are what networks in parts are
// simplified to; in files of older sets they are parts again.
var _ = register(
	spec{name: "RMSNormalization", min: 2, infer: inferLayerNorm, run: byNumber{f32: rmsNorm[float32], f64: rmsNorm[float64]}.run}.
		is(plain, inputs(Data, Param), tensors, channels(-1), batch(normSamples)),
	unaryWith("Swish", func(c *Call) func(float64) float64 {
		alpha := float64(c.Attrs.Float("alpha", 1))
		return func(x float64) float64 { return x * sigmoid(alpha*x) }
	}).is(function, keepsSign),
	spec{name: "SwiGLU", min: 2, infer: inferBinary, run: runSwiGLU}.is(operation),
)

// runSwiGLU is the Swish of the first input times the second.
func runSwiGLU(c *Call) error {
	if !slices.Equal(c.Types[0].Shape, c.Types[1].Shape) {
		return badInput("a gate of shape %v for a tensor of shape %v", c.Types[0].Shape, c.Types[1].Shape)
	}
	alpha := float64(c.Attrs.Float("alpha", 1))
	y := c.In[0].Float64s()
	for i, v := range c.In[1].Float64s() {
		y[i] *= sigmoid(alpha*y[i]) * v
	}
	setFloats(c.out(0), y)
	return nil
}

// rmsNorm divides everything from the axis on by the root of its mean square, then scales it.
func rmsNorm[T floats](c *Call) error {
	shape := c.Types[0].Shape
	axis, err := c.axis("axis", -1, len(shape))
	if err != nil {
		return err
	}
	if err := sameTypes(c.In); err != nil {
		return err
	}
	x, y, n := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0)), tensor.Volume(shape[axis:])
	if n == 0 {
		return badInput("shape %v has nothing to normalize", shape)
	}
	epsilon := float64(c.Attrs.Float("epsilon", 1e-5))
	for lo := 0; lo < len(x); lo += n {
		square := 0.0
		for _, v := range x[lo : lo+n] {
			square += float64(v) * float64(v)
		}
		inverse := 1 / math.Sqrt(square/float64(n)+epsilon)
		for i, v := range x[lo : lo+n] {
			y[lo+i] = T(float64(v) * inverse)
		}
	}
	zipInto(y, y, tensor.Data[T](c.In[1]), shape, shape, c.Types[1].Shape, mul[T])
	return nil
}
