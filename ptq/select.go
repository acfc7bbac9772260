package ptq

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Selection says which inputs of many are enough to calibrate on.
type Selection struct {
	Inputs   int          `json:"inputs"`   // that were looked at
	Chosen   []int        `json:"chosen"`   // in the order in which they were chosen: any first part is a selection too
	Curve    []CurvePoint `json:"curve"`    // how the ranges settle
	Outliers []Outlier    `json:"outliers"` // inputs that alone make a tensor's range much larger
}

// CurvePoint says how much of the ranges some inputs reach: the mean over the channels of all tensors, in percent of the range that
// all inputs together have.
type CurvePoint struct {
	Count  int     `json:"count"`
	Chosen float64 `json:"chosen"`
	Random float64 `json:"random"` // as many inputs taken at random
}

// Outlier is an input with a magnitude that no other comes near.
type Outlier struct {
	Input  int     `json:"input"`
	Tensor string  `json:"tensor"` // where it is farthest out
	Times  float64 `json:"times"`  // how many times the next largest magnitude
}

const (
	selectPool     = 4096 // inputs that are remembered at a time
	selectChannels = 64   // channels of a tensor that are told apart
	settledGain    = 1e-5 // of the ranges: an input that brings less is not chosen for it
	outlierTimes   = 1.5  // the next largest magnitude of a tensor
)

// Select chooses count inputs that stand for all: every second one so that the ranges of the channels of all tensors are reached
// soonest, the others at random, so that distributions are kept; of the random ones as many of each class as there are, if
// classes says that of every input. It looks at every input once and remembers a bounded number of them. The
// choice is the same for any number of threads.
func Select(ctx context.Context, g *graph.Graph, data dataset.Source, count int, classes []int, options ...Option) (*Selection, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, ErrNoData
	}
	if count < 1 {
		return nil, fmt.Errorf("ptq: %d inputs to select", count)
	}
	s, err := newSelector(c, g, count, classes)
	if err != nil {
		return nil, err
	}
	if err := s.look(ctx, data, c); err != nil {
		return nil, err
	}
	return s.result(), nil
}

// features are the largest magnitudes, above and below zero, of the channels of all tensors, for one input.
type features struct {
	index int
	class int
	luck  uint64 // by which inputs are taken at random: always the same of an input
	reach []float32
}

// selector looks at inputs and remembers those that may be chosen.
type selector struct {
	net     *engine.Net
	tensors []selected
	size    int // of features
	count   int
	classes []int

	mu    sync.Mutex
	seen  int
	full  []float32   // what all inputs reach
	pool  []*features // in no order
	first []largest   // by tensor
}

// selected is a tensor whose channels are looked at.
type selected struct {
	name   string
	output int // of the network; -1-i for its input i
	axis   int // of the channels, -1 for the last; 0 for none
	at     int // where its features begin
}

// largest has the two largest magnitudes of a tensor and which input the first is of.
type largest struct {
	index         int
	first, second float32
}

func newSelector(c *config, g *graph.Graph, count int, classes []int) (*selector, error) {
	p, err := c.newPlan(g)
	if err != nil {
		return nil, err
	}
	s := &selector{count: count, classes: classes}
	for _, pl := range p.Places {
		if pl.reader != nil || !pl.On {
			continue
		}
		t := selected{name: pl.Value.Name, at: s.size}
		if n := pl.Value.Node; n != nil {
			t.output, t.axis = len(p.Graph.Outputs), n.Traits().Channels
			p.Graph.Outputs = append(p.Graph.Outputs, pl.Value)
		} else if t.output = -1 - slices.Index(p.Graph.Inputs, pl.Value); t.output == 0 {
			continue // a constant
		} else {
			t.axis = 1
		}
		s.size += 2 * selectChannels
		s.tensors = append(s.tensors, t)
	}
	if len(s.tensors) == 0 {
		return nil, errors.New("ptq: nothing in the network becomes integers, so there are no ranges to reach")
	}
	s.full, s.first = make([]float32, s.size), make([]largest, len(s.tensors))
	s.net, err = engine.Compile(p.Graph, engine.WithThreads(1))
	return s, err
}

