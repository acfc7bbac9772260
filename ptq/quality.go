package ptq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Mend is what leaving a node in float brings, with those before it in a list left so as well.
type Mend struct {
	Node string  `json:"node"`
	Gain float64 `json:"gain_db"` // of the worst output or part, on some of the inputs, with weights rounded to nearest
}

const (
	mostGain       = 300 // dB: no noise is left, for which JSON has no number
	mends          = 3   // nodes that a warning names
	mendCandidates = 8   // nodes that are tried for it
	mendInputs     = 8   // inputs that they are tried on
	infiniteRounds = 3   // how often nodes are left in float for the infinities that they make
)

// measureStep compares what was made with the float network.
var measureStep = Step{Name: "measure", Data: true, Needs: Lowered, run: measure}

func measure(ctx context.Context, j *Job) (err error) {
	if j.sample == nil {
		if j.sample, err = j.newSample(ctx); err != nil {
			return err
		}
	}
	if j.sample.count == 0 {
		return nil
	}
	m, err := j.sample.measure(ctx, j.net.Graph, j.c.threads)
	for round := 0; errors.Is(err, ErrInfinite) && round < infiniteRounds; round++ {
		if err = j.leaveInfinite(ctx, err); err != nil {
			return err
		}
		m, err = j.sample.measure(ctx, j.net.Graph, j.c.threads)
	}
	if err != nil {
		return err
	}
	j.report.Measured = m
	if err := j.c.enough(m); err != nil {
		return err
	}
	if m.Least < Poor && !j.c.noRound {
		if j.report.Mends, err = j.findMends(ctx); err != nil {
			return err
		}
	}
	m.record(j.net.Graph)
	return nil
}

// newSample returns the inputs to measure on: those held back, or the first few.
func (j *Job) newSample(ctx context.Context) (*sample, error) {
	if j.held == nil { // nothing was calibrated
		h := newHoldout(j.Plan.Graph, 0)
		j.held = h
		err := j.eachBatch(func(batch []*tensor.Tensor, count int) bool {
			h.remember(batch, count)
			return h.counts.first < heldFew
		})
		if err != nil {
			return nil, err
		}
	}
	return newSample(ctx, j.Plan.Graph, j.held, j.c.threads)
}

// wideSample returns many inputs, whether they were held back or not.
func (j *Job) wideSample(ctx context.Context) (*sample, error) {
	h := newHoldout(j.Plan.Graph, 0)
	err := j.eachBatch(func(batch []*tensor.Tensor, count int) bool {
		h.first, h.counts.first = append(h.first, cloned(batch)), h.counts.first+count
		for _, t := range batch {
			h.bytes += t.Len() * 4
		}
		return h.counts.first < manyInputs && h.bytes <= heldBytes
	})
	if err != nil {
		return nil, err
	}
	return newSample(ctx, j.Plan.Graph, h, j.c.threads)
}

// eachBatch hands the data to take, batch by batch with the number of its inputs, as long as that returns true.
func (j *Job) eachBatch(take func(batch []*tensor.Tensor, count int) bool) error {
	net, err := engine.Compile(j.Plan.Graph)
	if err != nil {
		return err
	}
	data, _ := net.Separate(j.data)
	for batch, err := range data.Batches(sampleBatch) {
		if err != nil {
			return fmt.Errorf("ptq: calibration data: %w", err)
		}
		if !take(batch, dataset.Count(data, batch)) {
			break
		}
	}
	return nil
}

func cloned(batch []*tensor.Tensor) []*tensor.Tensor {
	own := make([]*tensor.Tensor, len(batch))
	for i, t := range batch {
		own[i] = t.Clone()
	}
	return own
}

