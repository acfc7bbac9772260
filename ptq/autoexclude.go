package ptq

import (
	"context"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// limited reports whether nodes are left in float that would lose too much.
func (c *config) limited() bool { return !math.IsInf(c.minSQNR, -1) }

// excludeCostly leaves nodes in float whose own signal-to-noise ratio is under the limit, and lays the grids
// again, until there are none.
func excludeCostly(ctx context.Context, j *Job) error {
	for {
		found := costly(j.net, j.Stats, j.c.minSQNR)
		if len(found) == 0 {
			return nil
		}
		for name, db := range found {
			j.Plan.Exclude(Reason{Costly, fmt.Sprintf("quantized it would have %.1f dB, less than %g", db, j.c.minSQNR)}, name)
		}
		if err := j.take(ctx, j.scaling()...); err != nil {
			return err
		}
	}
}

// costly returns the nodes whose own signal-to-noise ratio is under limit dB, each with its
// ratio: the noise of rounding and clipping what the node reads, its weights and
// its result, each relative to its size, added up. All scales must be known.
func costly(net *network, stats *Statistics, limit float64) map[string]float64 {
	s := scalesOf(net.Graph)
	found := make(map[string]float64)
	for _, n := range net.Nodes {
		if scalingOf(n) != nil || isActivationFunction(n) || net.kind(n) == op.FloatOnly {
			continue
		}
		noise := 0.0
		for i := range n.Inputs {
			if sn := s.input(n, i); sn != nil {
				noise += net.relativeNoise(sn, stats)
			}
		}
		if noise == 0 {
			continue
		}
		if out := s.output(n); out != nil {
			noise += net.relativeNoise(out, stats)
		}
		if db := -10 * math.Log10(noise); db < limit {
			found[n.Name] = db
		}
	}
	return found
}

// relativeNoise returns the mean square error that a scaling node makes, over the
// mean square of what it reads.
func (net *network) relativeNoise(n *graph.Node, stats *Statistics) float64 {
	s := scalingOf(n)
	if s.Bias {
		return 0
	}
	if !isWeight(n) {
		return math.Pow(10, -sqnr(stats.Tensors[net.place[n].Value.Name], s.levels(0))/10)
	}
	values, shape := n.Inputs[0].Const.Float32s(), n.Inputs[0].Const.Shape()
	signal, noise := 0.0, 0.0
	s.runs(shape, func(l Levels, from, to int) {
		for _, v := range values[from:to] {
			e := float64(v) - l.Round(float64(v))
			signal += float64(v) * float64(v)
			noise += e * e
		}
	})
	if signal == 0 {
		return 0
	}
	return noise / signal
}
