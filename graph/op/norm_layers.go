package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	layerNorm("", "LayerNormalization").is(plain, inputs(Data, Param), tensors, channels(-1), batch(normSamples)),
	spec{name: "InstanceNormalization", min: 3, infer: inferInstanceNorm, run: byNumber{f32: instanceNorm[float32], f64: instanceNorm[float64]}.run}.is(spatial, inputs(Data, Param)),
	spec{name: "GroupNormalization", min: 3, infer: inferGroupNorm, run: byNumber{f32: groupNorm[float32], f64: groupNorm[float64]}.run}.is(spatial, inputs(Data, Param)),
	spec{name: "MeanVarianceNormalization", min: 1, infer: inferMeanVariance, run: runMeanVariance}.is(plain, inputs(Data), tensors, batch(attrAxes)),
	spec{name: "LRN", min: 1, infer: inferLRN, run: byNumber{f32: lrn[float32], f64: lrn[float64]}.run}.is(spatial, inputs(Data), keepsSign).where(lrnSign),
	spec{name: "LpNormalization", min: 1, infer: inferLpNorm, run: byNumber{f32: lpNorm[float32], f64: lpNorm[float64]}.run}.is(plain, inputs(Data), tensors, withinOne, keepsSign, batch(byAxis(-1))).where(lpNormRange),
)

func layerNorm(domain, name string) spec {
	return spec{name: name, domain: domain, min: 2, max: 3, outs: 3, infer: inferLayerNorm,
		run: byNumber{f32: runLayerNorm[float32], f64: runLayerNorm[float64]}.run}
}

func inferLayerNorm(c *Call) error {
	if err := sameFloat(c); err != nil {
		return err
	}
	for i := 1; i < len(c.OutType); i++ {
		c.OutType[i] = Type{DType: tensor.Float32}
		if c.Types[0].DType == tensor.Float64 {
			c.OutType[i].DType = tensor.Float64
		}
	}
	x := c.Types[0]
	if !x.Known {
		return nil
	}
	axis, err := c.axis("axis", -1, len(x.Shape))
	if err != nil {
		return err
	}
	for i := 1; i < len(c.Types); i++ {
		p := c.Types[i]
		if !p.Known {
			continue
		}
		s, err := broadcast(x.Shape[axis:], p.Shape)
		if err != nil || len(s) != len(x.Shape)-axis || x.Static() && !slices.Equal(s, x.Shape[axis:]) {
			return badInput("input %d has shape %v, the normalized dimensions are %v", i, p.Shape, x.Shape[axis:])
		}
	}
	for i := 1; i < len(c.OutType); i++ {
		shape := slices.Clone(x.Shape)
		for d := axis; d < len(shape); d++ {
			shape[d] = 1
		}
		c.OutType[i].Shape, c.OutType[i].Known = shape, true
	}
	return nil
}

// runLayerNorm normalizes everything from the axis on, then scales and shifts.
func runLayerNorm[T floats](c *Call) error {
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
	stats := [2][]float64{}
	for lo := 0; lo < len(x); lo += n {
		mean, inverse := normalize(y[lo:lo+n], x[lo:lo+n], epsilon)
		stats[0], stats[1] = append(stats[0], mean), append(stats[1], inverse)
	}
	zipInto(y, y, tensor.Data[T](c.In[1]), shape, shape, c.Types[1].Shape, mul[T])
	if b := c.in(2); b != nil {
		zipInto(y, y, tensor.Data[T](b), shape, shape, b.Shape(), add[T])
	}
	for i := 1; i < len(c.Out); i++ {
		setFloats(c.out(i), stats[i-1])
	}
	return nil
}

// normalize sets y to x less its mean, over its standard deviation, and
// returns the mean and the factor.
func normalize[T floats](y, x []T, epsilon float64) (mean, inverse float64) {
	mean, variance := moments(x)
	inverse = 1 / math.Sqrt(variance+epsilon)
	for i, v := range x {
		y[i] = T((float64(v) - mean) * inverse)
	}
	return mean, inverse
}

// inferChannelParams checks scale and bias: one number for each of n.
func inferChannelParams(c *Call, n int) error {
	for i := 1; i < 3; i++ {
		if p := c.Types[i]; p.Known && (len(p.Shape) != 1 || !compatible(p.Shape[0], n)) {
			return badInput("input %d has shape %v, %d numbers are needed", i, p.Shape, n)
		}
	}
	return nil
}

func inferInstanceNorm(c *Call) error {
	if err := sameFloat(c); err != nil || !c.Types[0].Known {
		return err
	}
	if _, err := spatialOf(c.Types[0]); err != nil {
		return err
	}
	return inferChannelParams(c, c.Types[0].Shape[1])
}

func instanceNorm[T floats](c *Call) error {
	return normalizeGroups[T](c, c.Types[0].Shape[1], 1)
}

// normalizeGroups normalizes the channels of a batch in groups. Scale and bias
// are given for every per channels.
func normalizeGroups[T floats](c *Call, groups, per int) error {
	if err := sameTypes(c.In); err != nil {
		return err
	}
	shape := c.Types[0].Shape
	x, y := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	scale, bias := tensor.Data[T](c.In[1]), tensor.Data[T](c.In[2])
	channels, inner := shape[1], tensor.Volume(shape[2:])
	if len(x) == 0 {
		return nil
	}
	size := channels / groups * inner
	for lo := 0; lo < len(x); lo += size {
		normalize(y[lo:lo+size], x[lo:lo+size], float64(c.Attrs.Float("epsilon", 1e-5)))
	}
	for i := range y {
		p := i / inner % channels / per
		y[i] = T(y[i]*scale[p]) + bias[p]
	}
	return nil
}

