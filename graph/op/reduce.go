package op

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	reduction("ReduceSum", 13).is(plain, inputs(Data, Index), batch(reductionSamples), keepsSign, tensorScale), reduction("ReduceMean", 18).is(plain, inputs(Data, Index), batch(reductionSamples), keepsSign, tensorScale), reduction("ReduceMax", 18).is(plain, inputs(Data, Index), batch(reductionSamples), keepsSign, tensorScale), reduction("ReduceMin", 18).is(plain, inputs(Data, Index), batch(reductionSamples), keepsSign, tensorScale),
	reduction("ReduceProd", 18).is(plain, inputs(Data, Index), batch(reductionSamples), keepsPositive), reduction("ReduceL1", 18).is(plain, inputs(Data, Index), batch(reductionSamples), nonNegative, tensorScale), reduction("ReduceL2", 18).is(plain, inputs(Data, Index), batch(reductionSamples), nonNegative, tensorScale), reduction("ReduceLogSum", 18).is(plain, inputs(Data, Index), batch(reductionSamples), amplifies(0)),
	reduction("ReduceLogSumExp", 18).is(plain, inputs(Data, Index), batch(reductionSamples)), reduction("ReduceSumSquare", 18).is(plain, inputs(Data, Index), batch(reductionSamples), nonNegative),
	spec{name: "ArgMax", min: 1, infer: inferArg, run: byNumber{f32: argBest(greater[float32]), f64: argBest(greater[float64]), i8: argBest(greater[int8]), u8: argBest(greater[uint8]),
		i16: argBest(greater[int16]), u16: argBest(greater[uint16]), i32: argBest(greater[int32]), u32: argBest(greater[uint32]), i64: argBest(greater[int64]), u64: argBest(greater[uint64])}.run}.is(plain, inputs(Data), tensors, filled, batch(byAxis(0))),
	spec{name: "ArgMin", min: 1, infer: inferArg, run: byNumber{f32: argBest(less[float32]), f64: argBest(less[float64]), i8: argBest(less[int8]), u8: argBest(less[uint8]),
		i16: argBest(less[int16]), u16: argBest(less[uint16]), i32: argBest(less[int32]), u32: argBest(less[uint32]), i64: argBest(less[int64]), u64: argBest(less[uint64])}.run}.is(plain, inputs(Data), tensors, filled, batch(byAxis(0))),
)

// reduction makes a Reduce operator; the axes are an input from version
// axesInput on, an attribute before.
func reduction(name string, axesInput int) spec {
	return spec{name: name, min: 1, max: 2,
		infer: func(c *Call) error {
			if err := c.wantType(0, append(slices.Clone(numericTypes), tensor.Bool)...); err != nil {
				return err
			}
			return inferReduce(c, axesInput)
		},
		run: func(c *Call) error { return runReduce(c, name, axesInput) }}
}

// reduceAxes returns which dimensions are reduced; nil if the axes are not
// known yet.
func reduceAxes(c *Call, axesInput, rank int) ([]bool, error) {
	axes := c.Attrs.Ints("axes")
	if c.version() >= axesInput {
		given, known, err := c.intsInput(1)
		if err != nil {
			return nil, err
		}
		if !known && c.has(1) {
			return nil, nil
		}
		axes = given
	}
	reduced := make([]bool, rank)
	if len(axes) == 0 {
		all := c.Attrs.Int("noop_with_empty_axes", 0) == 0
		for d := range reduced {
			reduced[d] = all
		}
		return reduced, nil
	}
	axes, err := normAxes(axes, rank)
	if err != nil {
		return nil, err
	}
	for _, a := range axes {
		reduced[a] = true
	}
	return reduced, nil
}

func inferReduce(c *Call, axesInput int) error {
	x := c.Types[0]
	c.OutType[0] = Type{DType: x.DType}
	if !x.Known {
		return nil
	}
	keep := c.Attrs.Int("keepdims", 1) != 0
	reduced, err := reduceAxes(c, axesInput, len(x.Shape))
	switch {
	case err != nil:
		return err
	case reduced == nil && keep && len(x.Shape) == 0:
		c.setType(x.DType, []int{})
		return nil
	case reduced == nil && keep:
		c.setType(x.DType, unknownShape(len(x.Shape)))
		return nil
	case reduced == nil:
		return nil
	}
	shape := []int{}
	for d, n := range x.Shape {
		if !reduced[d] {
			shape = append(shape, n)
		} else if keep {
			shape = append(shape, 1)
		}
	}
	c.setType(x.DType, shape)
	return nil
}

