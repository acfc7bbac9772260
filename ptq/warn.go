package ptq

import (
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph"
)

const (
	fewCalibrated = 8   // inputs under which ranges are chance
	farOutside    = 100 // times what a BatchNormalization saw in training
)

// warn looks for signs of wrong use in what calibration saw.
func (j *Job) warn() {
	say := func(format string, args ...any) {
		j.report.Warnings = append(j.report.Warnings, fmt.Sprintf(format, args...))
	}
	if n := j.Stats.Inputs; n < fewCalibrated {
		say("%d inputs are too few to know the ranges by: a few hundred are enough", n)
	}
	for _, v := range j.Plan.Graph.Inputs {
		if h := j.Stats.Tensors[v.Name]; h != nil && h.Count() > 1 {
			if lo, hi := h.Range(); lo == hi {
				say("input %q is the number %g throughout the calibration data: are they the right files?", v.Name, lo)
			}
		}
	}
	if j.norm == nil {
		return
	}
	if h := j.Stats.Tensors[j.norm.name]; h != nil && h.MaxAbs() > farOutside*j.norm.usual {
		say("values behind the first BatchNormalization reach %.3g, in training %.3g were usual: are the inputs prepared as in training (--scale, --mean, --std)?", h.MaxAbs(), j.norm.usual)
	}
}

// trained is what a BatchNormalization gave in training.
type trained struct {
	name  string  // of the tensor that becomes integers
	usual float64 // largest standard deviation and mean of a channel, together
}

// firstNorm returns what the first BatchNormalization of a network gives, nil if there is none.
func (p *Plan) firstNorm(g *graph.Graph) *trained {
	for _, n := range g.Nodes {
		if n.Op != "BatchNormalization" || !n.In(1).IsConst() || !n.In(2).IsConst() {
			continue
		}
		usual := 0.0
		scale, bias := n.In(1).Const.Float64s(), n.In(2).Const.Float64s()
		if len(scale) != len(bias) { // no output needs it, or its rule had said so
			continue
		}
		for c, s := range scale {
			usual = math.Max(usual, math.Abs(s)+math.Abs(bias[c]))
		}
		for _, pl := range p.Places {
			if pl.reader == nil && usual > 0 && (pl.Value.Name == n.Outputs[0].Name || pl.maker != nil && pl.maker.Outputs[0].Name == n.Outputs[0].Name) {
				return &trained{pl.Value.Name, usual}
			}
		}
		return nil
	}
	return nil
}
