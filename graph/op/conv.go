package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "Conv", min: 2, max: 3, infer: inferConv, run: runConv}.is(spatial, inputs(Data, Weights, Bias), flow(Affine, inQ(QOperands, "", "QLinearConv", false)), tensorScale, products(1, 0, convSums), weightAxes(convWeightAxes), dynamicAs("ConvInteger"), macs(convMACs(1))),
)

// convShape checks a convolution's attributes and types, and returns its
// window and output shape. The window is nil if the ranks are not known yet.
func convShape(a Attrs, x, w Type) (*window, []int, error) {
	if !x.Known || !w.Known {
		return nil, nil, nil
	}
	spatial, err := spatialOf(x)
	if err != nil {
		return nil, nil, err
	}
	if len(w.Shape) != len(x.Shape) {
		return nil, nil, badInput("weights of shape %v for input of shape %v", w.Shape, x.Shape)
	}
	kernel := w.Shape[2:]
	if !w.Static() {
		if kernel = a.Ints("kernel_shape"); kernel == nil {
			return nil, append([]int{x.Shape[0], w.Shape[0]}, unknownShape(len(spatial))...), nil
		}
	} else if k := a.Ints("kernel_shape"); k != nil && !slices.Equal(k, kernel) {
		return nil, nil, badAttr("kernel_shape is %v, the weights have shape %v", k, w.Shape)
	}
	win, err := newWindow(a, len(spatial), kernel)
	if err != nil {
		return nil, nil, err
	}
	group := a.Int("group", 1)
	if group < 1 || w.Shape[0] >= 0 && w.Shape[0]%group != 0 {
		return nil, nil, badAttr("group is %d for %d output channels", group, w.Shape[0])
	}
	if w.Shape[1] >= 0 && x.Shape[1] >= 0 && (x.Shape[1]%group != 0 || x.Shape[1]/group != w.Shape[1]) {
		return nil, nil, badInput("%d channels in %d groups for weights of shape %v", x.Shape[1], group, w.Shape)
	}
	out, err := win.outputDims(spatial)
	if err != nil {
		return nil, nil, err
	}
	return win, append([]int{x.Shape[0], w.Shape[0]}, out...), nil
}

func inferConv(c *Call) error {
	for i := range c.Types {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
	}
	_, shape, err := convShape(c.Attrs, c.Types[0], c.Types[1])
	if err != nil {
		return err
	}
	if b := c.typ(2); b.Known && shape != nil && (len(b.Shape) != 1 || !compatible(b.Shape[0], shape[1])) {
		return badInput("bias of shape %v for %d channels", b.Shape, shape[1])
	}
	c.OutType[0] = Type{DType: c.Types[0].DType, Shape: shape, Known: shape != nil}
	return nil
}

func runConv(c *Call) error {
	if err := sameTypes(c.In); err != nil {
		return err
	}
	if c.In[0].DType() == tensor.Float64 {
		return convFloats[float64](c)
	}
	return convFloats[float32](c)
}

// sameTypes returns an error unless all inputs that are given have one type.
func sameTypes(in []*tensor.Tensor) error {
	for i, t := range in {
		if t != nil && t.DType() != in[0].DType() {
			return badInput("input %d is %s, input 0 is %s", i, t.DType(), in[0].DType())
		}
	}
	return nil
}

func convFloats[T floats](c *Call) error {
	return conv(tensor.Data[T](c.out(0)), tensor.Data[T](c.In[0]), tensor.Data[T](c.In[1]), biasOf[T](c.in(2)), c.Attrs, c.Types[0], c.Types[1])
}

// conv computes a convolution of any rank: dst[n,m,...] from x[n,c,...] and
// weights w[m,c/group,...]. Each output's products are added one after another,
// channel by channel and tap by tap, and then the bias.
func conv[T float32 | float64 | int32](dst, x, w, bias []T, a Attrs, xt, wt Type) error {
	win, shape, err := convShape(a, xt, wt)
	if err != nil {
		return err
	}
	group := a.Int("group", 1)
	if y, ok := any(dst).([]float32); ok && wt.Shape[1] > 1 && tensor.Volume(wt.Shape[1:])*product(shape[3:]) <= maxStrip {
		biasF32, _ := any(bias).([]float32)
		convF32(y, any(x).([]float32), any(w).([]float32), biasF32, group, win, xt.Shape, shape)
		return nil
	}
	in, out := xt.Shape[2:], shape[2:]
	inSize, outSize, taps := tensor.Volume(in), tensor.Volume(out), tensor.Volume(win.kernel)
	channels, perGroup := shape[1], wt.Shape[1]
	groupOut := max(1, channels/group)
	for n := range shape[0] {
		for m := range channels {
			y := dst[(n*channels+m)*outSize:][:outSize]
			for k := range perGroup {
				src := x[(n*xt.Shape[1]+m/groupOut*perGroup+k)*inSize:][:inSize]
				win.eachTap(len(in), func(tap int, index []int) {
					weight := w[(m*perGroup+k)*taps+tap]
					win.region(index, in, out).each(func(to, from, n, toStep, fromStep int) {
						if toStep == 1 && fromStep == 1 {
							axpy(y[to:to+n], src[from:from+n], weight)
							return
						}
						for i := range n {
							y[to+i*toStep] += T(weight * src[from+i*fromStep])
						}
					})
				})
			}
		}
	}
	addBias(dst, bias, channels, outSize)
	return nil
}

// axpy adds a*x to y.
func axpy[T float32 | float64 | int32](y, x []T, a T) {
	x = x[:len(y)]
	for i := range y {
		y[i] += T(a * x[i])
	}
}
