package ptq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
)

// ErrTarget reports that no choice reaches what is asked for.
var ErrTarget = errors.New("ptq: the target cannot be met")

// Cost is what a search for a target keeps low.
type Cost int

// The costs.
const (
	CostMACs Cost = iota // multiply-accumulates in float
	CostSize             // bytes of weights
)

// Point is one network that a search has looked at.
type Point struct {
	SQNR    float64 `json:"sqnr_db"`      // least of any output or part
	Integer float64 `json:"integer_macs"` // percent of the multiply-accumulates
	Size    int64   `json:"weight_bytes"`
	Float   int     `json:"nodes_left"` // nodes that the search left in float
	Exact   bool    `json:"exact"`      // whether it was run as it would be written; else on fewer inputs, with weights rounded to nearest
}

// Search is what a search for a target found.
type Search struct {
	Front []Point  `json:"front"` // those that no other beats in both, the smallest ratio first
	Left  []string `json:"left"`  // nodes left in float for it
	Tries int      `json:"tries"`
	Drop  *float64 `json:"drop,omitempty"` // in points of the inputs whose class is right; absent without labels
}

const (
	freeUnits    = 5   // groups of tensors for which other clipping rules and zero points are tried
	worthRule    = 0.2 // dB that another rule must bring
	classStep    = 3.0 // dB by which more is tried at first where classes are to be met
	corrections  = 4   // how often the estimate is corrected by what the written network reaches
	prunings     = 8   // nodes that are tried to be brought back to integers
	searchInputs = 16
	frontPoints  = 10
	roomErrors   = 1.0 // standard errors by which what was searched for must pass the target
	mostRoom     = 2.0 // dB of that
)

// searcher looks for the cheapest plan that meets a target.
type searcher struct {
	*Job
	few    *sample
	wide   *sample     // many inputs, seen or not: the few held back say little of rare ones; nil before it is needed
	order  []*NodePlan // that can be left in float, those that bring most first
	all    []Point
	report *Search
}

// searchStep changes the plan so that the target is met, at the least cost that it finds.
var searchStep = Step{Name: "search", Data: true, Needs: Ranges, run: func(ctx context.Context, j *Job) (err error) {
	if j.sample, err = j.newSample(ctx); err != nil {
		return err
	}
	s := &searcher{Job: j, few: j.sample.few(searchInputs), report: new(Search)}
	err = s.search(ctx)
	s.report.Front = front(s.all)
	j.search = s.report
	return err
}}

// reached returns what the plan as it is reaches, run as it would be written.
func (s *searcher) reached(ctx context.Context) (*Measured, error) {
	s.report.Tries++
	t := s.trial()
	if err := t.take(ctx, slices.Concat(t.scaling(), t.lowering())...); err != nil {
		return nil, err
	}
	m, err := s.sample.measure(ctx, t.net.Graph, s.c.threads)
	if err == nil && s.wide != nil && s.c.meets(m, true) {
		var many *Measured
		if many, err = s.wide.measure(ctx, t.net.Graph, s.c.threads); err == nil {
			if m.Drop = many.Drop; many.Least < m.Least {
				m.Least, m.Spread = many.Least, many.Spread
			}
		}
	}
	if errors.Is(err, ErrInfinite) {
		return &Measured{SQNR: math.Inf(-1), Least: math.Inf(-1), Agreement: 0}, nil
	}
	if err == nil {
		s.all = append(s.all, s.point(m.Least, true))
	}
	return m, err
}

// estimate is reached on fewer inputs, with weights rounded to nearest.
func (s *searcher) estimate(ctx context.Context) (float64, error) {
	s.report.Tries++
	db, err := s.tryPlan(ctx, s.few)
	if err == nil {
		s.all = append(s.all, s.point(db, false))
	}
	return db, err
}

// point returns what the plan as it is costs.
func (s *searcher) point(db float64, exact bool) Point {
	p := Point{SQNR: db, Exact: exact}
	var total, integer int64
	for _, np := range s.Plan.Nodes {
		macs, parameters := graph.MACs(np.Node), graph.Parameters(np.Node)
		total += macs
		if np.kind != op.FloatOnly {
			integer += macs
			p.Size += (parameters*int64(np.WeightBits) + 7) / 8
		} else {
			p.Size += 4 * parameters
		}
		if np.excluded.Code == ForTarget {
			p.Float++
		}
	}
	if p.Integer = 100; total > 0 {
		p.Integer = 100 * float64(integer) / float64(total)
	}
	return p
}