// enough returns an error if less was reached than is asked for.
func (c *config) enough(m *Measured) error {
	switch {
	case m.Least < c.leastSQNR:
		return fmt.Errorf("%w: %.1f dB where %g are asked for", ErrBelow, m.Least, c.leastSQNR)
	case m.Agreement < c.leastAgreement:
		return fmt.Errorf("%w: %.1f %% of the classes are the same where %g are asked for", ErrBelow, m.Agreement, c.leastAgreement)
	case math.IsNaN(m.Agreement) && c.leastAgreement > 0:
		return fmt.Errorf("%w: an agreement is asked for and no output has classes", ErrBelow)
	}
	return nil
}

// record writes the figures into the metadata of the network.
func (m *Measured) record(g *graph.Graph) {
	if g.Meta == nil {
		g.Meta = make(map[string]string)
	}
	text := fmt.Sprintf("%.1f dB on %d inputs", m.Least, m.Inputs)
	if m.HeldBack {
		text += " held back"
	}
	g.Meta["narrow.measured"] = text
}

// again lays the grids and writes the network anew, after the plan has changed.
func (j *Job) again(ctx context.Context) error {
	j.done &= Ranges
	*j.report = Report{Equalization: j.report.Equalization, Warnings: j.report.Warnings}
	return j.take(ctx, slices.Concat(j.scaling(), []Step{describeStep}, j.lowering())...)
}

// leaveInfinite leaves in float what alone makes infinities of finite outputs, and writes the network again. It returns
// the cause if there is nothing of the kind.
func (j *Job) leaveInfinite(ctx context.Context, cause error) error {
	units, err := j.sensitivities(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, u := range units {
		if math.IsInf(u.Noise, 1) {
			found = true
			j.Plan.Exclude(Reason{Infinite, u.Name}, u.Nodes...)
		}
	}
	if !found {
		return fmt.Errorf("%w, though no tensor does so alone: leave what is before it in float (--exclude)", cause)
	}
	return j.again(ctx)
}

// findMends tries which nodes, left in float, bring most: one, then another beside it, then a third.
func (j *Job) findMends(ctx context.Context) ([]Mend, error) {
	units, err := j.sensitivities(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, u := range units {
		for _, name := range u.Nodes {
			if len(names) < mendCandidates && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	before := j.Plan.exclusions()
	defer j.Plan.restore(before)
	few := j.sample.few(mendInputs)
	start, err := j.tryPlan(ctx, few)
	if err != nil {
		return nil, err
	}
	least := start
	var found []Mend
	for range mends {
		best, at := math.Inf(-1), -1
		state := j.Plan.exclusions()
		for i, name := range names {
			j.Plan.Exclude(Reason{Code: Excluded}, name)
			db, err := j.tryPlan(ctx, few)
			j.Plan.restore(state)
			if err != nil {
				return nil, err
			}
			if db > best {
				best, at = db, i
			}
		}
		if at < 0 || len(found) > 0 && best <= least {
			break // no other brings anything
		}
		found, least = append(found, Mend{names[at], math.Min(best-start, mostGain)}), best
		j.Plan.Exclude(Reason{Code: Excluded}, names[at])
		names = slices.Delete(names, at, at+1)
	}
	return found, nil
}

// tryPlan returns what the plan as it is reaches on some inputs, with weights rounded to nearest.
func (j *Job) tryPlan(ctx context.Context, s *sample) (least float64, err error) {
	t := j.trial()
	if err := t.take(ctx, append(t.scaling(), roundStep, qdqStep)...); err != nil {
		return 0, err
	}
	m, err := s.measure(ctx, t.net.Graph, j.c.threads)
	if errors.Is(err, ErrInfinite) {
		return math.Inf(-1), nil
	}
	if err != nil {
		return 0, err
	}
	return m.Least, nil
}

// exclusions returns what is excluded, for [Plan.restore].
func (p *Plan) exclusions() []Reason {
	all := make([]Reason, len(p.Nodes))
	for i, np := range p.Nodes {
		all[i] = np.excluded
	}
	return all
}

// restore excludes what was excluded then and nothing else.
func (p *Plan) restore(all []Reason) {
	for i, np := range p.Nodes {
		np.excluded = all[i]
	}
	p.decide()
}