func runReduce(c *Call, name string, axesInput int) error {
	x, out := c.In[0], c.out(0)
	reduced, err := reduceAxes(c, axesInput, x.Rank())
	if err != nil {
		return err
	}
	switch {
	case x.DType().IsFloat():
		setFloats(out, reduceFloats(name, x.Float64s(), x.Shape(), reduced))
	case x.DType() == tensor.Uint64:
		copy(tensor.Data[uint64](out), reduce(intReducer[uint64](name), tensor.Data[uint64](x), x.Shape(), reduced))
	case x.DType() == tensor.Bool:
		setFloats(out, reduceBools(name, x, reduced))
	default:
		least, most := intRange(x.DType())
		sums := reduce(intReducer[int64](name), ints64(x), x.Shape(), reduced)
		for i, v := range sums { // what an empty reduction gives is a limit of int64
			if v == math.MinInt64 && name == "ReduceMax" && x.DType() != tensor.Int64 {
				sums[i] = int64(least)
			}
			if v == math.MaxInt64 && name == "ReduceMin" && x.DType() != tensor.Int64 {
				sums[i] = int64(most)
			}
		}
		setInts(out, sums)
	}
	return nil
}

// reducer folds elements into one number.
type reducer[T float64 | int64 | uint64] struct {
	start  T
	step   func(acc, v T) T
	finish func(acc T, count int) T // nil for none
}

// reduce folds the reduced dimensions of x, in row-major order.
func reduce[T float64 | int64 | uint64](r reducer[T], x []T, shape []int, reduced []bool) []T {
	strides, size := reducedStrides(shape, reduced)
	acc := make([]T, size)
	for i := range acc {
		acc[i] = r.start
	}
	eachRow(shape, [][]int{strides, tensor.Strides(shape)}, func(off []int, n int, step []int) {
		at := off[0]
		for _, v := range x[off[1] : off[1]+n] {
			acc[at] = r.step(acc[at], v)
			at += step[0]
		}
	})
	if r.finish == nil {
		return acc
	}
	count := 1
	for d, n := range shape {
		if reduced[d] {
			count *= n
		}
	}
	for i, v := range acc {
		acc[i] = r.finish(v, count)
	}
	return acc
}

// reducedStrides returns, for every dimension of shape, the stride of the
// reduced result, 0 along reduced dimensions, and the result's size.
func reducedStrides(shape []int, reduced []bool) ([]int, int) {
	strides, size := make([]int, len(shape)), 1
	for d := len(shape) - 1; d >= 0; d-- {
		if !reduced[d] {
			strides[d] = size
			size *= shape[d]
		}
	}
	return strides, size
}

// reduceFloats sums in float64, which the caller rounds once.
func reduceFloats(name string, x []float64, shape []int, reduced []bool) []float64 {
	sum := reducer[float64]{step: add[float64]}
	r := sum
	switch name {
	case "ReduceMean":
		r.finish = func(acc float64, n int) float64 { return acc / float64(n) }
	case "ReduceMax":
		r = reducer[float64]{start: math.Inf(-1), step: larger[float64]}
	case "ReduceMin":
		r = reducer[float64]{start: math.Inf(1), step: smaller[float64]}
	case "ReduceProd":
		r = reducer[float64]{start: 1, step: mul[float64]}
	case "ReduceL1":
		r.step = func(acc, v float64) float64 { return acc + math.Abs(v) }
	case "ReduceL2", "ReduceSumSquare":
		r.step = func(acc, v float64) float64 { return acc + float64(v*v) }
		if name == "ReduceL2" {
			r.finish = func(acc float64, _ int) float64 { return math.Sqrt(acc) }
		}
	case "ReduceLogSum":
		r.finish = func(acc float64, _ int) float64 { return math.Log(acc) }
	case "ReduceLogSumExp":
		return logSumExp(x, shape, reduced)
	}
	return reduce(r, x, shape, reduced)
}

