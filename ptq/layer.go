package ptq

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/mapped"
	"github.com/narrow-ml/narrow/tensor"
)

// layer is an affine node whose channels are to be scaled. Of its weights it holds what
// the choice of factors depends on: by output and, within its group, input channel.
type layer struct {
	node              *graph.Node
	shape             []int // of the weights
	outAxis           int
	outputs, inputs   int       // channels
	perGroup          int       // inputs to an output
	taps              int       // weights from an input to an output
	peak              []float32 // outputs x perGroup: the largest magnitude of the taps
	squares           []float32 // likewise the sum of their squares; nil if there is but one
	outScale, inScale []float64 // what each channel has been multiplied by
	input             channelStats
}

func newLayer(n *graph.Node) *layer {
	w := n.In(1).Const
	l := &layer{node: n, shape: w.Shape(), outAxis: channelAxis(n, w), perGroup: w.Shape()[1-channelAxis(n, w)]}
	l.outputs, l.inputs = l.shape[l.outAxis], l.perGroup*n.Attrs.Int("group", 1)
	l.taps = tensor.Volume(l.shape[2:])
	l.peak = make([]float32, l.outputs*l.perGroup)
	if l.taps > 1 {
		l.squares = make([]float32, len(l.peak))
	}
	for i, v := range w.Float32s() {
		o, k := l.channels(i)
		at := o*l.perGroup + k
		l.peak[at] = max(l.peak[at], magnitude(v))
		if l.squares != nil {
			l.squares[at] += v * v
		}
	}
	mapped.Release(w.Bytes())
	l.outScale, l.inScale = slices.Repeat([]float64{1}, l.outputs), slices.Repeat([]float64{1}, l.inputs)
	return l
}

// channels returns the output channel of weight i and, within its group, the input channel.
func (l *layer) channels(i int) (o, k int) {
	o, k = i/l.taps/l.shape[1], i/l.taps%l.shape[1]
	if l.outAxis == 1 {
		o, k = k, o
	}
	return o, k
}

// first returns the first of the input channels that an output reads.
func (l *layer) first(o int) int {
	group := o / (l.outputs / (l.inputs / l.perGroup))
	return group * l.perGroup
}

// outRanges returns the largest magnitude among the weights of each output channel.
func (l *layer) outRanges() []float64 {
	r := make([]float64, l.outputs)
	for o := range r {
		r[o] = float64(slices.Max(l.peak[o*l.perGroup : (o+1)*l.perGroup]))
	}
	return r
}

// inRanges returns the same of each input channel.
func (l *layer) inRanges() []float64 {
	r := make([]float64, l.inputs)
	for o := range l.outputs {
		first := l.first(o)
		for k, m := range l.peak[o*l.perGroup : (o+1)*l.perGroup] {
			r[first+k] = math.Max(r[first+k], float64(m))
		}
	}
	return r
}

// energy returns the sum of squares of the taps of a pair of channels.
func (l *layer) energy(i int) float64 {
	if l.squares == nil {
		return float64(l.peak[i]) * float64(l.peak[i])
	}
	return float64(l.squares[i])
}

// scale multiplies the taps of a pair of channels.
func (l *layer) scale(i int, f float64) {
	l.peak[i] = float32(float64(l.peak[i]) * f)
	if l.squares != nil {
		l.squares[i] = float32(float64(l.squares[i]) * f * f)
	}
}

// scaleOutputs multiplies the output channels.
func (l *layer) scaleOutputs(factors []float64) {
	for o, f := range factors {
		l.outScale[o] *= f
		for i := o * l.perGroup; i < (o+1)*l.perGroup; i++ {
			l.scale(i, f)
		}
	}
}

// scaleInputs multiplies the input channels, each factor standing for repeat of them, and
// divides the weights that read them.
func (l *layer) scaleInputs(factors []float64, repeat int) {
	for c := range l.inputs {
		f := factors[c/repeat]
		l.inScale[c] *= f
		l.input.max[c] *= f
		l.input.square[c] *= f * f
	}
	for o := range l.outputs {
		first := l.first(o)
		for k := range l.perGroup {
			f := factors[(first+k)/repeat]
			l.scale(o*l.perGroup+k, 1/f)
		}
	}
}

// weightNoise estimates the mean square error that steps of the weights
// make in each output channel, up to a common factor.
func (l *layer) weightNoise(scheme Scheme) []float64 {
	steps := l.outRanges()
	if largest := slices.Max(steps); !scheme.PerChannel {
		for c := range steps {
			steps[c] = largest
		}
	}
	noise := make([]float64, l.outputs)
	levels := float64(Grid{Bits: scheme.WeightBits, Signed: true}.Max())
	for o, s := range steps {
		first := l.first(o)
		for _, square := range l.input.square[first : first+l.perGroup] {
			noise[o] += square
		}
		noise[o] *= float64(l.taps) / l.input.count * s * s / (levels * levels)
	}
	return noise
}

// write gives the node its new weights and bias.
func (l *layer) write() {
	replace := func(i int, factor func(j int) float64) {
		old := l.node.Inputs[i]
		data := slices.Clone(old.Const.Float32s())
		for j, v := range data {
			data[j] = float32(float64(v) * factor(j))
		}
		l.node.Inputs[i] = graph.NewConst(old.Name, tensor.From(data, old.Const.Shape()...))
	}
	replace(1, func(j int) float64 {
		o, k := l.channels(j)
		return l.outScale[o] / l.inScale[l.first(o)+k]
	})
	if l.node.In(2) != nil {
		replace(2, func(j int) float64 { return l.outScale[j] })
	}
}
