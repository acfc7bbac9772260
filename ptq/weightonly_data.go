package ptq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// heldShare is the part of the inputs that is held back, on which weights rounded by the others are judged.
const heldShare = 8

// onData quantizes the weights of g with and without what they meet on data, and returns what is better on inputs held back.
func (o WeightOptions) onData(ctx context.Context, g *graph.Graph) (*WeightsResult, error) {
	seen, held := heldBack(o.Data)
	all := weightTensors(g)
	of := inputsOf(all)
	byName := make(map[string]*inputMoments)
	var moments []*inputMoments
	for _, w := range all {
		if m := of[w]; m != nil && w.value.Const.Len() >= leastWeights {
			byName[w.value.Name] = m
			if !slices.Contains(moments, m) {
				moments = append(moments, m)
			}
		}
	}
	plain, err := o.quantize(ctx, g.Clone(), nil)
	if err != nil {
		return nil, err
	}
	judge, err := newJudge(ctx, g, held, o.Threads)
	if err != nil {
		return nil, err
	}
	if plain.Measured, err = judge.measure(ctx, plain.Graph, o.Threads); err != nil || len(moments) == 0 {
		return plain, err
	}
	if err := seeMoments(ctx, g, moments, seen, o.Threads); err != nil {
		return nil, err
	}
	better, err := o.quantize(ctx, g, byName)
	if err != nil {
		return nil, err
	}
	better.Measured, err = judge.measure(ctx, better.Graph, o.Threads)
	if errors.Is(err, ErrInfinite) || err == nil && better.Measured.SQNR < plain.Measured.SQNR {
		return plain, nil
	}
	return better, err
}

// heldBack cuts the last part of data off; what cannot be cut is both seen and judged on.
func heldBack(data dataset.Source) (seen, held dataset.Source) {
	n := data.Len()
	h := min(max(n/heldShare, 1), heldMost)
	if n < 2 {
		return data, data
	}
	return rest{data, 0, n - h}, rest{data, n - h, h}
}

// newJudge runs the float network on inputs held back.
func newJudge(ctx context.Context, g *graph.Graph, held dataset.Source, threads int) (*sample, error) {
	net, err := engine.Compile(g, engine.WithThreads(threads))
	if err != nil {
		return nil, fmt.Errorf("ptq: %w", err)
	}
	s := &sample{held: true}
	held, _ = net.Separate(held)
	for batch, err := range held.Batches(heldGroup) {
		if err != nil {
			return nil, fmt.Errorf("ptq: calibration data: %w", err)
		}
		own := make([]*tensor.Tensor, len(batch))
		for i, t := range batch {
			own[i] = t.Clone()
		}
		y, err := net.Run(ctx, own...)
		if err != nil {
			return nil, fmt.Errorf("ptq: the float network: %w", err)
		}
		s.inputs, s.want, s.count = append(s.inputs, own), append(s.want, y), s.count+dataset.Count(held, batch)
	}
	return s, nil
}

// roundedTogether is how many rows are rounded at once.
const roundedTogether = 64

// compensate rounds the weights of a tensor so that the errors of the results cancel for the inputs whose moments are given.
func (q *weightQuantizer) compensate(w *weightTensor, groups weightGroups, m *inputMoments) (*weightCodes, error) {
	t := w.value.Const
	values := t.Float32s()
	c := &weightCodes{groups: groups, shape: t.Shape(), codes: make([]uint8, len(values)), scales: make([]float32, groups.count()), zeros: make([]uint8, groups.count())}
	outputs := t.Shape()[w.output]
	perGroup := outputs / m.groups
	for group := range m.groups {
		r, err := m.rounder(group, w.blocksOf(groups, group*perGroup, m.row))
		if err != nil {
			return nil, err
		}
		tasks := (perGroup + roundedTogether - 1) / roundedTogether
		errors := make([][2]float64, tasks)
		err = sideBySide(q.Threads, tasks, func(_, task int) error {
			first := task * roundedTogether
			errors[task] = q.roundRows(w, c, r, values, group*perGroup+first, min(roundedTogether, perGroup-first))
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, e := range errors {
			q.signal, q.noise = q.signal+e[0], q.noise+e[1]
		}
	}
	return c, nil
}

// at returns where weight k of output o is.
func (w *weightTensor) at(o, k int) int {
	shape := w.value.Const.Shape()
	switch {
	case len(shape) > 2:
		return o*(w.value.Const.Len()/shape[0]) + k
	case w.output == 0:
		return o*shape[1] + k
	}
	return k*shape[1] + o
}

// blocksOf numbers the blocks of an output's row and returns in which each weight is.
func (w *weightTensor) blocksOf(groups weightGroups, output, row int) []int {
	number := make(map[int]int)
	blocks := make([]int, row)
	for k := range blocks {
		s := groups.of(w.at(output, k))
		if _, ok := number[s]; !ok {
			number[s] = len(number)
		}
		blocks[k] = number[s]
	}
	return blocks
}

// rounder returns the rounder for a group of channels. All that read these inputs have the same blocks.
func (m *inputMoments) rounder(group int, blocks []int) (*blockRounder, error) {
	if m.rounders == nil {
		m.rounders = make([]*blockRounder, m.groups)
	}
	if m.rounders[group] == nil {
		r, err := newBlockRounder(m.products[group], blocks)
		if err != nil {
			return nil, err
		}
		m.rounders[group], m.products[group] = r, nil
	}
	return m.rounders[group], nil
}

// roundRows rounds n outputs from first on into c, and returns the sums of squares of their weights and of the errors.
func (q *weightQuantizer) roundRows(w *weightTensor, c *weightCodes, r *blockRounder, values []float32, first, n int) (sums [2]float64) {
	rows := make([]float32, n*r.d)
	for o := range n {
		for k := range r.d {
			rows[o*r.d+k] = values[w.at(first+o, k)]
		}
	}
	d := w.value.Const.DType()
	b := r.round(rows, n, func(x []float32, importance []float64) Levels {
		l := q.fitBy(x, importance)
		l.Scale = float64(roundedScale(l.Scale, d))
		return l
	})
	for o := range n {
		for k, block := range r.blocks {
			l := b.levels[o*len(r.blocks)+k]
			for i := block[0]; i < block[1]; i++ {
				at := w.at(first+o, r.order[i])
				s := c.groups.of(at)
				c.scales[s], c.zeros[s] = float32(l.Scale), uint8(l.Zero)
				c.codes[at] = uint8(l.Quantize(float64(b.values[o*r.d+i])))
				v, e := float64(values[at]), float64(b.values[o*r.d+i]-values[at])
				sums[0], sums[1] = sums[0]+v*v, sums[1]+e*e
			}
		}
	}
	return sums
}
