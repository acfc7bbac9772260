package ptq

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	leastStored  = 4096 // elements from which weights that are read in float are stored on 8 bits
	storedEnough = 40   // dB: all of them together are not looked at closer
	storedPoor   = 35   // dB under which one alone stays in float, as a basis of sines before a logarithm does
	storedInputs = 8    // inputs on which that is found
)

// storeWeights writes the weights of what computes in float, having no integer form, on 8 bits by output: embeddings by row, the
// gates of recurrent layers, all layers in the branches of an If and the bodies of loops. Nodes that are to stay in float keep theirs.
func storeWeights(ctx context.Context, j *Job) error {
	q := j.c.newStore(j.net.Graph)
	for n, np := range j.net.nodes {
		q.excluded[n] = np.keepsWeights()
	}
	keep := func(t *tensor.Tensor) bool { return !j.Plan.precious[t] }
	return (&weightStore{q, keep}).graph(ctx, j.net.Graph)
}

// judgeStored finds the weights that are not to be stored on 8 bits: those that alone cost the outputs too much.
func judgeStored(ctx context.Context, j *Job) (err error) {
	j.Plan.precious = make(map[*tensor.Tensor]bool)
	if j.sample == nil {
		if j.sample, err = j.newSample(ctx); err != nil {
			return err
		}
	}
	few := j.sample.few(storedInputs)
	var all []*tensor.Tensor
	db, err := j.stored(ctx, few, func(t *tensor.Tensor) bool {
		all = append(all, t)
		return true
	})
	if err != nil || len(all) == 0 || db >= storedEnough {
		return err
	}
	for _, one := range all {
		if db, err = j.stored(ctx, few, func(t *tensor.Tensor) bool { return t == one }); err != nil {
			return err
		}
		if db < storedPoor {
			j.Plan.precious[one] = true
		}
	}
	return nil
}

// stored returns what is reached if nothing but those weights is stored that keep says.
func (j *Job) stored(ctx context.Context, s *sample, keep func(*tensor.Tensor) bool) (db float64, err error) {
	g := j.Plan.Graph.Clone()
	q := j.c.newStore(g)
	for i, np := range j.Plan.Nodes {
		q.excluded[g.Nodes[i]] = np.kind != op.FloatOnly || np.keepsWeights()
	}
	if err := (&weightStore{q, keep}).graph(ctx, g); err != nil || len(s.inputs) == 0 || q.result.Quantized == 0 {
		return math.Inf(1), err
	}
	m, err := s.measure(ctx, g, j.c.threads)
	if errors.Is(err, ErrInfinite) {
		return math.Inf(-1), nil
	}
	if err != nil {
		return 0, err
	}
	return m.Least, nil
}

// newStore returns what brings weights to 8 bits.
func (c *config) newStore(g *graph.Graph) *weightQuantizer {
	return &weightQuantizer{
		WeightOptions: WeightOptions{Bits: 8, Symmetric: true, Form: WeightsQDQ, Threads: c.threads},
		lowering:      newLowering(g), result: new(WeightsResult), excluded: make(map[*graph.Node]bool),
	}
}

// weightStore stores those weights that keep says.
type weightStore struct {
	*weightQuantizer
	keep func(*tensor.Tensor) bool
}

// graph stores the large weights of a graph and of the graphs in it.
func (q *weightStore) graph(ctx context.Context, g *graph.Graph) error {
	for _, w := range weightTensors(g) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.value.Const.Len() < leastStored || q.reason(w) != "" || !q.keep(w.value.Const) {
			continue
		}
		if err := q.tensor(w); err != nil {
			return fmt.Errorf("ptq: weights %q: %w", w.value.Name, err)
		}
	}
	q.lowering.finish()
	for _, n := range g.Nodes {
		if q.excluded[n] {
			continue
		}
		for _, sub := range n.Subgraphs() {
			in := *q.weightQuantizer
			in.lowering = q.lowering.within(sub)
			if err := (&weightStore{&in, q.keep}).graph(ctx, sub); err != nil {
				return err
			}
		}
	}
	return g.Sort()
}

// keepsWeights reports whether a node's weights are to stay in float: where it is in float by choice.
func (np *NodePlan) keepsWeights() bool { return np.Float.chosen() || np.excluded.chosen() }

// chosen reports whether a node is in float by choice.
func (r Reason) chosen() bool {
	switch r.Code {
	case Excluded, FollowsExcluded, Costly, Unrounded, Infinite, ForTarget, Amplified, Outliers:
		return true
	}
	return false
}