// meets reports whether that is what was asked for, with room for what other inputs may differ by. What is chosen by
// some inputs looks better on these than on others: a network as it comes need only reach the target itself.
func (c *config) meets(m *Measured, chosen bool) bool {
	room := 0.0
	if chosen {
		room = math.Min(roomErrors*m.Spread, mostRoom)
	}
	return m.Least >= c.targetSQNR+room && !(m.Agreement < c.targetAgreement) && !(c.mostDrop >= 0 && m.Drop > c.mostDrop)
}

func (s *searcher) search(ctx context.Context) (err error) {
	if s.c.mostDrop >= 0 {
		if s.wide, err = s.wideSample(ctx); err != nil {
			return err
		}
		s.wide.labels = s.c.labels
	}
	m, err := s.reached(ctx)
	if err != nil {
		return err
	}
	if s.c.meets(m, false) {
		s.accept(m)
		return nil
	}
	if s.wide == nil {
		if s.wide, err = s.wideSample(ctx); err != nil {
			return err
		}
	}
	units, err := s.sensitivities(ctx)
	if err != nil {
		return err
	}
	before, err := s.estimate(ctx)
	if err != nil {
		return err
	}
	if err := s.otherRules(ctx, units, before); err != nil {
		return err
	}
	s.rank(units)
	best, aim, step := m, s.aim(m, before), classStep
	for range corrections {
		count, err := s.least(ctx, aim)
		if err != nil {
			return err
		}
		if m, err = s.reached(ctx); err != nil {
			return err
		}
		if m.Least > best.Least {
			best = m
		}
		if s.c.meets(m, true) {
			s.accept(m)
			return s.prune(ctx, count)
		}
		if count == len(s.order) {
			break
		}
		if step *= 2; m.Least >= s.c.targetSQNR { // classes have no estimate: ever more is tried
			aim += step
			continue
		}
		aim += math.Max(s.c.targetSQNR+math.Min(roomErrors*m.Spread, mostRoom)-m.Least, 1)
	}
	s.leave(len(s.order))
	return fmt.Errorf("%w: the best found is %.1f dB", ErrTarget, best.Least)
}

// accept notes what a network that meets the target loses.
func (s *searcher) accept(m *Measured) {
	if s.c.mostDrop >= 0 {
		s.report.Drop = &m.Drop
	}
}

// aim returns the estimate at which the network that is written should meet the target. Agreement has no
// estimate of its own: more decibels are asked for until it is met.
func (s *searcher) aim(m *Measured, estimated float64) float64 {
	target := s.c.targetSQNR
	if !(m.Agreement >= s.c.targetAgreement) || m.Drop > math.Max(s.c.mostDrop, 0) {
		target = math.Max(target, m.Least+classStep)
	}
	return estimated + target - m.Least
}

// otherRules tries other clipping rules and zero points for the tensors that cost most: they cost nothing.
func (s *searcher) otherRules(ctx context.Context, units []*Sensitivity, before float64) error {
	tried := 0
	groups := s.Plan.groups()
	for _, u := range units {
		i := slices.IndexFunc(groups, func(t *tied) bool { return t.places[0].Value.Name == u.Name })
		if u.Weights || i < 0 || tried == freeUnits {
			continue
		}
		tried++
		set := func(c Choice) {
			for _, pl := range groups[i].places {
				pl.Choice.Clip, pl.Choice.Zeros = c.Clip, c.Zeros
			}
		}
		best := groups[i].places[0].Choice
		for _, c := range []Choice{{Clip: best.Clip, Zeros: ZeroPointsAll}, {Clip: Max, Zeros: best.Zeros}, {Clip: Percentile(99.99), Zeros: best.Zeros}, {Clip: Lp(3), Zeros: best.Zeros}} {
			if c.Zeros == ZeroPointsAll && (s.c.shift || s.c.zeros == ZeroPointsNone) {
				continue
			}
			set(c)
			db, err := s.estimate(ctx)
			if err != nil {
				return err
			}
			if db > before+worthRule {
				best, before = c, db
			}
		}
		set(best)
	}
	return nil
}

