package op

import (
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "BatchNormalization", min: 5, outs: 5, infer: inferBatchNorm, run: byNumber{f32: batchNorm[float32], f64: batchNorm[float64]}.run}.is(spatial, inputs(Data, Param), batch(batchNormSamples)),
)

func inferBatchNorm(c *Call) error {
	if err := sameFloat(c); err != nil {
		return err
	}
	channels := Unknown
	if x := c.Types[0]; x.Known {
		if len(x.Shape) < 1 {
			return badInput("a scalar has no channels")
		}
		if channels = 1; len(x.Shape) > 1 {
			channels = x.Shape[1]
		}
	}
	for i := 1; i < 5; i++ {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
		if p := c.Types[i]; p.Known && (len(p.Shape) != 1 || !compatible(p.Shape[0], channels)) {
			return badInput("input %d has shape %v, there are %d channels", i, p.Shape, channels)
		}
	}
	if len(c.OutType) > 1 && c.version() >= 14 && c.Attrs.Int("training_mode", 0) == 0 {
		return badInput("%d outputs without training_mode", len(c.OutType))
	}
	for i := 1; i < len(c.OutType); i++ {
		c.OutType[i] = Type{DType: c.Types[3].DType, Shape: []int{channels}, Known: true}
	}
	return nil
}

// batchNorm is (x - mean) / sqrt(variance + epsilon) * scale + bias, for each
// channel. In training mode mean and variance are the batch's own, and the
// running ones are given as further outputs.
func batchNorm[T floats](c *Call) error {
	params := make([][]float64, 5)
	for i := 1; i < 5; i++ {
		params[i] = c.In[i].Float64s()
	}
	scale, bias, mean, variance := params[1], params[2], params[3], params[4]
	x, y := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	shape := c.Types[0].Shape
	channels, inner := 1, 1
	if len(shape) > 1 {
		channels, inner = shape[1], tensor.Volume(shape[2:])
	}
	if c.Attrs.Int("training_mode", 0) != 0 {
		batchMean, batchVariance := channelMoments(x, shape[0], channels, inner)
		momentum := float64(c.Attrs.Float("momentum", 0.9))
		for ch := range channels {
			mean[ch] = float64(mean[ch]*momentum) + batchMean[ch]*(1-momentum)
			variance[ch] = float64(variance[ch]*momentum) + batchVariance[ch]*(1-momentum)
		}
		for i, v := range [][]float64{mean, variance} {
			if len(c.Out) > i+1 {
				setFloats(c.out(i+1), v)
			}
		}
		mean, variance = batchMean, batchVariance
	} else {
		// Old versions name outputs that only training fills.
		for i := 1; i < len(c.Out); i++ {
			setFloats(c.out(i), params[3+(i-1)%2])
		}
	}
	epsilon := float64(c.Attrs.Float("epsilon", 1e-5))
	for i := range shape[0] * channels {
		ch := i % channels
		factor := scale[ch] / math.Sqrt(variance[ch]+epsilon)
		for k := i * inner; k < (i+1)*inner; k++ {
			y[k] = T(float64((float64(x[k])-mean[ch])*factor) + bias[ch])
		}
	}
	return nil
}

// channelMoments returns mean and variance of every channel of x
// [batch,channels,inner].
func channelMoments[T floats](x []T, batch, channels, inner int) (mean, variance []float64) {
	mean, variance = make([]float64, channels), make([]float64, channels)
	lane := make([]T, 0, batch*inner)
	for ch := range channels {
		lane = lane[:0]
		for n := range batch {
			lane = append(lane, x[(n*channels+ch)*inner:][:inner]...)
		}
		mean[ch], variance[ch] = moments(lane)
	}
	return mean, variance
}

// moments returns mean and (population) variance.
func moments[T floats](x []T) (mean, variance float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	return mean, variance / float64(len(x))
}
