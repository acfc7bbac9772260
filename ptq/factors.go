package ptq

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// The channels of what weighted layers read behind a chain in float can have factors: x_c/t_c is rounded, and the layers' weights are
// multiplied by t_c. A channel with large values then leaves the others some resolution, at the cost of coarser weights: t_c =
// max|x_c|^a / ||w_c||^(1-a) (Xiao et al., SmoothQuant, 2023), where the exponent a, and the share of the range that is kept, are those of the least
// error behind the layers.

// exponents are those tried; 0 stands for no factors.
var exponents = []float64{0, 0.3, 0.5, 0.7, 0.85}

// shares are the parts of the range that are tried to be kept.
var shares = []float64{1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3}

const (
	factorInputs = 64   // how many inputs show the channels
	factorKept   = 256  // how many values of each channel are looked at
	worthFactors = 0.7  // the share of the error that factors must bring it under: what other inputs saturate costs some of the gain
	factorSeen   = 4096 // the least number of values of a channel that tell what it can take
	largestRatio = 1e4  // between a factor and their mean
)

// scaledInput is what weighted layers read behind a chain in float.
type scaledInput struct {
	value   *graph.Value
	layers  []*layer
	axis    int           // of the channels
	spread  []channelKept // by channel
	norms   []float64     // the sum of squares of the weights that read a channel
	batches int
	matrix  bool                   // all layers are products with matrices, whose channels are last
	apart   map[int]bool           // channels that are computed apart, in float
	left    map[*graph.Node]Reason // what computes them
}

// channelKept is what is kept of a channel's values.
type channelKept struct {
	lo, hi, square, count float64
	samples               []float32
}

// scaledInputs returns what can have factors, in the order of the graph.
func (p *Plan) scaledInputs() []*scaledInput {
	byValue := make(map[*graph.Value]*scaledInput)
	var all []*scaledInput
	for _, np := range p.Nodes {
		v := np.Node.In(0)
		if np.kind != op.Affine || !isLayer(p.Graph, np.Node) || v.Node == nil || p.integral(v) || len(p.uses[np.Node.In(1)]) > 1 {
			continue // shared weights stay shared
		}
		l, axis := newLayer(np.Node), np.traits.Channels
		if axis < 0 {
			axis += len(v.Type.Shape)
		}
		s := byValue[v]
		if s == nil {
			s = &scaledInput{value: v, axis: axis, matrix: axis == len(v.Type.Shape)-1, spread: make([]channelKept, l.inputs), norms: make([]float64, l.inputs)}
			byValue[v], all = s, append(all, s)
		}
		if s.axis != axis || len(s.spread) != l.inputs || axis < 0 {
			continue // a layer that sees the channels elsewhere keeps reading the value as it is
		}
		s.layers = append(s.layers, l)
		s.matrix = s.matrix && len(l.shape) == 2 && np.Node.Attrs.Float("alpha", 1) == 1
		l.eachInput(func(o, c, i int) { s.norms[c] += l.energy(i) })
	}
	return slices.DeleteFunc(all, func(s *scaledInput) bool { return len(s.layers) == 0 })
}

// eachInput calls f for every output channel, input channel and the index of the pair in peak and energy.
func (l *layer) eachInput(f func(o, c, i int)) {
	for o := range l.outputs {
		for k := range l.perGroup {
			f(o, l.first(o)+k, o*l.perGroup+k)
		}
	}
}

// add takes in a batch of values.
func (s *scaledInput) add(t *tensor.Tensor) {
	shape, data, channels := t.Shape(), t.F32(), len(s.spread)
	inner := tensor.Volume(shape[s.axis+1:])
	positions := len(data) / channels
	stride := max(1, positions*factorInputs/sampleBatch/factorKept)
	for c := range s.spread {
		k, next, i := &s.spread[c], (s.batches*7+c)%stride, 0
		for from := c * inner; from < len(data); from += channels * inner {
			for _, v := range data[from : from+inner] {
				x := float64(v)
				k.lo, k.hi, k.square = min(k.lo, x), max(k.hi, x), k.square+x*x
				if i == next && len(k.samples) < factorKept {
					k.samples, next = append(k.samples, v), next+stride
				}
				i++
			}
		}
		k.count += float64(positions)
	}
	s.batches++
}

// factors returns those of an exponent, around 1.
func (s *scaledInput) factors(a float64) []float64 {
	t := make([]float64, len(s.spread))
	mean := 0.0
	for c, k := range s.spread {
		t[c] = 1
		if m := max(-k.lo, k.hi); a > 0 && m > 0 && s.norms[c] > 0 && !s.apart[c] {
			t[c] = math.Pow(m, a) / math.Pow(math.Sqrt(s.norms[c]), 1-a)
		}
		mean += math.Log(t[c]) / float64(len(t))
	}
	for c := range t {
		t[c] = min(max(t[c]/math.Exp(mean), 1/largestRatio), largestRatio)
	}
	return t
}

