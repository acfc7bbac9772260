package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

var _ = register(
	spec{name: "ConvTranspose", min: 2, max: 3, infer: inferConvTranspose, run: runConvTranspose}.is(spatial, inputs(Data, Weights, Bias), flow(Affine, noQ), tensorScale, products(1, 0, convTransposeSums), weightAxes(convTransposeWeightAxes), macs(transposedMACs)),
)

// transposeShape returns the window, which slides over the output, and the
// output's shape; nothing if they are not known yet.
func transposeShape(c *Call) (*window, []int, error) {
	x, w := c.Types[0], c.Types[1]
	if !x.Known || !w.Static() {
		return nil, nil, nil
	}
	spatial, err := spatialOf(x)
	if err != nil {
		return nil, nil, err
	}
	group := c.Attrs.Int("group", 1)
	if len(w.Shape) != len(x.Shape) || !compatible(x.Shape[1], w.Shape[0]) || group < 1 || w.Shape[0]%group != 0 {
		return nil, nil, badInput("weights of shape %v in %d groups for input of shape %v", w.Shape, group, x.Shape)
	}
	if k := c.Attrs.Ints("kernel_shape"); k != nil && !slices.Equal(k, w.Shape[2:]) {
		return nil, nil, badAttr("kernel_shape is %v, the weights have shape %v", k, w.Shape)
	}
	win, err := newWindow(c.Attrs, len(spatial), w.Shape[2:])
	if err != nil {
		return nil, nil, err
	}
	channels, ok := tensor.CheckedVolume([]int{w.Shape[1], group})
	if !ok {
		return nil, nil, badAttr("group is %d", group)
	}
	out, err := transposeDims(c.Attrs, win, spatial)
	return win, append([]int{x.Shape[0], channels}, out...), err
}

// transposeDims returns the spatial dimensions of the output; where they are
// given, or the padding is automatic, it sets the padding.
func transposeDims(a Attrs, win *window, in []int) ([]int, error) {
	extra, wanted := a.Ints("output_padding"), a.Ints("output_shape")
	if extra == nil {
		extra = make([]int, len(in))
	}
	if len(extra) != len(in) || slices.Min(extra) < 0 || slices.Max(extra) > maxWindow {
		return nil, badAttr("output_padding is %v", extra)
	}
	if len(wanted) == len(in)+2 {
		wanted = wanted[2:] // some exporters write the whole shape
	}
	if wanted != nil && (len(wanted) != len(in) || slices.Min(wanted) < 1) {
		return nil, badAttr("output_shape is %v", wanted)
	}
	out := make([]int, len(in))
	for d, n := range in {
		if n == Unknown {
			if out[d] = Unknown; wanted != nil {
				out[d] = wanted[d]
			}
			continue
		}
		full := win.strides[d]*(n-1) + extra[d] + win.span(d)
		switch {
		case wanted != nil:
			out[d] = wanted[d]
		case win.autoPad == "SAME_UPPER" || win.autoPad == "SAME_LOWER":
			out[d] = n * win.strides[d]
		default:
			if out[d] = full - win.begin[d] - win.end[d]; out[d] < 0 || n == 0 {
				return nil, badInput("dimension %d of %d gives %d elements", d, n, out[d])
			}
			continue
		}
		pad := max(0, full-out[d])
		win.begin[d], win.end[d] = pad-pad/2, pad/2
		if win.autoPad == "SAME_UPPER" {
			win.begin[d], win.end[d] = pad/2, pad-pad/2
		}
	}
	return out, nil
}

func inferConvTranspose(c *Call) error {
	for i := range c.Types {
		if err := c.wantType(i, floatTypes...); err != nil {
			return err
		}
	}
	_, shape, err := transposeShape(c)
	if err != nil {
		return err
	}
	if b := c.typ(2); b.Known && shape != nil && (len(b.Shape) != 1 || !compatible(b.Shape[0], shape[1])) {
		return badInput("bias of shape %v for %d channels", b.Shape, shape[1])
	}
	if shape == nil && c.Types[0].Known {
		shape = unknownShape(len(c.Types[0].Shape))
	}
	c.OutType[0] = Type{DType: c.Types[0].DType, Shape: shape, Known: shape != nil}
	return nil
}

func runConvTranspose(c *Call) error {
	if err := sameTypes(c.In); err != nil {
		return err
	}
	return byNumber{f32: convTranspose[float32], f64: convTranspose[float64]}.run(c)
}

func convTranspose[T floats](c *Call) error {
	win, shape, err := transposeShape(c)
	if err != nil {
		return err
	}
	if c.In[0].DType() == tensor.Float32 && product(win.kernel)*product(c.Types[0].Shape[2:]) <= maxStrip {
		convTransposeF32(c, win, shape)
	} else {
		convTransposeDirect[T](c, win, shape)
	}
	addBias(tensor.Data[T](c.out(0)), biasOf[T](c.in(2)), shape[1], product(shape[2:]))
	return nil
}

// convTransposeDirect is the convolution's adjoint: every input is added, weighted,
// to the outputs that its window covers. Weights are [c, m/group, ...].
func convTransposeDirect[T floats](c *Call, win *window, shape []int) {
	x, w, dst := tensor.Data[T](c.In[0]), tensor.Data[T](c.In[1]), tensor.Data[T](c.out(0))
	in, out := c.Types[0].Shape[2:], shape[2:]
	inSize, outSize, taps := product(in), product(out), product(win.kernel)
	channels, perGroup := c.Types[0].Shape[1], c.Types[1].Shape[1]
	groupIn := max(1, channels/c.Attrs.Int("group", 1))
	for n := range shape[0] {
		for m := range shape[1] {
			y := dst[(n*shape[1]+m)*outSize:][:outSize]
			for k := range groupIn {
				ch := m/perGroup*groupIn + k
				src := x[(n*channels+ch)*inSize:][:inSize]
				win.eachTap(len(in), func(tap int, index []int) {
					weight := w[(ch*perGroup+m%perGroup)*taps+tap]
					win.region(index, out, in).each(func(small, large, n, smallStep, largeStep int) {
						for i := range n {
							y[large+i*largeStep] += T(weight * src[small+i*smallStep])
						}
					})
				})
			}
		}
	}
}
