package ptq

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph"
)

// costly returns the nodes whose own signal-to-noise ratio is under limit dB, each with a
// reason: the noise of rounding and clipping what the node reads, its weights and
// its result, each relative to its size, added up. All scales must be known.
func costly(g *graph.Graph, stats *Statistics, limit float64) map[string]string {
	if math.IsInf(limit, -1) {
		return nil
	}
	s := scalesOf(g)
	found := make(map[string]string)
	for _, n := range g.Nodes {
		if scalingOf(n) != nil || isActivationFunction(n) {
			continue
		}
		noise := 0.0
		for i := range n.Inputs {
			if sn := s.input(n, i); sn != nil {
				noise += relativeNoise(sn, stats)
			}
		}
		if noise == 0 {
			continue // it reads no integers
		}
		if out := s.output(n); out != nil {
			noise += relativeNoise(out, stats)
		}
		if db := -10 * math.Log10(noise); db < limit {
			found[n.Name] = fmt.Sprintf("quantized it would have %.1f dB, less than %g", db, limit)
		}
	}
	return found
}

// relativeNoise returns the mean square error that a scaling node makes, over the
// mean square of what it reads.
func relativeNoise(n *graph.Node, stats *Statistics) float64 {
	s := scalingOf(n)
	if s.Bias {
		return 0
	}
	if !isWeight(n) {
		return math.Pow(10, -sqnr(stats.Tensors[n.Inputs[0].Name], s.levels(0))/10)
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