// inputError estimates the squared error behind the layers that comes from rounding x/t, of whose range a share is kept.
func (s *scaledInput) inputError(t []float64, share float64, bits int) float64 {
	lo, hi := 0.0, 0.0
	for c, k := range s.spread {
		if !s.apart[c] {
			lo, hi = min(lo, k.lo/t[c]), max(hi, k.hi/t[c])
		}
	}
	lo, hi = lo*share, hi*share
	step := (hi - lo) / float64(int(1)<<bits-1)
	total := 0.0
	for c, k := range s.spread {
		if step == 0 || len(k.samples) == 0 || s.apart[c] {
			continue
		}
		sum := 0.0
		for _, v := range k.samples {
			y := float64(v) / t[c]
			e := y - math.Round(min(max(y, lo), hi)/step)*step
			sum += e * e
		}
		total += s.norms[c] * t[c] * t[c] * sum / float64(len(k.samples))
	}
	return total
}

// weightError estimates that of rounding the weights times t.
func (s *scaledInput) weightError(t []float64, bits int) float64 {
	levels := float64(Grid{Bits: bits, Signed: true}.Max())
	total := 0.0
	for _, l := range s.layers {
		peak, square := make([]float64, l.outputs), make([]float64, l.outputs)
		l.eachInput(func(o, c, i int) {
			if s.apart[c] {
				return
			}
			peak[o] = max(peak[o], float64(l.peak[i])*t[c])
			square[o] += s.spread[c].square / s.spread[c].count / t[c] / t[c]
		})
		for o, p := range peak {
			total += p * p / levels / levels / 12 * square[o] * float64(l.taps)
		}
	}
	return total
}

// best returns the factors, nil for none, and the share of the range with the least error.
func (s *scaledInput) best(c *config, exponents []float64) (factors []float64, share, least float64) {
	share, least = 1, math.Inf(1)
	for _, a := range exponents {
		t := s.factors(a)
		weights := s.weightError(t, c.weightBits)
		worth := 1.0
		if a > 0 && factors == nil {
			worth = worthFactors
		}
		for _, f := range shares {
			if e := s.inputError(t, f, c.actBits) + weights; e < worth*least {
				least, share, worth = e, f, 1
				if factors = t; a == 0 {
					factors = nil
				}
			}
		}
	}
	return factors, share, least
}

// scale has the layers read the value divided by t, channel by channel, and multiplies their weights. It returns what they read.
func (s *scaledInput) scale(g *graph.Graph, t []float64) *graph.Value {
	shape := slices.Repeat([]int{1}, len(s.value.Type.Shape)-s.axis)
	shape[0] = len(t)
	inverse, exact := make([]float32, len(t)), make([]float64, len(t))
	for c := range t {
		inverse[c] = float32(1 / t[c])
		exact[c] = float64(inverse[c])
		if s.apart[c] {
			inverse[c] = 0
		}
	}
	k := graph.NewConst(g.Unique(s.value.Name+"_factors"), tensor.From(inverse, shape...))
	out := g.New(g.Unique(s.value.Name+"_balanced"), "Mul", nil, s.value, k)
	out.Type, out.Dims = s.value.Type, s.value.Dims
	for _, l := range s.layers {
		s.setApart(g, l)
		l.input = channelStats{max: make([]float64, l.inputs), square: make([]float64, l.inputs)}
		l.scaleInputs(exact, 1)
		l.write()
		l.node.Inputs[0] = out
	}
	return out
}

// scaleChannels gives factors to the channels of what layers read, and shares of the range, where that lessens the error behind them.
func scaleChannels(ctx context.Context, j *Job) error {
	p := j.Plan
	all := p.scaledInputs()
	if len(all) == 0 || j.c.shift {
		return nil
	}
	values := make([]*graph.Value, len(all))
	for i, s := range all {
		values[i] = s.value
	}
	err := sampleTensors(ctx, p.Graph, values, j.data, factorInputs, j.c.threads, func(batch []*tensor.Tensor) error {
		return sideBySide(j.c.threads, len(all), func(_, i int) error {
			all[i].add(batch[i])
			return nil
		})
	})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s *scaledInput) bool { return s.spread[0].count < factorSeen })
	factors, kept := make([][]float64, len(all)), make([]float64, len(all))
	err = sideBySide(j.c.threads, len(all), func(_, i int) error {
		factors[i], kept[i] = all[i].bestApart(j.c, p.places != PlacesAll)
		return nil
	})
	if err != nil {
		return err
	}
	known := learnt{network: p.network, shares: make(map[*graph.Value]float64), outliers: make(map[*graph.Node]Reason)}
	for i, s := range all {
		v := s.value
		if factors[i] != nil {
			v = s.scale(p.Graph, factors[i])
		}
		known.shares[v] = kept[i]
		maps.Copy(known.outliers, s.left)
	}
	if err := p.Graph.Sort(); err != nil {
		return err
	}
	if j.Plan, err = j.c.planPrepared(p.Graph); err != nil {
		return err
	}
	j.Plan.learn(known, j.c)
	return nil
}

// keepShares chooses the integers of what is rounded behind chains in float: with a zero point, which costs nothing
// there, and the shares of the ranges that were found best; of what no weights judge, the whole range. A
// rule or a choice of zero points that the user asks for stays.
func (p *Plan) keepShares(c *config) {
	for _, pl := range p.Places {
		if pl.reader != nil || pl.Value.Node == nil || p.integral(pl.Value) {
			continue
		}
		if pl.Choice.Zeros == ZeroPointsAuto {
			pl.Choice.Zeros = ZeroPointsAll
		}
		if share, ok := p.shares[pl.Value]; ok && c.clip == MSE {
			pl.Choice.Clip = Clip{clipShare, share}
		} else if c.clip == MSE {
			pl.Choice.Clip = Max
		}
	}
}
