package ptq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrInfinite reports a network that gives an infinity or a NaN where its float form does not.
var ErrInfinite = errors.New("ptq: quantized, the network gives an infinity or a NaN")

// ErrBelow reports a network that does not reach what is asked of it.
var ErrBelow = errors.New("ptq: the quantized network is not good enough")

// Measured is how close a quantized network comes to its float form, on inputs that its ranges have not seen.
type Measured struct {
	Inputs    int       `json:"inputs"`
	HeldBack  bool      `json:"held_back"` // whether the inputs were held back; false if there were too few, or that was not wanted
	SQNR      float64   `json:"sqnr_db"`   // over all outputs; +Inf if they are equal
	Least     float64   `json:"least_db"`  // of any output or part of one
	Agreement float64   `json:"agreement"` // percent of the classes that are the same; NaN if no output has classes
	Drop      float64   `json:"-"`         // of the share of inputs whose class is right, in points; 0 without labels
	Spread    float64   `json:"spread_db"` // standard error of Least, by leaving out some inputs at a time; 0 if there are too few
	Outputs   []Quality `json:"outputs"`
}

// Quality is how close one output comes.
type Quality struct {
	Name      string  `json:"name"`
	SQNR      float64 `json:"sqnr_db"`
	Agreement float64 `json:"agreement"`       // percent; NaN if it has no classes
	Parts     []Part  `json:"parts,omitempty"` // where it is put together of values of different magnitudes
}

// Part is a range of an output along one of its axes, whose values are of one magnitude.
type Part struct {
	Axis, From, To int
	RMS            float64
	SQNR           float64
}

// sampleNoise is what one output of a network differs by from that of its float form.
type sampleNoise struct {
	name          string
	signal, noise float64
	classes, same int
	axes          map[int]*byIndex // by axis
	infinite      bool
	steps         [][2]float64 // signal and noise of the inputs that were added together
}

// byIndex has sums for each index of an axis.
type byIndex struct{ signal, noise, count []float64 }

const (
	mostIndices = 4096 // along an axis that is looked at for parts
	partRatio   = 16   // from the magnitude of one part to that of the next
	mostParts   = 6
	silent      = 1e-6 // of the largest magnitude: what is below has no parts
)

// add takes in the output for some inputs.
func (s *sampleNoise) add(want, got *tensor.Tensor, inputs int) error {
	if want.DType() == tensor.String {
		return nil
	}
	if want.Rank() == got.Rank() && !slices.Equal(want.Shape(), got.Shape()) {
		return nil // how much there is depends on values: a list of what was found
	}
	if want.Rank() != got.Rank() {
		return fmt.Errorf("ptq: output %q has shape %v, in float %v", s.name, got.Shape(), want.Shape())
	}
	w, g := want.Float64s(), got.Float64s()
	before := [2]float64{s.signal, s.noise}
	for i, v := range w {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue // in float it is no number either
		}
		d := v - g[i]
		if math.IsNaN(d) || math.IsInf(d, 0) {
			s.infinite = true
			return nil
		}
		s.signal += v * v
		s.noise += d * d
	}
	s.steps = append(s.steps, [2]float64{s.signal - before[0], s.noise - before[1]})
	shape := want.Shape()
	if len(shape) >= 2 && shape[0] == inputs && shape[1] > 1 && shape[1]*inputs == want.Len() {
		s.agree(w, g, shape[1])
	} else if len(shape) >= 3 {
		for _, axis := range []int{1, len(shape) - 1} {
			s.byAxis(w, g, shape, axis)
		}
	}
	return nil
}

// agree counts the rows whose largest score is in the same place.
func (s *sampleNoise) agree(w, g []float64, classes int) {
	for at := 0; at < len(w); at += classes {
		a, b := w[at:at+classes], g[at:at+classes]
		s.classes++
		if slices.Index(a, slices.Max(a)) == slices.Index(b, slices.Max(b)) {
			s.same++
		}
	}
}

// byAxis adds to the sums of each index of an axis.
func (s *sampleNoise) byAxis(w, g []float64, shape []int, axis int) {
	n := shape[axis]
	if n < 2 || n > mostIndices {
		return
	}
	if s.axes == nil {
		s.axes = make(map[int]*byIndex)
	}
	b := s.axes[axis]
	if b == nil {
		b = &byIndex{make([]float64, n), make([]float64, n), make([]float64, n)}
		s.axes[axis] = b
	}
	if len(b.signal) != n {
		return // of another length than before: no part of anything
	}
	inner := tensor.Volume(shape[axis+1:])
	for i, v := range w {
		if k := i / inner % n; !math.IsNaN(v) && !math.IsInf(v, 0) {
			b.signal[k] += v * v
			b.noise[k] += (v - g[i]) * (v - g[i])
			b.count[k]++
		}
	}
}

// spread returns the standard error of the ratio in dB, by the jackknife: how it changes as inputs are left out.
func (s *sampleNoise) spread() float64 {
	n := float64(len(s.steps))
	if n < 2 || s.noise == 0 {
		return 0
	}
	var sum, square float64
	for _, step := range s.steps {
		db := ratioDB(s.signal-step[0], s.noise-step[1])
		if math.IsInf(db, 0) || math.IsNaN(db) {
			return 0
		}
		sum, square = sum+db, square+db*db
	}
	return math.Sqrt(math.Max(0, (n-1)/n*(square-sum*sum/n)))
}

