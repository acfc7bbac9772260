package ptq

import (
	"context"
	"fmt"
)

// leastStored is the number of elements from which weights that are read in float are stored on 8 bits.
const leastStored = 4096

// storeWeights writes the weights of what computes in float, having no integer form, on 8 bits by output: embeddings by row, the
// gates of recurrent layers. Nodes that are to stay in float keep theirs.
func storeWeights(ctx context.Context, j *Job) error {
	g := j.net.Graph
	q := &weightQuantizer{WeightOptions: WeightOptions{Bits: 8, Symmetric: true, Form: WeightsQDQ, Threads: j.c.threads}, lowering: newLowering(g), result: &WeightsResult{Graph: g}}
	for _, n := range g.Nodes {
		if np := j.net.nodes[n]; np != nil && np.Float.chosen() {
			q.Exclude = append(q.Exclude, n.Name)
		}
	}
	for _, w := range weightTensors(g) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.value.Const.Len() < leastStored || q.reason(w) != "" {
			continue
		}
		if err := q.tensor(w); err != nil {
			return fmt.Errorf("ptq: weights %q: %w", w.value.Name, err)
		}
	}
	q.lowering.finish()
	return g.Sort()
}

// chosen reports whether a node is in float by choice.
func (r Reason) chosen() bool {
	switch r.Code {
	case Excluded, FollowsExcluded, Costly, Unrounded:
		return true
	}
	return false
}