// logSumExp takes the maximum out of the exponent, so that it does not
// overflow.
func logSumExp(x []float64, shape []int, reduced []bool) []float64 {
	top := reduce(reducer[float64]{start: math.Inf(-1), step: larger[float64]}, x, shape, reduced)
	for i, v := range top {
		if math.IsInf(v, 0) {
			top[i] = 0
		}
	}
	strides, _ := reducedStrides(shape, reduced)
	shifted := make([]float64, len(x))
	zipStrided(shifted, x, top, shape, strides, func(v, t float64) float64 { return math.Exp(v - t) })
	sums := reduce(reducer[float64]{step: add[float64]}, shifted, shape, reduced)
	for i, v := range sums {
		sums[i] = top[i] + math.Log(v)
	}
	return sums
}

// zipStrided sets dst to f of x and the elements of b that strides lead to.
func zipStrided(dst, x, b []float64, shape, strides []int, f func(v, b float64) float64) {
	eachRow(shape, [][]int{tensor.Strides(shape), strides}, func(off []int, n int, step []int) {
		for i := range n {
			dst[off[0]+i] = f(x[off[0]+i], b[off[1]+i*step[1]])
		}
	})
}

func intReducer[T int64 | uint64](name string) reducer[T] {
	switch name {
	case "ReduceMax":
		return reducer[T]{start: leastOf[T](), step: larger[T]}
	case "ReduceMin":
		return reducer[T]{start: leastOf[T]() - 1, step: smaller[T]} // wraps to the largest
	case "ReduceProd":
		return reducer[T]{start: 1, step: mul[T]}
	case "ReduceMean":
		return reducer[T]{step: add[T], finish: func(acc T, n int) T { return divide(acc, T(n)) }}
	case "ReduceL1":
		return reducer[T]{step: func(acc, v T) T { return acc + absolute(v) }}
	case "ReduceSumSquare":
		return reducer[T]{step: func(acc, v T) T { return acc + v*v }}
	case "ReduceL2":
		return reducer[T]{step: func(acc, v T) T { return acc + v*v }, finish: func(acc T, _ int) T { return T(math.Sqrt(float64(acc))) }}
	case "ReduceLogSum":
		return reducer[T]{step: add[T], finish: func(acc T, _ int) T { return T(int64(math.Log(float64(acc)))) }}
	case "ReduceLogSumExp":
		return reducer[T]{step: func(acc, v T) T { return acc + T(int64(math.Exp(float64(v)))) },
			finish: func(acc T, _ int) T { return T(int64(math.Log(float64(acc)))) }}
	}
	return reducer[T]{step: add[T]}
}

func inferArg(c *Call) error {
	if err := c.wantType(0, numericTypes...); err != nil {
		return err
	}
	x := c.Types[0]
	c.OutType[0] = Type{DType: tensor.Int64}
	if !x.Known {
		return nil
	}
	axis, err := c.axis("axis", 0, len(x.Shape))
	if err != nil {
		return err
	}
	if x.Shape[axis] == 0 {
		return badInput("shape %v has no elements along axis %d", x.Shape, axis)
	}
	shape := slices.Clone(x.Shape)
	if shape[axis] = 1; c.Attrs.Int("keepdims", 1) == 0 {
		shape = slices.Delete(shape, axis, axis+1)
	}
	c.setType(tensor.Int64, shape)
	return nil
}

// argBest returns a run function that finds the place of the best element
// along the axis: the first, or the last if select_last_index is set.
func argBest[T number](better func(a, b T) bool) func(*Call) error {
	return func(c *Call) error {
		shape := c.Types[0].Shape
		axis, err := c.axis("axis", 0, len(shape))
		if err != nil {
			return err
		}
		last := c.Attrs.Int("select_last_index", 0) != 0
		n, inner := shape[axis], tensor.Volume(shape[axis+1:])
		x, out := tensor.Data[T](c.In[0]), c.out(0).I64()
		for i := range out {
			base := i/inner*n*inner + i%inner
			best := 0
			for k := 1; k < n; k++ {
				a, b := x[base+k*inner], x[base+best*inner]
				if better(a, b) || last && a == b {
					best = k
				}
			}
			out[i] = int64(best)
		}
		return nil
	}
}

// reduceBools: the largest of no bools is false, the least true.
func reduceBools(name string, x *tensor.Tensor, reduced []bool) []float64 {
	values := reduceFloats(name, x.Float64s(), x.Shape(), reduced)
	for i, v := range values {
		values[i] = clamp(v, 0, 1)
	}
	return values
}
