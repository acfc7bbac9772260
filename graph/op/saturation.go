package op

import (
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// Narrow is the domain of operators of this project's own, which are in no file: networks have them while something is
// being found out about them.
const Narrow = "narrow"

// SaturationLoss is what sums of products lose on a machine that adds two of them in 16 bits, with saturation, before
// all others. Inputs are 8-bit activations, their zero point, and weights (less theirs, whole numbers as float32) out x
// in/group x kernel, with a convolution's attributes, or out x in for products along the last axis. The result, in units of
// the products, is to be added to the exact sums.
var _ = register(
	spec{name: "SaturationLoss", domain: Narrow, min: 3, infer: inferSaturationLoss, run: runSaturationLoss, anyType: true}.
		is(plain, inputs(Data, ZeroPoint, Weights), tensors, batch(firstInput)),
)

func inferSaturationLoss(c *Call) error {
	if err := want8(c, 0, 1); err != nil {
		return err
	}
	x, w := c.Types[0], c.Types[2]
	if w.Known && len(w.Shape) == 2 {
		if !x.Known {
			return nil
		}
		last := len(x.Shape) - 1
		if last < 0 || x.Shape[last] >= 0 && w.Shape[1] >= 0 && x.Shape[last] != w.Shape[1] {
			return badInput("activations of shape %v for weights of shape %v", x.Shape, w.Shape)
		}
		c.setType(tensor.Float32, append(slices.Clone(x.Shape[:last]), w.Shape[0]))
		return nil
	}
	return convType(c, tensor.Float32, x, w)
}

// crowdedPair is a pair of weights whose products may not fit 16 bits: at one tap, of neighbouring channels.
type crowdedPair struct {
	tap, first, second int
	a, b               int32
}

// crowdedPairs finds them for every output channel. Weights of different signs cannot saturate.
func crowdedPairs(w []float32, outputs int, s Sums) [][]crowdedPair {
	pairs := make([][]crowdedPair, outputs)
	row := s.Inputs * s.Inner
	for i, v := range w {
		j, _ := s.Partners(i)
		if j <= i || max(v+w[j], -v-w[j]) <= PairLimit {
			continue
		}
		k := i % row
		pairs[i/row] = append(pairs[i/row], crowdedPair{k % s.Inner, k / s.Inner, (j % row) / s.Inner, int32(v), int32(w[j])})
	}
	return pairs
}

// loss returns what saturation takes from, or adds to, the sum of two products.
func (p *crowdedPair) loss(x, y uint8) int32 {
	sum := int32(x)*p.a + int32(y)*p.b
	return max(min(sum, 32767), -32768) - sum
}

func runSaturationLoss(c *Call) error {
	x, zero := unsigned(c.In[0]), unsigned(c.In[1])
	w, y := c.In[2], tensor.Data[float32](c.out(0))
	if len(zero) != 1 || w.DType() != tensor.Float32 {
		return badInput("one zero point and weights of float32 are needed")
	}
	if len(y) == 0 {
		return nil
	}
	shape := w.Shape()
	if w.Rank() == 2 {
		pairs := crowdedPairs(w.F32(), shape[0], Sums{Inputs: shape[1], Inner: 1})
		for i := range y {
			row := x[i/shape[0]*shape[1]:]
			y[i] = 0
			for _, p := range pairs[i%shape[0]] {
				y[i] += float32(p.loss(row[p.first], row[p.second]))
			}
		}
		return nil
	}
	return convSaturation(c, x, zero[0], crowdedPairs(w.F32(), shape[0], convSums(c.Attrs, shape)), y)
}

func convSaturation(c *Call, x []uint8, zero uint8, pairs [][]crowdedPair, y []float32) error {
	win, out, err := convShape(c.Attrs, c.Types[0], c.Types[2])
	if err != nil {
		return err
	}
	in, inputs := c.Types[0].Shape, c.Types[2].Shape[1]
	space, places := tensor.Volume(in[2:]), tensor.Volume(out[2:])
	perGroup := out[1] / c.Attrs.Int("group", 1)
	at := make([]int, tensor.Volume(win.kernel))
	for i := range y {
		y[i] = 0
	}
	for n := range in[0] {
		for place := range places {
			win.offsets(at, in[2:], out[2:], place)
			for o, of := range pairs {
				sample := x[(n*in[1]+o/perGroup*inputs)*space:]
				for _, p := range of {
					if first := at[p.tap]; first >= 0 {
						y[(n*out[1]+o)*places+place] += float32(p.loss(sample[p.first*space+first], sample[p.second*space+first]))
					} else {
						y[(n*out[1]+o)*places+place] += float32(p.loss(zero, zero))
					}
				}
			}
		}
	}
	return nil
}

// offsets finds where in a channel each tap of the window lies at one place of the output, -1 outside.
func (w *window) offsets(at, in, out []int, place int) {
	for tap := range at {
		t, rest, stride := tap, place, 1
		at[tap] = 0
		for d := len(in) - 1; d >= 0; d-- {
			pos := rest%out[d]*w.strides[d] - w.begin[d] + t%w.kernel[d]*w.dilations[d]
			rest, t = rest/out[d], t/w.kernel[d]
			if pos < 0 || pos >= in[d] || at[tap] < 0 {
				at[tap] = -1
				continue
			}
			at[tap] += pos * stride
			stride *= in[d]
		}
	}
}

// unsigned returns 8-bit integers as machines without products of signed ones take them: signed ones
// moved up by 128.
func unsigned(t *tensor.Tensor) []uint8 {
	if t.DType() == tensor.Uint8 {
		return tensor.Data[uint8](t)
	}
	out := make([]uint8, t.Len())
	for i, v := range tensor.Data[int8](t) {
		out[i] = uint8(v) ^ 0x80
	}
	return out
}
