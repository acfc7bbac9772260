package ptq

import (
	"math"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/mapped"
	"github.com/narrow-ml/narrow/tensor"
)

// normalizeParameters chooses the scales of all weights and biases. Weights are
// divided by alpha, their largest magnitude, per tensor or per output channel,
// so s_w = alpha/127 with 8 bits; with fewer, alpha is the threshold of the
// least mean square error. A bias is divided by s_x*s_w, the unit of the products it is
// added to. The scales of activations must be known.
//
// With shift, the scales are powers of two, each the one with the least square
// error of those around alpha/127, and a node whose result stays in float has one: the sums
// are the result of a network without float then, and compare as they are.
//
// With safe, weights will be rounded so that they are saturation-safe, see [WithSaturationSafe],
// and with them their scales may change.
//
// A weight scale so small that the bias would not fit 32 bits is raised until
// it does. The names of nodes where that happened are returned.
func normalizeParameters(g *graph.Graph, perChannel func(*graph.Node) bool, shift, safe bool) (raised []string, err error) {
	behind := scalesOf(g)
	for _, n := range g.Nodes {
		if !isAffine(n) {
			continue
		}
		w := weightsOf(n)
		s := w.scaling
		s.Axis, s.Scale = -1, w.scales(perChannel(n) && !(shift && behind.output(n) == nil))
		s.Paired, s.Powers = safe, shift
		if shift {
			w.toPowers()
			if y := behind.output(n); y != nil {
				w.limitShifts(float64(scalingOf(n.Inputs[0].Node).Scale[0]) / float64(scalingOf(y).Scale[0]))
			}
		}
		if len(s.Scale) > 1 {
			s.Axis = w.axis
		}
		if fitBias(n) {
			raised = append(raised, n.Name)
		}
	}
	return raised, nil
}

// weights are the weights of an affine node, seen as one row for each output
// channel.
type weights struct {
	node    *graph.Node
	value   *graph.Value // the constant
	scaling *Scaling
	data    []float32
	axis    int // of output channels; -1 if each must be treated like all others
	shape   []int
}

func weightsOf(n *graph.Node) *weights {
	sn := n.Inputs[1].Node
	v := sn.Inputs[0]
	return &weights{node: n, value: v, scaling: scalingOf(sn), data: v.Const.Float32s(), axis: channelAxis(n, v.Const), shape: v.Const.Shape()}
}

// channelAxis returns the axis of the output channels of an affine node's weights,
// -1 if there is none with one index for each channel.
func channelAxis(n *graph.Node, w *tensor.Tensor) int {
	p := n.Products()
	if p == nil {
		return -1
	}
	s := p.Sums(n.Attrs, w.Shape())
	if s.Inputs == 0 {
		return -1
	}
	return s.Output
}

// channels returns how many output channels there are along the axis.
func (w *weights) channels() int {
	if w.axis < 0 {
		return 1
	}
	return w.shape[w.axis]
}

// inner returns the number of elements between two of consecutive channels.
func (w *weights) inner() int {
	if w.axis < 0 {
		return max(len(w.data), 1)
	}
	return tensor.Volume(w.shape[w.axis+1:])
}

// channel returns the output channel of element i.
func (w *weights) channel(i int) int { return i / w.inner() % w.channels() }

// each calls f with the index of every element of channel c.
func (w *weights) each(c int, f func(i int)) {
	inner, step := w.inner(), w.inner()*w.channels()
	for start := c * inner; start < len(w.data); start += step {
		for i := start; i < start+inner; i++ {
			f(i)
		}
	}
}

// scales returns one scale, or one for each channel.
func (w *weights) scales(perChannel bool) []float32 {
	if !perChannel || w.axis < 0 {
		return []float32{toScale(w.threshold(w.data) / float64(w.scaling.Max()))}
	}
	scales := make([]float32, w.channels())
	largest := float32(0)
	values := make([]float32, 0, len(w.data)/max(len(scales), 1))
	for c := range scales {
		values = values[:0]
		w.each(c, func(i int) { values = append(values, w.data[i]) })
		if t := w.threshold(values); t > 0 {
			scales[c] = toScale(t / float64(w.scaling.Max()))
		}
		largest = max(largest, scales[c])
	}
	for c := range scales {
		if scales[c] == 0 { // a channel of zeros: any scale, as long as its bias fits
			scales[c] = max(largest, toScale(1.0/float64(w.scaling.Max())))
		}
	}
	return scales
}

// threshold returns the largest magnitude to keep of some weights.
func (w *weights) threshold(values []float32) float64 {
	alpha := 0.0
	for _, v := range values {
		alpha = max(alpha, math.Abs(float64(v)))
	}
	if w.scaling.Bits >= 8 || alpha == 0 {
		return alpha
	}
	grid, least := w.scaling.symmetric(), math.Inf(1)
	return leastError(alpha, func(t float64) float64 {
		l, sum := grid.Over(t), 0.0
		l.Min = -l.Max
		for _, v := range values {
			e := float64(v) - l.Round(float64(v))
			if sum += e * e; sum >= least {
				return sum // the rest can only add to it
			}
		}
		least = sum
		return sum
	})
}

