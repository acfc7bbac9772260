package op

import (
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "MaxPool", min: 1, outs: 2, infer: inferPool, run: runMaxPool}.is(spatial, inputs(Data), flow(Moves, qSelf), keepsSign, channelScale, batch(oneOutput(firstInput))),
	spec{name: "AveragePool", min: 1, infer: inferPool, run: runAveragePool}.is(spatial, inputs(Data), flow(OneToOne, inQ(QOperands, microsoft, "QLinearAveragePool", true)), keepsSign, channelScale, mean(elementsOfWindow)),
	spec{name: "LpPool", min: 1, infer: inferPool, run: runLpPool}.is(spatial, inputs(Data), nonNegative, channelScale),
	spec{name: "GlobalAveragePool", min: 1, infer: inferGlobalPool, run: byNumber{f32: globalAverage[float32], f64: globalAverage[float64]}.run}.is(spatial, inputs(Data), flow(OneToOne, inQ(QOperands, microsoft, "QLinearGlobalAveragePool", true)), keepsSign, channelScale, mean(elementsOfImage)),
	spec{name: "GlobalMaxPool", min: 1, infer: inferGlobalPool, run: byNumber{f32: globalMax[float32], f64: globalMax[float64]}.run}.is(spatial, inputs(Data), flow(Moves, noQ), keepsSign, channelScale),
	spec{name: "GlobalLpPool", min: 1, infer: inferGlobalPool, run: byNumber{f32: globalLp[float32], f64: globalLp[float64]}.run}.is(spatial, inputs(Data), nonNegative, channelScale),
)

// elementsOfWindow returns how many elements all windows have, 0 where padding takes some away.
func elementsOfWindow(c *Call) int {
	if c.Attrs.String("auto_pad", "NOTSET") != "NOTSET" && c.Attrs.String("auto_pad", "") != "VALID" || c.Attrs.Int("ceil_mode", 0) != 0 {
		return 0
	}
	for _, p := range c.Attrs.Ints("pads") {
		if p != 0 && c.Attrs.Int("count_include_pad", 0) == 0 {
			return 0
		}
	}
	return tensor.Volume(c.Attrs.Ints("kernel_shape"))
}

func elementsOfImage(c *Call) int {
	spatial, err := spatialOf(c.Types[0])
	if err != nil || !c.Types[0].Known {
		return 0
	}
	n := 1
	for _, d := range spatial {
		n *= max(d, 0) // 0 where a dimension is free
	}
	return n
}

func inferPool(c *Call) error {
	if err := c.wantType(0, append([]tensor.DType{tensor.Int8, tensor.Uint8}, floatTypes...)...); err != nil {
		return err
	}
	x := c.Types[0]
	for i := range c.OutType {
		c.OutType[i] = Type{DType: x.DType}
	}
	if len(c.OutType) > 1 {
		c.OutType[1].DType = tensor.Int64
	}
	if !x.Known {
		return nil
	}
	_, out, err := poolShape(c)
	if err != nil {
		return err
	}
	for i := range c.OutType {
		c.OutType[i].Known, c.OutType[i].Shape = true, append([]int{x.Shape[0], x.Shape[1]}, out...)
	}
	return nil
}

func poolShape(c *Call) (*window, []int, error) {
	spatial, err := spatialOf(c.Types[0])
	if err != nil {
		return nil, nil, err
	}
	if err := c.Attrs.Require("kernel_shape"); err != nil {
		return nil, nil, err
	}
	win, err := newWindow(c.Attrs, len(spatial), nil)
	if err != nil {
		return nil, nil, err
	}
	for d := range spatial {
		if win.begin[d] >= win.span(d) || win.end[d] >= win.span(d) {
			return nil, nil, badAttr("pads %v are not smaller than the window", c.Attrs.Ints("pads"))
		}
	}
	out, err := win.outputDims(spatial)
	return win, out, err
}

// eachWindow calls f for every output of every plane. The places of the taps
// that lie inside the plane are those of idx, which f must not keep.
func eachWindow(c *Call, f func(plane, out int, idx []int, win *window, outPos []int)) error {
	win, out, err := poolShape(c)
	if err != nil {
		return err
	}
	in := c.Types[0].Shape[2:]
	planes := c.Types[0].Shape[0] * c.Types[0].Shape[1]
	if planes == 0 || product(out) == 0 {
		return nil
	}
	strides := tensor.Strides(in)
	pos := make([]int, len(in))
	var idx []int
	for o := range tensor.Volume(out) {
		unravel(o, out, pos)
		idx = append(idx[:0], 0)
		for d := range in {
			idx = extend(idx, win, d, pos[d], in[d], strides[d])
		}
		for p := range planes {
			f(p, o, idx, win, pos)
		}
	}
	return nil
}

// extend adds one dimension's taps to a list of places.
func extend(idx []int, win *window, d, o, n, stride int) []int {
	lo, hi := win.taps(d, o, n)
	out := make([]int, 0, len(idx)*(hi-lo))
	for _, base := range idx {
		for k := lo; k < hi; k++ {
			out = append(out, base+(o*win.strides[d]-win.begin[d]+k*win.dilations[d])*stride)
		}
	}
	return out
}

// unravel sets pos to the place of element i of a shape.
func unravel(i int, shape, pos []int) {
	for d := len(shape) - 1; d >= 0; d-- {
		pos[d] = i % shape[d]
		i /= shape[d]
	}
}

