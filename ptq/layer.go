package ptq

import (
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// layer is an affine node with weights and bias of its own to scale.
type layer struct {
	node            *graph.Node
	weights, bias   []float64
	shape           []int
	outAxis, inAxis int
	outputs, inputs int
	groups          int // of a Conv
	input           channelStats
}

func newLayer(n *graph.Node) *layer {
	w := n.In(1).Const
	l := &layer{node: n, weights: w.Float64s(), shape: w.Shape(), outAxis: channelAxis(n, w), groups: n.Attrs.Int("group", 1)}
	l.inAxis = 1 - l.outAxis
	if b := n.In(2); b != nil {
		l.bias = b.Const.Float64s()
	}
	l.outputs, l.inputs = l.shape[l.outAxis], l.shape[l.inAxis]*l.groups
	return l
}

// outputOf returns the output channel of weight i.
func (l *layer) outputOf(i int) int {
	rest := tensor.Volume(l.shape[2:])
	if l.outAxis == 1 {
		return i / rest % l.shape[1]
	}
	return i / rest / l.shape[1]
}

// inputOf returns the input channel of weight i.
func (l *layer) inputOf(i int) int {
	rest := tensor.Volume(l.shape[2:])
	if l.outAxis == 1 {
		return i / rest / l.shape[1]
	}
	group := l.outputOf(i) / (l.outputs / l.groups)
	return i/rest%l.shape[1] + group*l.shape[1]
}

// ranges returns the largest magnitude among the weights of each channel.
func (l *layer) ranges(channel func(i int) int, channels int) []float64 {
	r := make([]float64, channels)
	for i, w := range l.weights {
		if c := channel(i); w > r[c] || -w > r[c] {
			r[c] = math.Abs(w)
		}
	}
	return r
}

// weightNoise estimates the mean square error that steps of the weights
// make in each output channel, up to a common factor.
func (l *layer) weightNoise(scheme Scheme) []float64 {
	steps := l.ranges(l.outputOf, l.outputs)
	if largest := slices.Max(steps); !scheme.PerChannel {
		for c := range steps {
			steps[c] = largest
		}
	}
	noise := make([]float64, l.outputs)
	for i := range l.weights {
		noise[l.outputOf(i)] += l.input.square[l.inputOf(i)] / l.input.count
	}
	levels := float64(Grid{Bits: scheme.WeightBits, Signed: true}.Max())
	for c, s := range steps {
		noise[c] *= s * s / (levels * levels)
	}
	return noise
}

// write gives the node its new weights and bias.
func (l *layer) write() {
	replace := func(i int, data []float64) {
		old := l.node.Inputs[i]
		narrow := make([]float32, len(data))
		for j, v := range data {
			narrow[j] = float32(v)
		}
		l.node.Inputs[i] = graph.NewConst(old.Name, tensor.From(narrow, old.Const.Shape()...))
	}
	replace(1, l.weights)
	if l.bias != nil {
		replace(2, l.bias)
	}
}
