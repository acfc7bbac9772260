package op

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Softmax", min: 1, infer: inferSoftmax, run: byNumber{f32: lanewise(func(lane []float32) { asm.SoftmaxF32(lane, lane, len(lane)) }), f64: lanewise(softmaxLane[float64])}.run}.is(plain, inputs(Data), flow(Bounded, noQ), fraction, floatAtEnd, batch(alongSoftmaxAxis)),
	spec{name: "LogSoftmax", min: 1, infer: inferSoftmax, run: byNumber{f32: lanewise(logSoftmaxLane[float32]), f64: lanewise(logSoftmaxLane[float64])}.run}.is(plain, inputs(Data), ranges(math.Inf(-1), 0), batch(alongSoftmaxAxis)),
	spec{name: "Hardmax", min: 1, infer: inferSoftmax, run: byNumber{f32: lanewise(hardmaxLane[float32]), f64: lanewise(hardmaxLane[float64])}.run}.is(plain, inputs(Data), fraction, batch(alongSoftmaxAxis)),
)

func inferSoftmax(c *Call) error {
	if err := sameFloat(c); err != nil || !c.Types[0].Known {
		return err
	}
	_, err := softmaxAxis(c, len(c.Types[0].Shape))
	return err
}

// softmaxAxis returns the axis. Before version 13 everything from the axis on
// was one lane, and the axis might be one past the last dimension.
func softmaxAxis(c *Call, rank int) (int, error) {
	if c.version() >= 13 {
		if rank == 0 {
			return 0, badInput("a scalar has no axis")
		}
		return c.axis("axis", -1, rank)
	}
	if axis := c.Attrs.Int("axis", 1); axis == rank {
		return axis, nil
	}
	return c.axis("axis", 1, rank)
}

// lanewise returns a run function that applies f to every lane along the axis,
// gathered to contiguous memory.
func lanewise[T floats](f func(lane []T)) func(*Call) error {
	return func(c *Call) error {
		shape := c.Types[0].Shape
		axis, err := softmaxAxis(c, len(shape))
		if err != nil {
			return err
		}
		outer, n, inner := tensor.Volume(shape[:axis]), tensor.Volume(shape[axis:]), 1
		if c.version() >= 13 {
			n, inner = shape[axis], tensor.Volume(shape[axis+1:])
		}
		x, y := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
		if n == 0 {
			return nil
		}
		lane := make([]T, n)
		for o := range outer {
			for i := range inner {
				base := o*n*inner + i
				for k := range lane {
					lane[k] = x[base+k*inner]
				}
				f(lane)
				for k, v := range lane {
					y[base+k*inner] = v
				}
			}
		}
		return nil
	}
}

// exponentials replaces a lane by e to its elements less their maximum, and
// returns that maximum and the sum.
func exponentials[T floats](lane []T) (top T, sum float64) {
	top = lane[0]
	for _, v := range lane {
		top = larger(top, v)
	}
	for i, v := range lane {
		e := math.Exp(float64(v - top))
		lane[i] = T(e)
		sum += e
	}
	return top, sum
}

func softmaxLane[T floats](lane []T) {
	_, sum := exponentials(lane)
	for i, v := range lane {
		lane[i] = T(float64(v) / sum)
	}
}

func logSoftmaxLane[T floats](lane []T) {
	kept := append([]T(nil), lane...)
	top, sum := exponentials(lane)
	for i, v := range kept {
		lane[i] = T(float64(v-top) - math.Log(sum))
	}
}

// hardmaxLane sets the first maximum to 1 and all else to 0.
func hardmaxLane[T floats](lane []T) {
	best := 0
	for i, v := range lane {
		if v > lane[best] {
			best = i
		}
	}
	clear(lane)
	lane[best] = 1
}
