package ptq

import (
	"math"

	"github.com/narrow-ml/narrow/profile"
)

// Report tells what [Quantize] did.
type Report struct {
	Tensors []TensorReport    // in the order of the graph
	Weights []WeightReport    // likewise; nil unless asked for by [WithWeightReports]
	Float   map[string]string // why a node stays in float, by its name
	Nodes   int               // how many nodes compute on integers
	// Equalization is nil if there was none.
	Equalization *Equalization
	Nearest      []string // nodes whose weights were rounded to nearest although compensation was asked for
	Raised       []string // nodes whose weights' scale was raised for the bias to fit

	Search   *Search         // nil without a target
	Target   *profile.Report // what the target makes of the network; nil without a profile
	Measured *Measured       // nil without data
	Mends    []Mend          // what would help most, where it is poor
	Warnings []string        // signs of wrong use, each a sentence
}

// TensorReport tells how an activation became integers.
type TensorReport struct {
	Name     string  `json:"name"`
	Min      float64 `json:"min"` // what calibration saw
	Max      float64 `json:"max"`
	Clip     float64 `json:"clip"` // the largest magnitude that is kept
	Scale    float32 `json:"scale"`
	Zero     int     `json:"zero_point"`
	Bits     int     `json:"bits"`
	Unsigned bool    `json:"unsigned"`
	SQNR     float64 `json:"sqnr_db"` // of the tensor's values against their rounded ones, by the histogram

	Histogram *Histogram `json:"-"` // of the values that calibration saw
}

// describe tells which nodes compute on integers, and how every activation became them.
func (r *Report) describe(j *Job) {
	r.Float, r.Search = j.Plan.Float(), j.search
	if j.c.noRound {
		for _, np := range j.Plan.Nodes {
			r.Float[np.Node.Name] = Reason{Code: Unrounded}.String()
		}
	}
	r.Nodes = len(j.Plan.Nodes) - len(r.Float)
	for _, n := range j.net.Nodes {
		s := scalingOf(n)
		if s == nil || isWeight(n) {
			continue
		}
		h := j.Stats.Tensors[j.net.place[n].Value.Name]
		l := s.levels(0)
		lo, hi := h.Range()
		r.Tensors = append(r.Tensors, TensorReport{
			Name: n.Inputs[0].Name, Histogram: h, Min: lo, Max: hi, Scale: s.Scale[0], Zero: s.Zero, Bits: s.Bits, Unsigned: !s.Signed,
			Clip: l.Scale * math.Max(float64(l.Max-l.Zero), float64(l.Zero-l.Min)),
			SQNR: sqnr(h, l),
		})
	}
}

// sqnr returns the signal-to-noise ratio in dB that rounding a tensor to levels
// costs.
func sqnr(h *Histogram, l Levels) float64 {
	_, square := h.Moments()
	if square == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(square*float64(h.Count())/newDistribution(h).error(l, 2))
}