func runMaxPool(c *Call) error {
	return byNumber{f32: maxPool[float32], f64: maxPool[float64], i8: maxPool[int8], u8: maxPool[uint8]}.run(c)
}

// maxPool gives the least value for a window that lies wholly in the padding.
func maxPool[T number](c *Call) error {
	x, dst := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	var at []int64
	if len(c.Out) > 1 {
		at = c.out(1).I64()
	}
	in := c.Types[0].Shape[2:]
	inSize, outSize := product(in), product(c.OutType[0].Shape[2:])
	columnMajor := c.Attrs.Int("storage_order", 0) == 1
	return eachWindow(c, func(p, o int, idx []int, _ *window, _ []int) {
		best, where := leastOf[T](), 0
		for k, i := range idx {
			if v := x[p*inSize+i]; k == 0 || v > best || isNaN(v) && !isNaN(best) {
				best, where = v, i
			}
		}
		dst[p*outSize+o] = best
		if at != nil {
			if columnMajor {
				where = transposedIndex(where, in)
			}
			at[p*outSize+o] = int64(p*inSize + where)
		}
	})
}

// transposedIndex turns a row-major place into a column-major one.
func transposedIndex(i int, shape []int) int {
	pos := make([]int, len(shape))
	unravel(i, shape, pos)
	out, stride := 0, 1
	for d := range shape {
		out += pos[d] * stride
		stride *= shape[d]
	}
	return out
}

// leastOf returns the least value of a type: -Inf for floats.
func leastOf[T number]() T {
	lo := math.Inf(-1)
	if isInteger[T]() {
		lo, _ = intRange(tensor.DTypeOf[T]())
		return T(int64(lo))
	}
	return T(lo)
}

func runAveragePool(c *Call) error {
	return byNumber{f32: averagePool[float32], f64: averagePool[float64]}.run(c)
}

func averagePool[T floats](c *Call) error {
	x, dst := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	in := c.Types[0].Shape[2:]
	inSize, outSize := product(in), product(c.OutType[0].Shape[2:])
	countPad := c.Attrs.Int("count_include_pad", 0) != 0
	return eachWindow(c, func(p, o int, idx []int, win *window, pos []int) {
		var sum T
		for _, i := range idx {
			sum += x[p*inSize+i]
		}
		n := len(idx)
		if countPad {
			n = win.padded(in, pos)
		}
		if n > 0 {
			sum /= T(n)
		}
		dst[p*outSize+o] = sum
	})
}

// padded counts the taps of a window that lie in the input or its padding; with
// ceil_mode a window may stick out of both.
func (w *window) padded(in, pos []int) int {
	n := 1
	for d := range in {
		start := pos[d] * w.strides[d]
		room := in[d] + w.begin[d] + w.end[d] - start
		n *= min(w.kernel[d], (room+w.dilations[d]-1)/w.dilations[d])
	}
	return n
}

func runLpPool(c *Call) error {
	return byNumber{f32: lpPool[float32], f64: lpPool[float64]}.run(c)
}

func lpPool[T floats](c *Call) error {
	p, err := normOrder(c)
	if err != nil {
		return err
	}
	x, dst := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	inSize, outSize := product(c.Types[0].Shape[2:]), product(c.OutType[0].Shape[2:])
	return eachWindow(c, func(plane, o int, idx []int, _ *window, _ []int) {
		sum := 0.0
		for _, i := range idx {
			sum += math.Pow(math.Abs(float64(x[plane*inSize+i])), p)
		}
		dst[plane*outSize+o] = T(math.Pow(sum, 1/p))
	})
}

// normOrder returns the attribute p, a float in version 1.
func normOrder(c *Call) (float64, error) {
	p := float64(c.Attrs.Int("p", 2))
	if c.version() < 2 {
		p = float64(c.Attrs.Float("p", 2))
	}
	if !(p > 0) {
		return 0, badAttr("p is %v", p)
	}
	return p, nil
}

func inferGlobalPool(c *Call) error {
	if err := sameFloat(c); err != nil || !c.Types[0].Known {
		return err
	}
	if _, err := spatialOf(c.Types[0]); err != nil {
		return err
	}
	shape := append([]int(nil), c.Types[0].Shape...)
	for d := 2; d < len(shape); d++ {
		shape[d] = 1
	}
	c.OutType[0].Shape = shape
	return nil
}

// perPlane sets every output to f of its plane.
func perPlane[T floats](c *Call, f func(plane []T) T) error {
	x, dst := tensor.Data[T](c.In[0]), tensor.Data[T](c.out(0))
	size := product(c.Types[0].Shape[2:])
	if size == 0 {
		return badInput("shape %v has empty planes", c.Types[0].Shape)
	}
	for i := range dst {
		dst[i] = f(x[i*size:][:size])
	}
	return nil
}

func globalAverage[T floats](c *Call) error {
	return perPlane(c, func(plane []T) T {
		var sum float64
		for _, v := range plane {
			sum += float64(v)
		}
		return T(sum / float64(len(plane)))
	})
}

func globalMax[T floats](c *Call) error {
	return perPlane(c, func(plane []T) T {
		best := plane[0]
		for _, v := range plane {
			best = larger(best, v)
		}
		return best
	})
}

func globalLp[T floats](c *Call) error {
	p, err := normOrder(c)
	if err != nil {
		return err
	}
	return perPlane(c, func(plane []T) T {
		sum := 0.0
		for _, v := range plane {
			sum += math.Pow(math.Abs(float64(v)), p)
		}
		return T(math.Pow(sum, 1/p))
	})
}
