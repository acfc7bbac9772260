package ptq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Equalization tells what balancing did.
type Equalization struct {
	Pairs    int               // pairs of layers that could be balanced
	Balanced []BalancedPair    // those for which it pays, in the order of the graph
	Refused  map[string]string // why the pair behind a node was left alone, by the node's name
}

// BalancedPair tells what balancing did to the channels between two layers.
type BalancedPair struct {
	First, Second string // names of the nodes
	Before, After ChannelRanges
}

// ChannelRanges are the largest magnitudes in each channel between two layers. The
// second layer may see several of its inputs as one channel, behind a Flatten.
type ChannelRanges struct {
	Out  []float64 // of the first layer's weights, by output channel
	Acts []float64 // of the second layer's input, as seen on some inputs
	In   []float64 // of the second layer's weights, by input channel
}

const (
	equalizeInputs = 64 // how many inputs show the ranges of the channels: one of another kind among fewer costs decibels
	equalizeRounds = 20 // at most
)

// equalize balances the ranges of the channels between neighbouring layers
// (cross-layer equalization, Nagel et al. 2019). For a pair of affine nodes A
// and B with nothing between them but what keeps channels apart and commutes with
// positive factors (Relu, pooling, moving within the channels), and nobody else
// reading what is between: channel c of A, weights and bias, is multiplied by
// sqrt(r1*r2)/r1 and that of B's weights divided by the same, where r2 is the
// largest magnitude of B's weights for the channel and r1 that of A's weights, or that
// of the activation between: a tensor has one scale, whatever the weights have. The
// function of the network stays the same.
//
// Of the two, and of leaving the pair alone, the one with the least noise is taken, as
// estimated from the steps of weights and activations. So balancing stops where it
// would no longer help; with a scale per channel of weights that is often at once.
//
// A depthwise layer is B of one pair and A of the next, so chains balance as pairs
// do in turn; the pairs inside a residual block are balanced, those that a join would tie
// together are left. A channel that is all zeros on one side is left alone. A Clip with
// an upper bound, like Relu6, does not commute with factors: the pair is refused and reported.
func equalize(ctx context.Context, g *graph.Graph, data dataset.Source, scheme Scheme, threads int) (*Equalization, error) {
	e := &Equalization{Refused: make(map[string]string)}
	pairs := findPairs(g, e.Refused)
	e.Pairs = len(pairs)
	layers := layersOf(pairs)
	// A few inputs show whether there is anything to gain, which there often is not.
	for _, count := range []int{sampleBatch, equalizeInputs} {
		if err := seeInputs(ctx, g, layers, data, count, threads); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(pairs, func(p *pair) bool { return p.bestFactors(scheme) != nil }) {
			return e, nil
		}
	}
	before := make([]ChannelRanges, len(pairs))
	for i, p := range pairs {
		before[i] = p.channels()
	}
	balanced := make(map[*pair]bool)
	for range equalizeRounds {
		changed := false
		for _, p := range pairs {
			if p.balance(scheme) {
				changed, balanced[p] = true, true
			}
		}
		if !changed {
			break
		}
	}
	var changed []*pair
	for i, p := range pairs {
		if balanced[p] {
			changed = append(changed, p)
			e.Balanced = append(e.Balanced, BalancedPair{p.a.node.Name, p.b.node.Name, before[i], p.channels()})
			p.rename(g)
		}
	}
	for _, l := range layersOf(changed) {
		l.write()
	}
	return e, nil
}

// layersOf returns the layers of all pairs, each once.
func layersOf(pairs []*pair) []*layer {
	var layers []*layer
	for _, p := range pairs {
		for _, l := range []*layer{p.a, p.b} {
			if !slices.Contains(layers, l) {
				layers = append(layers, l)
			}
		}
	}
	return layers
}