// look runs every input.
func (s *selector) look(ctx context.Context, data dataset.Source, c *config) error {
	group, running := newGroup(ctx, c.threads)
	at := 0
	for x, err := range data.Batches(1) {
		if err == nil && dataset.Count(data, x) != 1 {
			err = fmt.Errorf("%w: the network takes %d inputs at a time: to select single ones, its batch must be free", dataset.ErrShape, dataset.Count(data, x))
		}
		if err == nil {
			err = running.Err()
		}
		if err != nil {
			return errors.Join(group.Wait(), fmt.Errorf("ptq: calibration data: %w", err))
		}
		if len(s.classes) > 0 && at >= len(s.classes) {
			return errors.Join(group.Wait(), fmt.Errorf("ptq: %d classes for more inputs", len(s.classes)))
		}
		index := at
		at++
		group.Go(func() error {
			f, err := s.features(running, index, x)
			if err != nil {
				return err
			}
			s.keep(f)
			if c.progress != nil {
				c.progress(index + 1)
			}
			return nil
		})
		if at%selectPool == 0 { // so that what is forgotten does not depend on who was first
			if err := group.Wait(); err != nil {
				return err
			}
			s.forget()
			group, running = newGroup(ctx, c.threads)
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if at == 0 {
		return fmt.Errorf("ptq: calibration data: %w", dataset.ErrEmpty)
	}
	return nil
}

func newGroup(ctx context.Context, threads int) (*errgroup.Group, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(threads)
	return group, ctx
}

// features runs one input.
func (s *selector) features(ctx context.Context, index int, x []*tensor.Tensor) (*features, error) {
	y, err := s.net.Run(ctx, x...)
	if err != nil {
		return nil, fmt.Errorf("ptq: input %d: %w", index, err)
	}
	f := &features{index: index, luck: mixed(uint64(index)), reach: make([]float32, s.size)}
	if len(s.classes) > 0 {
		f.class = s.classes[index]
	}
	for _, t := range s.tensors {
		v := (*tensor.Tensor)(nil)
		if t.output < 0 {
			v = x[-1-t.output]
		} else {
			v = y[t.output]
		}
		if v.DType() != tensor.Float32 {
			continue
		}
		if err := reach(f.reach[t.at:t.at+2*selectChannels], v, t.axis); err != nil {
			return nil, fmt.Errorf("ptq: tensor %q of input %d: %w", t.name, index, err)
		}
	}
	return f, nil
}

// reach writes the largest magnitudes of the channels of v, above zero and below.
func reach(to []float32, v *tensor.Tensor, axis int) error {
	shape := v.Shape()
	if axis < 0 {
		axis += len(shape)
	}
	channels, inner := 1, v.Len()
	if axis > 0 && axis < len(shape) {
		channels, inner = shape[axis], tensor.Volume(shape[axis+1:])
	}
	x := v.F32()
	for i := 0; len(x) > 0 && inner > 0; i++ {
		lo, hi, nan := asm.MinMaxF32(x[:inner])
		if nan > 0 || math.IsInf(float64(hi), 0) || math.IsInf(float64(lo), 0) {
			return ErrNotFinite
		}
		k := 2 * (i % channels % selectChannels)
		to[k], to[k+1] = max(to[k], hi), max(to[k+1], -lo)
		x = x[inner:]
	}
	return nil
}

// mixed scatters the bits of a number.
func mixed(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// keep takes an input in.
func (s *selector) keep(f *features) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	s.pool = append(s.pool, f)
	for i, v := range f.reach {
		s.full[i] = max(s.full[i], v)
	}
	for i, t := range s.tensors {
		s.first[i].take(f.index, slices.Max(f.reach[t.at:t.at+2*selectChannels]))
	}
}

// take takes the magnitude of an input in. Which of equal ones was first does not matter: they are no outliers.
func (l *largest) take(index int, v float32) {
	switch {
	case v > l.first:
		l.index, l.second, l.first = index, l.first, v
	case v > l.second:
		l.second = v
	}
}

// forget keeps of the inputs only those that would be chosen now.
func (s *selector) forget() { s.pool = append(s.farthest(), s.random()...); s.pool = unique(s.pool) }

// unique drops inputs that are there twice, and orders them.
func unique(all []*features) []*features {
	slices.SortFunc(all, func(a, b *features) int { return a.index - b.index })
	return slices.CompactFunc(all, func(a, b *features) bool { return a.index == b.index })
}

// random returns up to count inputs of the pool at random: of each class the same number, as far as there are.
func (s *selector) random() []*features {
	byClass := make(map[int][]*features)
	for _, f := range s.pool {
		byClass[f.class] = append(byClass[f.class], f)
	}
	type turn struct {
		rank int // within its class
		*features
	}
	var all []turn
	for _, fs := range byClass {
		slices.SortFunc(fs, func(a, b *features) int { return compareLuck(a, b) })
		for i, f := range fs {
			all = append(all, turn{i, f})
		}
	}
	slices.SortFunc(all, func(a, b turn) int {
		return cmp.Or(a.rank-b.rank, compareLuck(a.features, b.features))
	})
	var chosen []*features
	for _, t := range all[:min(s.count, len(all))] {
		chosen = append(chosen, t.features)
	}
	return chosen
}

func compareLuck(a, b *features) int { return cmp.Compare(a.luck, b.luck) }

// farthest returns up to count inputs of the pool so that the first of them reach as much as possible of the ranges: each is the one
// that adds most to those before it. What an input adds only falls while others are chosen, so that of an earlier round bounds it.
func (s *selector) farthest() []*features {
	covered := make([]float32, s.size)
	bound := make([]float64, len(s.pool))
	round := make([]int, len(s.pool))
	order := make([]int, len(s.pool))
	pool := unique(slices.Clone(s.pool)) // in an order that does not depend on threads
	for i, f := range pool {
		order[i], bound[i], round[i] = i, s.gain(f, covered), 0
	}
	least := settledGain * float64(s.size)
	var chosen []*features
	h := &byBound{order, bound}
	heap.Init(h)
	for len(chosen) < s.count && len(h.order) > 0 {
		i := h.order[0]
		if round[i] < len(chosen) {
			bound[i], round[i] = s.gain(pool[i], covered), len(chosen)
			heap.Fix(h, 0)
			continue
		}
		if bound[i] < least {
			break
		}
		for k, v := range pool[i].reach {
			covered[k] = max(covered[k], v)
		}
		chosen = append(chosen, pool[i])
		heap.Pop(h)
	}
	return chosen
}

// gain returns how much more of the ranges an input reaches, each range counting as 1.
func (s *selector) gain(f *features, covered []float32) float64 {
	var sum float64
	for i, v := range f.reach {
		if v > covered[i] {
			sum += float64((v - covered[i]) / s.full[i])
		}
	}
	return sum
}

// byBound is a heap of indices with the largest bound, and of equal ones the least index, in front.
type byBound struct {
	order []int
	bound []float64
}

func (h *byBound) Len() int { return len(h.order) }

func (h *byBound) Less(i, j int) bool {
	a, b := h.order[i], h.order[j]
	return h.bound[a] > h.bound[b] || h.bound[a] == h.bound[b] && a < b
}

func (h *byBound) Swap(i, j int) { h.order[i], h.order[j] = h.order[j], h.order[i] }

func (h *byBound) Push(x any) { h.order = append(h.order, x.(int)) }

func (h *byBound) Pop() any {
	last := len(h.order) - 1
	x := h.order[last]
	h.order = h.order[:last]
	return x
}

// result chooses in turns of the inputs that reach farthest and of those at random.
func (s *selector) result() *Selection {
	far, random := s.farthest(), s.random()
	var chosen []*features
	taken := make(map[int]bool)
	next := func(from *[]*features) {
		for len(*from) > 0 && len(chosen) < s.count {
			f := (*from)[0]
			if *from = (*from)[1:]; !taken[f.index] {
				taken[f.index] = true
				chosen = append(chosen, f)
				return
			}
		}
	}
	atRandom := random
	for len(chosen) < s.count && len(far)+len(random) > 0 {
		next(&far)
		next(&random)
	}
	r := &Selection{Inputs: s.seen, Curve: s.curve(chosen, atRandom)}
	for _, f := range chosen {
		r.Chosen = append(r.Chosen, f.index)
	}
	r.Outliers = s.outliers()
	return r
}

// curve follows two choices at counts that double.
func (s *selector) curve(chosen, random []*features) []CurvePoint {
	var curve []CurvePoint
	a, b := make([]float32, s.size), make([]float32, s.size)
	for i, f := range chosen {
		for k, v := range f.reach {
			a[k] = max(a[k], v)
		}
		if i < len(random) {
			for k, v := range random[i].reach {
				b[k] = max(b[k], v)
			}
		}
		if n := i + 1; n&(n-1) == 0 || n == len(chosen) {
			curve = append(curve, CurvePoint{n, s.coverage(a), s.coverage(b)})
		}
	}
	return curve
}

// coverage returns the mean share of the ranges, in percent.
func (s *selector) coverage(covered []float32) float64 {
	sum, n := 0.0, 0
	for i, v := range s.full {
		if v > 0 {
			sum += float64(covered[i] / v)
			n++
		}
	}
	return 100 * sum / float64(max(n, 1))
}

// outliers returns the inputs that stand alone, the farthest first.
func (s *selector) outliers() []Outlier {
	worst := make(map[int]Outlier)
	for i, l := range s.first {
		if l.second <= 0 || l.first < outlierTimes*l.second {
			continue
		}
		o := Outlier{l.index, s.tensors[i].name, float64(l.first / l.second)}
		if o.Times > worst[o.Input].Times {
			worst[o.Input] = o
		}
	}
	all := []Outlier{}
	for _, o := range worst {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Outlier) int { return cmp.Or(cmp.Compare(b.Times, a.Times), a.Input-b.Input) })
	return all
}