// toPowers replaces the scales by powers of two: the next larger, or the next
// smaller if clipping costs less than the coarser steps.
func (w *weights) toPowers() {
	s := w.scaling
	for c := range s.Scale {
		larger := nextPower(s.Scale[c])
		errors := [2]float64{}
		for i, scale := range []float32{larger, larger / 2} {
			s.Scale[c] = scale
			errors[i] = w.squareError(c, len(s.Scale) > 1)
		}
		if errors[0] <= errors[1] {
			s.Scale[c] = larger
		}
	}
}

// nextPower returns the least power of two that is not below x.
func nextPower(x float32) float32 {
	frac, exp := math.Frexp(float64(x))
	if frac == 0.5 {
		return x
	}
	return float32(math.Ldexp(1, exp))
}

// squareError returns the sum of squares of what rounding changes, of one channel or
// of all.
func (w *weights) squareError(c int, one bool) float64 {
	sum := 0.0
	add := func(i int) {
		e := float64(w.data[i]) - float64(w.round(i, float64(w.data[i])))
		sum += e * e
	}
	if one {
		w.each(c, add)
		return sum
	}
	for i := range w.data {
		add(i)
	}
	return sum
}

// symmetric returns the grid of weights.
func (s *Scaling) symmetric() Grid { return Grid{Bits: s.Bits, Signed: true} }

// biasLimit keeps an int32 bias away from the end of its range, for the sum of
// products that is added to it.
const biasLimit = 1 << 30

// fitBias sets the scale of an affine node's bias to that of its products, after
// raising the scales of its weights where the bias would not fit. It reports
// whether it raised one.
func fitBias(n *graph.Node) (raised bool) {
	w := scalingOf(n.Inputs[1].Node)
	for c, least := range leastScales(n) {
		if float64(w.Scale[c]) < least {
			w.Scale[c] = toScale(least)
			if w.Powers {
				w.Scale[c] = nextPower(w.Scale[c])
			}
			raised = true
		}
	}
	scaleBias(n)
	return raised
}

// leastScales returns for each scale of an affine node's weights the least one with which the
// bias fits.
func leastScales(n *graph.Node) []float64 {
	w := scalingOf(n.Inputs[1].Node)
	least := make([]float64, len(w.Scale))
	b := n.In(2)
	if b == nil {
		return least
	}
	unit := float64(scalingOf(n.Inputs[0].Node).Scale[0]) * biasLimit
	for c, v := range b.Node.Inputs[0].Const.Float32s() {
		if w.Axis < 0 {
			c = 0
		}
		least[c] = math.Max(least[c], math.Abs(float64(v))/unit)
	}
	return least
}

// scaleBias sets the scale of an affine node's bias, if it has one, to that of its products.
func scaleBias(n *graph.Node) {
	b := n.In(2)
	if b == nil {
		return
	}
	w, x, s := scalingOf(n.Inputs[1].Node), scalingOf(n.Inputs[0].Node).Scale[0], scalingOf(b.Node)
	s.Scale, s.Axis = make([]float32, len(w.Scale)), -1
	for c := range w.Scale {
		s.Scale[c] = toScale(float64(x) * float64(w.Scale[c]))
	}
	if len(s.Scale) > 1 {
		s.Axis = 0
	}
}

// roundWeights replaces the weights of every affine node by the values that
// their integers stand for, each rounded to nearest.
func roundWeights(g *graph.Graph) {
	for _, n := range g.Nodes {
		if isAffine(n) {
			weightsOf(n).roundNearest()
		}
	}
}

// nearestBlock is how many channels are rounded to nearest at a time, which bounds the memory that takes.
const nearestBlock = 64

func (w *weights) roundNearest() {
	if len(w.data) == 0 {
		return
	}
	w.chooseShared(1, func(int) (attempt, error) { return toNearest{}, nil }) // cannot fail
	rounded := make([]float32, len(w.data))
	for first := 0; first < w.channels(); first += nearestBlock {
		rows := w.rows(first, min(nearestBlock, w.channels()-first))
		q := w.settle(rows, first, toNearest{})
		for i, k := range rows.index {
			rounded[k] = q[i]
		}
	}
	mapped.Release(w.value.Const.Bytes())
	w.replace(rounded)
	scaleBias(w.node)
}

// round returns the value on the grid that is nearest to v, for element i.
func (w *weights) round(i int, v float64) float32 {
	l := w.scaling.levels(w.channel(i))
	l.Min = -l.Max
	return float32(l.Round(v))
}

// replace gives the node new weights.
func (w *weights) replace(data []float32) {
	v := graph.NewConst(w.value.Name, tensor.From(data, w.shape...))
	w.node.Inputs[1].Node.Inputs[0] = v
}