// seeInputs gives each layer the statistics of its input's channels on the first count inputs.
func seeInputs(ctx context.Context, g *graph.Graph, layers []*layer, data dataset.Source, count, threads int) error {
	values := make([]*graph.Value, len(layers))
	for i, l := range layers {
		values[i], l.input = l.node.In(0), channelStats{}
	}
	if len(layers) == 0 {
		return nil
	}
	return sampleTensors(ctx, g, values, data, count, threads, func(batch []*tensor.Tensor) error {
		return sideBySide(threads, len(layers), func(_, i int) error {
			layers[i].input.add(batch[i], layers[i].inputs)
			return nil
		})
	})
}

// pair is two layers, the output channels of a being the input channels of b.
type pair struct {
	a, b   *layer
	repeat int // consecutive inputs of b that come from one channel of a: more than 1 behind a Flatten
}

// Scheme says what integers there will be.
type Scheme struct {
	PerChannel          bool // one scale for each output channel of weights
	WeightBits, ActBits int
}

// worthBalancing returns the share of a pair's noise that balancing must bring it under. With a scale per
// channel of weights only the activations gain, whose ranges are those of a sample.
func (s Scheme) worthBalancing() float64 {
	if s.PerChannel {
		return 0.7
	}
	return 0.95
}

// balance equalizes a pair once, if that makes less noise, and reports whether it
// did.
func (p *pair) balance(scheme Scheme) bool {
	factors := p.bestFactors(scheme)
	if factors != nil {
		p.apply(factors)
	}
	return factors != nil
}

// bestFactors returns those of a's channels that make the least noise, nil if that is
// hardly less than there is without.
func (p *pair) bestFactors(scheme Scheme) []float64 {
	least := p.noise(scheme) * scheme.worthBalancing()
	ranges := [][]float64{p.joined(p.b.input.max)}
	if !scheme.PerChannel {
		ranges = append(ranges, p.a.outRanges())
	}
	var best []float64
	for _, r1 := range ranges {
		factors := p.factors(r1)
		p.apply(factors)
		if noise := p.noise(scheme); noise < least {
			best, least = factors, noise
		}
		inverse := make([]float64, len(factors))
		for c, f := range factors {
			inverse[c] = 1 / f
		}
		p.apply(inverse)
	}
	return best
}

// channels returns the ranges of the channels as they are now.
func (p *pair) channels() ChannelRanges {
	return ChannelRanges{
		Out:  p.a.outRanges(),
		Acts: p.joined(p.b.input.max),
		In:   p.joined(p.b.inRanges()),
	}
}

// rename gives the tensors between a and b other names, as they are no longer
// what the float network's tensors of these names are.
func (p *pair) rename(g *graph.Graph) {
	for v := p.b.node.In(0); ; v = v.Node.In(0) {
		v.Name = g.Unique(v.Name + "_equalized")
		if v.Node == p.a.node {
			return
		}
	}
}

// factors returns what to multiply each channel by: sqrt(r1*r2)/r1.
func (p *pair) factors(r1 []float64) []float64 {
	r2 := p.joined(p.b.inRanges())
	factors := make([]float64, len(r1))
	for c := range r1 {
		factors[c] = math.Sqrt(r2[c] / r1[c])
		if r1[c] == 0 || r2[c] == 0 || factors[c] < 1e-12 || factors[c] > 1e12 {
			factors[c] = 1
		}
	}
	return factors
}

// joined returns the largest value among the inputs of b that come from each
// channel of a.
func (p *pair) joined(ranges []float64) []float64 {
	out := make([]float64, len(ranges)/p.repeat)
	for c := range out {
		out[c] = slices.Max(ranges[c*p.repeat : (c+1)*p.repeat])
	}
	return out
}

// apply multiplies the channels of a by factors and divides those of b.
func (p *pair) apply(factors []float64) {
	p.a.scaleOutputs(factors)
	p.b.scaleInputs(factors, p.repeat)
}

