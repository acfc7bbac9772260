package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	loss("NegativeLogLikelihoodLoss", 1), loss("SoftmaxCrossEntropyLoss", 2),
)

// loss makes an operator on scores [batch, classes, ...] and labels [batch, ...];
// with a second output it takes the softmax of the scores first and gives its logarithm.
func loss(name string, outs int) spec {
	return spec{name: name, min: 2, max: 3, outs: outs, infer: inferLoss, anyType: true,
		run: func(c *Call) error { return runLoss(c, outs > 1) }}.
		is(plain, inputs(Data, Index, Param), tensors, channels(1), batch(lossSamples))
}

func lossSamples(s *Samples) bool {
	return s.Attrs.String("reduction", "mean") == "none" && s.isBatched(0) && s.isBatched(1) && !s.isBatched(2)
}

func inferLoss(c *Call) error {
	x, labels := c.Types[0], c.Types[1]
	if err := c.wantType(0, floatTypes...); err != nil {
		return err
	}
	if err := c.wantType(1, tensor.Int32, tensor.Int64); err != nil {
		return err
	}
	for i := range c.OutType {
		c.OutType[i] = x
	}
	c.OutType[0] = Type{DType: x.DType}
	switch c.Attrs.String("reduction", "mean") {
	case "mean", "sum":
		c.setType(x.DType, []int{})
	case "none":
		if labels.Known {
			c.setType(x.DType, labels.Shape)
		}
	default:
		return badAttr("reduction is %q", c.Attrs.String("reduction", "mean"))
	}
	if !x.Static() || !labels.Static() {
		return nil
	}
	if len(x.Shape) < 2 || !slices.Equal(labels.Shape, slices.Delete(slices.Clone(x.Shape), 1, 2)) {
		return badInput("labels of shape %v for scores of shape %v", labels.Shape, x.Shape)
	}
	if w := c.typ(2); w.Static() && !slices.Equal(w.Shape, x.Shape[1:2]) {
		return badInput("weights of shape %v for %d classes", w.Shape, x.Shape[1])
	}
	return nil
}

// runLoss is minus the score of every label, weighted by its class.
func runLoss(c *Call, softmax bool) error {
	x, labels, shape := c.In[0].Float64s(), c.In[1].Ints(), c.Types[0].Shape
	classes, inner := shape[1], tensor.Volume(shape[2:])
	if softmax {
		logSoftmaxAlong(x, classes, inner)
		if len(c.Out) > 1 {
			setFloats(c.out(1), x)
		}
	}
	var weights []float64
	if t := c.in(2); t != nil {
		weights = t.Float64s()
	}
	ignored, ignores := c.Attrs["ignore_index"].(int64)
	losses, total, weight := make([]float64, len(labels)), 0.0, 0.0
	for i, label := range labels {
		if ignores && int64(label) == ignored {
			continue
		}
		if label < 0 || label >= classes {
			return badInput("label %d of %d classes", label, classes)
		}
		w := 1.0
		if weights != nil {
			w = weights[label]
		}
		losses[i] = -x[(i/inner*classes+label)*inner+i%inner] * w
		total += losses[i]
		weight += w
	}
	switch c.Attrs.String("reduction", "mean") {
	case "none":
		setFloats(c.out(0), losses)
	case "sum":
		setFloats(c.out(0), []float64{total})
	default:
		setFloats(c.out(0), []float64{total / weight})
	}
	return nil
}

// logSoftmaxAlong replaces every lane of n elements, inner apart, by the logarithm of its
// softmax.
func logSoftmaxAlong(x []float64, n, inner int) {
	if n == 0 {
		return
	}
	for lane := range len(x) / n {
		base := lane/inner*n*inner + lane%inner
		top, sum := math.Inf(-1), 0.0
		for k := range n {
			top = max(top, x[base+k*inner])
		}
		for k := range n {
			sum += math.Exp(x[base+k*inner] - top)
		}
		for k := range n {
			x[base+k*inner] -= top + math.Log(sum)
		}
	}
}
