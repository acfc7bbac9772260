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
	want := make([][]float64, len(g.Outputs)) // of all inputs: the two networks may run them in other batches
	err := sampleTensors(ctx, g, g.Outputs, j.data, autoInputs, j.c.threads, func(batch []*tensor.Tensor) error {
		for i, t := range batch {
			want[i] = append(want[i], numbers(t)...)
		}
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
		at := make([]int, len(want))
		err := sampleTensors(ctx, t.net.Graph, t.net.Outputs, j.data, autoInputs, j.c.threads, func(batch []*tensor.Tensor) error {
			for i, t := range batch {
				got := numbers(t)
				noise.add(i, want[i][min(at[i], len(want[i])):], got)
				at[i] += len(got)
			}
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

// add takes in values of an output, as many as both have.
func (n *noise) add(output int, want, got []float64) {
	for k := range min(len(want), len(got)) {
		d := want[k] - got[k]
		n.signal[output] += float64(want[k] * want[k])
		n.error[output] += float64(d * d)
	}
}

// numbers returns the elements of a tensor, none of texts.
func numbers(t *tensor.Tensor) []float64 {
	if t.DType() == tensor.String {
		return nil
	}
	return t.Float64s()
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
