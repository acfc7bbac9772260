package ptq

import (
	"context"
	"maps"
	"math"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// autoInputs is how many inputs decide between the rules.
const autoInputs = 256

// autoRules are the rules that [Auto] chooses from, in the order in which the first of
// equals wins. What a value beyond the range costs is for the layers behind to say:
// a pool that takes the largest wants it kept, a saturating function does not.
var autoRules = []Clip{MSE, Lp(1.5), Lp(3), Percentile(99.9), Percentile(99.99), Max}

// scaler chooses the scales of activations: [NormalizeActivations] or [SingleShift].
type scaler func(g *graph.Graph, stats *Statistics, rule Clip, zeros ZeroPoints) error

// BestClip returns the rule with which the outputs of the network, quantized,
// come closest to the float ones on the first inputs of data: the least mean of the outputs'
// relative noise. The graph has its scaling nodes, which it does not change.
func BestClip(ctx context.Context, g *graph.Graph, stats *Statistics, data dataset.Source, scale scaler, zeros ZeroPoints, perChannel, shift bool, threads int) (Clip, error) {
	plain, _ := withoutScaling(g)
	var want [][]*tensor.Tensor
	err := sampleTensors(ctx, plain, plain.Outputs, data, autoInputs, threads, func(batch []*tensor.Tensor) error {
		own := make([]*tensor.Tensor, len(batch))
		for i, t := range batch {
			own[i] = t.Clone()
		}
		want = append(want, own)
		return nil
	})
	if err != nil {
		return Clip{}, err
	}
	best, least := autoRules[0], math.Inf(1)
	for _, rule := range autoRules {
		trial := cloneScaled(g)
		if err := scale(trial, stats, rule, zeros); err != nil {
			return Clip{}, err
		}
		if _, err := NormalizeParameters(trial, perChannel, shift); err != nil {
			return Clip{}, err
		}
		RoundWeights(trial)
		if err := LowerQDQ(trial); err != nil {
			return Clip{}, err
		}
		noise := newNoise(len(trial.Outputs))
		at := 0
		err := sampleTensors(ctx, trial, trial.Outputs, data, autoInputs, threads, func(batch []*tensor.Tensor) error {
			noise.add(want[at], batch)
			at++
			return nil
		})
		if err != nil {
			return Clip{}, err
		}
		if n := noise.mean(); n < least {
			best, least = rule, n
		}
	}
	return best, nil
}

// cloneScaled returns a copy of g with scaling nodes of its own.
func cloneScaled(g *graph.Graph) *graph.Graph {
	c := g.Clone()
	for _, n := range c.Nodes {
		if s := scalingOf(n); s != nil {
			own := *s
			n.Attrs = maps.Clone(n.Attrs)
			n.Attrs[scalingAttr] = &own
		}
	}
	return c
}

// noise sums the power of each output of a network, and of its error.
type noise struct{ signal, error []float64 }

func newNoise(outputs int) *noise {
	return &noise{make([]float64, outputs), make([]float64, outputs)}
}

func (n *noise) add(want, got []*tensor.Tensor) {
	for i, t := range want {
		if t.DType() == tensor.String {
			continue
		}
		w, g := t.Float64s(), got[i].Float64s()
		for k := range w {
			d := w[k] - g[k]
			n.signal[i] += float64(w[k] * w[k])
			n.error[i] += float64(d * d)
		}
	}
}

// mean returns the mean over the outputs of error to signal.
func (n *noise) mean() float64 {
	sum := 0.0
	for i, e := range n.error {
		if n.signal[i] > 0 {
			sum += e / n.signal[i]
		}
	}
	return sum / float64(len(n.error))
}