// noise estimates the mean square error, summed over the channels of b's result
// and up to a common factor, that the steps of a's weights, of b's and of the
// activation between them make.
func (p *pair) noise(scheme Scheme) float64 {
	gain := make([]float64, p.a.outputs) // from an error in a's result to that in b's
	total := 0.0
	for o := range p.b.outputs {
		first := p.b.first(o)
		for k := range p.b.perGroup {
			e := p.b.energy(o*p.b.perGroup + k)
			gain[(first+k)/p.repeat] += e
			total += e
		}
	}
	step := slices.Max(p.b.input.max) / float64(Grid{Bits: scheme.ActBits}.Max())
	noise := step * step * total
	for _, e := range p.b.weightNoise(scheme) {
		noise += e
	}
	for c, e := range p.a.weightNoise(scheme) {
		noise += e * gain[c]
	}
	return noise
}

// findPairs returns the pairs of a graph, in its order, and says in refused why
// what looks like one is none.
func findPairs(g *graph.Graph, refused map[string]string) []*pair {
	uses := g.Uses()
	layers := make(map[*graph.Node]*layer)
	layerOf := func(n *graph.Node) *layer {
		if layers[n] == nil {
			layers[n] = newLayer(n)
		}
		return layers[n]
	}
	var pairs []*pair
	for _, n := range g.Nodes {
		if !isLayer(g, n) {
			continue
		}
		b, repeat, reason := follow(g, uses, n)
		if b == nil {
			if reason != "" {
				refused[n.Name] = reason
			}
			continue
		}
		p := &pair{a: layerOf(n), b: layerOf(b), repeat: repeat}
		if repeat < 1 || p.a.outputs*repeat != p.b.inputs {
			refused[n.Name] = fmt.Sprintf("its %d channels do not meet the %d of %q", p.a.outputs, p.b.inputs, b.Name)
			continue
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// isLayer reports whether n is an affine node whose channels can be scaled.
func isLayer(g *graph.Graph, n *graph.Node) bool {
	t := traitsOf(n)
	k, _ := kindOf(g, n, &t)
	if k != op.Affine {
		return false
	}
	return channelAxis(n, n.In(1).Const) >= 0
}

// follow goes from a layer to the next one, as long as nothing else reads what is
// between. It returns nil and a reason if there is none to balance with.
func follow(g *graph.Graph, uses map[*graph.Value][]*graph.Node, a *graph.Node) (b *graph.Node, repeat int, reason string) {
	v, repeat := a.Outputs[0], 1
	for {
		if g.IsOutput(v) || len(uses[v]) != 1 {
			return nil, 0, "" // a branch or the end: what is read elsewhere must stay as it is
		}
		n := uses[v][0]
		if isLayer(g, n) && n.In(0) == v {
			return n, repeat, ""
		}
		switch ok, why := keepsChannels(n); {
		case why != "":
			return nil, 0, why
		case !ok:
			return nil, 0, ""
		}
		if traitsOf(n).View {
			if repeat = flattened(n); repeat == 0 {
				return nil, 0, ""
			}
		}
		v = n.Outputs[0]
	}
}

// keepsChannels reports whether n does the same to every channel and commutes with
// positive factors, or why it comes close and does not.
func keepsChannels(n *graph.Node) (ok bool, reason string) {
	t := traitsOf(n)
	if lo, hi, clamps := n.Clamp(); clamps && t.Scale != op.ChannelScale {
		return false, fmt.Sprintf("%q clips at [%g, %g], which would have to be scaled by channel", n.Name, lo, hi)
	}
	return t.Scale == op.ChannelScale || t.View, ""
}

// flattened returns how many elements each channel has before n brings a batch of
// tensors into rows, 0 if n does something else or that is not known.
func flattened(n *graph.Node) int {
	in, out := n.In(0).Type, n.Outputs[0].Type
	if !in.Known || !out.Known || len(in.Shape) < 2 || len(out.Shape) != 2 || in.Shape[1] < 1 || out.Shape[1] < 1 {
		return 0
	}
	elements := 1
	for _, d := range in.Shape[1:] {
		if d < 1 {
			return 0
		}
		elements *= d
	}
	if elements != out.Shape[1] {
		return 0
	}
	return elements / in.Shape[1]
}
