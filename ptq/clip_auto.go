package ptq

import (
	"context"
	"math"

	"github.com/narrow-ml/narrow/tensor"
)

// autoInputs is how many inputs decide between the rules.
const autoInputs = 256

// autoRules are the rules that [Auto] chooses from, in the order in which the first of
// equals wins. What a value beyond the range costs is for the layers behind to say:
// a pool that takes the largest wants it kept, a saturating function does not.
var autoRules = []Clip{MSE, Lp(1.5), Lp(3), Percentile(99.9), Percentile(99.99), Max}

// bestClip returns the rule with which the outputs of the network, quantized,
// come closest to the float ones on the first inputs of data: the least mean of the outputs'
// relative noise.
func bestClip(ctx context.Context, j *Job) (Clip, error) {
	g := j.Plan.Graph
	var want [][]*tensor.Tensor
	err := sampleTensors(ctx, g, g.Outputs, j.data, autoInputs, j.c.threads, func(batch []*tensor.Tensor) error {
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
		j.Plan.clip(rule)
		t := j.trial()
		if err := t.take(ctx, append(t.scaling(), roundStep, qdqStep)...); err != nil {
			return Clip{}, err
		}
		noise := newNoise(len(g.Outputs))
		at := 0
		err := sampleTensors(ctx, t.net.Graph, t.net.Outputs, j.data, autoInputs, j.c.threads, func(batch []*tensor.Tensor) error {
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