// rank orders the nodes by what leaving each in float takes away, for what that costs.
func (s *searcher) rank(units []*Sensitivity) {
	gain := make(map[string]float64)
	for _, u := range units {
		for _, n := range u.Nodes {
			gain[n] += math.Min(u.Noise, 1e9) / float64(len(u.Nodes))
		}
	}
	worst := 0.0
	for _, g := range gain {
		worst = math.Max(worst, g)
	}
	worth := func(np *NodePlan) float64 { return gain[np.Node.Name] / math.Sqrt(float64(s.costOf(np))+1) }
	for _, np := range s.Plan.Nodes {
		if np.kind != op.FloatOnly && np.clamps == nil && gain[np.Node.Name] > 1e-6*worst {
			s.order = append(s.order, np)
		}
	}
	slices.SortStableFunc(s.order, func(a, b *NodePlan) int { return cmp.Compare(worth(b), worth(a)) })
}

func (s *searcher) costOf(np *NodePlan) int64 {
	if s.c.cost == CostSize {
		return graph.Parameters(np.Node)
	}
	return graph.MACs(np.Node)
}

// leave leaves the first count nodes of the order in float, and no other for the target.
func (s *searcher) leave(count int) {
	s.report.Left = nil
	for i, np := range s.order {
		if np.excluded.Code == ForTarget {
			np.excluded = Reason{}
		}
		if i < count && np.excluded.Code == OnIntegers {
			np.excluded = Reason{Code: ForTarget}
			s.report.Left = append(s.report.Left, np.Node.Name)
		}
	}
	s.Plan.decide()
}

// least finds by halving the fewest nodes of the order with which the estimate reaches so many dB, and leaves those.
func (s *searcher) least(ctx context.Context, db float64) (int, error) {
	lo, hi := 0, len(s.order) // enough is in (lo, hi]
	for hi-lo > 1 {
		middle := (lo + hi) / 2
		s.leave(middle)
		got, err := s.estimate(ctx)
		if err != nil {
			return 0, err
		}
		if got >= db {
			hi = middle
		} else {
			lo = middle
		}
	}
	s.leave(hi)
	return hi, nil
}

// prune brings nodes back to integers, the costliest first, as long as the target is met without them in float.
func (s *searcher) prune(ctx context.Context, count int) (err error) {
	left := slices.Clone(s.order[:count])
	slices.SortStableFunc(left, func(a, b *NodePlan) int { return cmp.Compare(s.costOf(b), s.costOf(a)) })
	defer func() {
		if s.point(0, true).Integer == 0 && err == nil {
			err = fmt.Errorf("%w but by the float network", ErrTarget)
		}
	}()
	for _, np := range left[:min(len(left), prunings)] {
		if np.excluded.Code != ForTarget {
			continue
		}
		np.excluded = Reason{}
		s.Plan.decide()
		m, err := s.reached(ctx)
		if err != nil {
			return err
		}
		if !s.c.meets(m, true) {
			np.excluded = Reason{Code: ForTarget}
			s.Plan.decide()
			continue
		}
		s.accept(m)
		s.report.Left = slices.DeleteFunc(s.report.Left, func(name string) bool { return name == np.Node.Name })
	}
	return nil
}

// front returns those points that no other beats in ratio and cost, at most ten, the smallest ratio first.
func front(all []Point) []Point {
	var best []Point
	for _, p := range all {
		if !slices.ContainsFunc(all, func(q Point) bool {
			return q.SQNR > p.SQNR && q.Integer >= p.Integer && q.Size <= p.Size || q.SQNR == p.SQNR && q.Integer >= p.Integer && q.Size <= p.Size && q.Exact && !p.Exact
		}) && !math.IsInf(p.SQNR, 0) {
			best = append(best, p)
		}
	}
	slices.SortFunc(best, func(a, b Point) int { return cmp.Compare(a.SQNR, b.SQNR) })
	best = slices.Compact(best)
	for len(best) > frontPoints { // drop the one nearest to its neighbour
		at := 1
		for i := 1; i < len(best)-1; i++ {
			if best[i+1].SQNR-best[i-1].SQNR < best[at+1].SQNR-best[at-1].SQNR {
				at = i
			}
		}
		best = slices.Delete(best, at, at+1)
	}
	return best
}

// FindSensitivity returns what quantizing each thing alone would cost at the outputs of a network, the most first.
func FindSensitivity(ctx context.Context, g *graph.Graph, data dataset.Source, options ...Option) ([]*Sensitivity, error) {
	j, err := NewJob(g, data, options...)
	if err != nil {
		return nil, err
	}
	if err := j.Calibrate(ctx); err != nil {
		return nil, err
	}
	if j.sample, err = j.newSample(ctx); err != nil {
		return nil, err
	}
	var all []*Sensitivity
	err = guarded(func() error { all, err = j.sensitivities(ctx); return err })
	return all, err
}