// inferGroupNorm: scale and bias are per group in version 18, per channel from
// version 21 on.
func inferGroupNorm(c *Call) error {
	if err := sameFloat(c); err != nil {
		return err
	}
	groups := c.Attrs.Int("num_groups", 0)
	if groups < 1 {
		return badAttr("num_groups is %d", groups)
	}
	x := c.Types[0]
	if !x.Known {
		return nil
	}
	if len(x.Shape) < 2 || x.Shape[1] != Unknown && x.Shape[1]%groups != 0 {
		return badInput("shape %v in %d groups", x.Shape, groups)
	}
	if c.version() < 21 {
		return inferChannelParams(c, groups)
	}
	return inferChannelParams(c, x.Shape[1])
}

func groupNorm[T floats](c *Call) error {
	groups := c.Attrs.Int("num_groups", 1)
	if c.version() < 21 {
		return normalizeGroups[T](c, groups, max(1, c.Types[0].Shape[1]/groups))
	}
	return normalizeGroups[T](c, groups, 1)
}

func inferMeanVariance(c *Call) error {
	if err := sameFloat(c); err != nil || !c.Types[0].Known {
		return err
	}
	_, err := meanVarianceAxes(c)
	return err
}

func meanVarianceAxes(c *Call) ([]int, error) {
	axes := c.Attrs.Ints("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	return normAxes(axes, len(c.Types[0].Shape))
}

// runMeanVariance is (x - mean) / (standard deviation + 1e-9).
func runMeanVariance(c *Call) error {
	axes, err := meanVarianceAxes(c)
	if err != nil {
		return err
	}
	shape := c.In[0].Shape()
	reduced := make([]bool, len(shape))
	for _, a := range axes {
		reduced[a] = true
	}
	x := c.In[0].Float64s()
	strides, _ := reducedStrides(shape, reduced)
	zipStrided(x, x, reduceFloats("ReduceMean", x, shape, reduced), shape, strides, func(v, mean float64) float64 { return v - mean })
	squares := mapSlice(x, func(v float64) float64 { return v * v })
	zipStrided(x, x, reduceFloats("ReduceMean", squares, shape, reduced), shape, strides, func(v, variance float64) float64 {
		return v / (math.Sqrt(variance) + 1e-9)
	})
	setFloats(c.out(0), x)
	return nil
}

func inferLRN(c *Call) error {
	if n := c.Attrs.Int("size", 0); n < 1 {
		return badAttr("size is %d", n)
	}
	if err := sameFloat(c); err != nil || !c.Types[0].Known {
		return err
	}
	_, err := spatialOf(c.Types[0])
	return err
}

// lrn divides by a power of the sum of squares over neighbouring channels.
func lrn[T floats](c *Call) error {
	shape := c.Types[0].Shape
	channels, inner, size := shape[1], tensor.Volume(shape[2:]), c.Attrs.Int("size", 1)
	alpha, beta, bias := float64(c.Attrs.Float("alpha", 1e-4)), float64(c.Attrs.Float("beta", 0.75)), float64(c.Attrs.Float("bias", 1))
	x, y := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	for i := range y {
		ch := i / inner % channels
		lo, hi := max(0, ch-(size-1)/2), min(channels-1, ch+size/2)
		sum := 0.0
		for k := lo; k <= hi; k++ {
			v := float64(x[i+(k-ch)*inner])
			sum += v * v
		}
		y[i] = T(float64(x[i]) / math.Pow(bias+float64(alpha/float64(size)*sum), beta))
	}
	return nil
}

func inferLpNorm(c *Call) error {
	if p := c.Attrs.Int("p", 2); p != 1 && p != 2 {
		return badAttr("p is %d", p)
	}
	if err := sameFloat(c); err != nil || !c.Types[0].Known {
		return err
	}
	_, err := c.axis("axis", -1, len(c.Types[0].Shape))
	return err
}

// lpNorm divides every lane by its norm; a lane of zeros stays.
func lpNorm[T floats](c *Call) error {
	shape := c.Types[0].Shape
	axis, err := c.axis("axis", -1, len(shape))
	if err != nil {
		return err
	}
	name := "ReduceL2"
	if c.Attrs.Int("p", 2) == 1 {
		name = "ReduceL1"
	}
	reduced := make([]bool, len(shape))
	reduced[axis] = true
	x := c.In[0].Float64s()
	strides, _ := reducedStrides(shape, reduced)
	zipStrided(x, x, reduceFloats(name, x, shape, reduced), shape, strides, func(v, norm float64) float64 {
		if norm == 0 {
			return 0
		}
		return v / norm
	})
	setFloats(c.out(0), x)
	return nil
}

func lrnSign(c *Call, t *Traits) {
	if c.Attrs.Float("bias", 1) <= 0 || c.Attrs.Float("alpha", 1) < 0 {
		t.Sign = AnySign
	}
}

// lpNormRange is that of an element divided by a norm that it is part of.
func lpNormRange(c *Call, t *Traits) {
	if c.Attrs.Int("p", 2) < 1 {
		t.Range = everything
	}
}