// quality sums up.
func (s *sampleNoise) quality() Quality {
	q := Quality{Name: s.name, SQNR: ratioDB(s.signal, s.noise), Agreement: math.NaN()}
	if s.classes > 0 {
		q.Agreement = 100 * float64(s.same) / float64(s.classes)
	}
	for axis, b := range s.axes {
		if parts := b.parts(axis); len(parts) > len(q.Parts) {
			q.Parts = parts
		}
	}
	return q
}

// parts finds runs of indices whose magnitudes lie far from those of the next; none if there is only one.
func (b *byIndex) parts(axis int) []Part {
	n := len(b.signal)
	rms := make([]float64, n)
	for i := range rms {
		rms[i] = math.Sqrt(b.signal[i] / max(b.count[i], 1))
	}
	least := silent * slices.Max(rms)
	var parts []Part
	from := 0
	for i := 1; i <= n; i++ {
		if i < n && !(math.Max(rms[i], rms[i-1]) > partRatio*math.Min(rms[i], rms[i-1])) {
			continue
		}
		var signal, noise, count float64
		for k := from; k < i; k++ {
			signal, noise, count = signal+b.signal[k], noise+b.noise[k], count+b.count[k]
		}
		if r := math.Sqrt(signal / max(count, 1)); r > least {
			parts = append(parts, Part{Axis: axis, From: from, To: i, RMS: r, SQNR: ratioDB(signal, noise)})
		}
		from = i
	}
	if len(parts) < 2 || len(parts) > mostParts {
		return nil
	}
	return parts
}

func ratioDB(signal, noise float64) float64 {
	if noise == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(signal/noise)
}

// measure runs g, a form of the network that was sampled, and compares its outputs with the float ones.
func (s *sample) measure(ctx context.Context, g *graph.Graph, threads int) (*Measured, error) {
	net, err := engine.Compile(g, engine.WithThreads(threads))
	if err != nil {
		return nil, err
	}
	sums := make([]*sampleNoise, len(g.Outputs))
	for i, v := range g.Outputs {
		sums[i] = &sampleNoise{name: v.Name}
	}
	var drop right
	for k, x := range s.inputs {
		y, err := net.Run(ctx, x...)
		if err != nil {
			return nil, fmt.Errorf("ptq: the quantized network: %w", err)
		}
		n := 0
		if x[0].Rank() > 0 {
			n = x[0].Shape()[0]
		}
		if drop, err = s.lost(k, y, drop); err != nil {
			return nil, err
		}
		for i, sum := range sums {
			if err := sum.add(s.want[k][i], y[i], n); err != nil {
				return nil, err
			}
		}
	}
	m, err := s.summary(sums)
	if err == nil && drop.inputs > 0 {
		m.Drop = 100 * float64(drop.float-drop.quantized) / float64(drop.inputs)
	}
	return m, err
}

// right counts inputs whose class is right, of both forms of the network.
type right struct{ inputs, float, quantized int }

// lost adds a batch to the inputs whose class is right.
func (s *sample) lost(batch int, y []*tensor.Tensor, sum right) (right, error) {
	if s.labels == nil {
		return sum, nil
	}
	for i, want := range s.want[batch] {
		shape := want.Shape()
		if len(shape) < 2 || shape[1] < 2 || tensor.Volume(shape[2:]) != 1 || !slices.Equal(shape, y[i].Shape()) {
			continue
		}
		w, g := want.Float64s(), y[i].Float64s()
		for at := 0; at < len(w); at += shape[1] {
			if sum.inputs == len(s.labels) {
				return sum, nil
			}
			class := s.labels[sum.inputs]
			if class < 0 || class >= shape[1] {
				return sum, fmt.Errorf("ptq: a label is %d and output %d has %d classes", class, i, shape[1])
			}
			a, b := w[at:at+shape[1]], g[at:at+shape[1]]
			sum.inputs++
			if slices.Index(a, slices.Max(a)) == class {
				sum.float++
			}
			if slices.Index(b, slices.Max(b)) == class {
				sum.quantized++
			}
		}
		return sum, nil
	}
	return sum, errors.New("ptq: no output has classes, which labels are given of")
}

// summary puts the outputs together.
func (s *sample) summary(sums []*sampleNoise) (*Measured, error) {
	m := &Measured{Inputs: s.count, HeldBack: s.held, Least: math.Inf(1), Agreement: math.NaN()}
	var signal, noise float64
	for _, sum := range sums {
		if sum.infinite {
			return nil, fmt.Errorf("%w: output %q", ErrInfinite, sum.name)
		}
		q := sum.quality()
		m.Outputs = append(m.Outputs, q)
		signal, noise = signal+sum.signal, noise+sum.noise
		if sum.signal > 0 {
			if q.SQNR < m.Least {
				m.Spread = sum.spread()
			}
			m.Least = math.Min(m.Least, q.SQNR)
		}
		for _, p := range q.Parts {
			m.Least = math.Min(m.Least, p.SQNR)
		}
		if !math.IsNaN(q.Agreement) && !(m.Agreement < q.Agreement) {
			m.Agreement = q.Agreement
		}
	}
	m.SQNR = ratioDB(signal, noise)
	return m, nil
}

// Verdict says in words how good that is.
func (m *Measured) Verdict() string {
	switch {
	case m.Least >= 40:
		return "hardly to be told from the float network"
	case m.Least >= 30:
		return "close to the float network"
	case m.Least >= Poor:
		return "usable; outputs near a decision may differ"
	case m.Least >= 10:
		return "poor: many outputs differ"
	}
	return "not usable: the outputs are mostly noise"
}

// Poor is the ratio in dB under which a network is warned of.
const Poor = 20.0
