package ptq

import (
	"context"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	heldMost  = 64       // inputs held back at most
	heldBytes = 64 << 20 // of their tensors at most, beyond the first few
	heldFirst = 32       // of the first inputs a quarter is held back: 8 of 32
	heldGroup = 8        // inputs of these that are run at once
	heldFew   = 8        // so many are measured on where none is held back
)

// holdout keeps inputs back that a quantized network is measured on: of the first 32 every fourth, of the others
// every one in period, so that it is known of an input when it comes. What cannot be cut into inputs, or
// is too few, is not held back; the first inputs are remembered then.
type holdout struct {
	period int  // 0 for none
	fixed  int  // the batch that the network is fixed to; 1 if it is free
	alone  bool // it is fixed, if only to 1, or inputs run one at a time: none are put together
	held   [][]*tensor.Tensor
	want   [][]*tensor.Tensor // what the float network makes of those
	first  [][]*tensor.Tensor // a few that were not held back
	counts struct{ held, first int }
	bytes  int
}

func newHoldout(g *graph.Graph, share float64) *holdout {
	h := &holdout{fixed: 1}
	if share > 0 {
		h.period = max(2, int(1/share+0.5))
	}
	for _, v := range g.Inputs {
		if s := v.Type.Shape; v.Type.Known && len(s) > 0 && s[0] > 0 {
			h.fixed, h.alone = s[0], true
		}
	}
	return h
}

// wants reports whether the unit of that number, an input or a batch of fixed size, is held back.
func (h *holdout) wants(unit int) bool {
	if h.period == 0 || h.counts.held >= heldMost || h.bytes > heldBytes && h.counts.held >= heldFew {
		return false
	}
	if period := min(4, h.period); unit*h.fixed < heldFirst {
		return unit%period == period-1
	}
	return unit%h.period == h.period-1
}

// split returns what is left of a batch of size inputs, of which at were before. Nothing at all is nil.
func (h *holdout) split(batch []*tensor.Tensor, at, size int) []*tensor.Tensor {
	if !h.cuts(batch, size) {
		h.remember(batch, size)
		return batch
	}
	var left [][2]int
	for lo := 0; lo < size; lo += h.fixed {
		hi := lo + h.fixed
		if h.wants((at + lo) / h.fixed) {
			h.keep(rows(batch, lo, hi), h.fixed)
			continue
		}
		if n := len(left); n > 0 && left[n-1][1] == lo {
			left[n-1][1] = hi
		} else {
			left = append(left, [2]int{lo, hi})
		}
	}
	if len(left) == 0 {
		return nil
	}
	if len(left) == 1 && left[0] == [2]int{0, size} {
		h.remember(batch, size)
		return batch
	}
	parts := make([][]*tensor.Tensor, len(left))
	total := 0
	for i, r := range left {
		parts[i] = rows(batch, r[0], r[1])
		total += r[1] - r[0]
	}
	rest := stacked(parts, total)
	h.remember(rest, total)
	return rest
}

// cuts reports whether a batch of size inputs can be cut into units.
func (h *holdout) cuts(batch []*tensor.Tensor, size int) bool {
	return size%h.fixed == 0 && !slices.ContainsFunc(batch, func(t *tensor.Tensor) bool { return t.Rank() == 0 || t.Shape()[0] != size })
}

// keep holds a unit back.
func (h *holdout) keep(unit []*tensor.Tensor, count int) {
	own := make([]*tensor.Tensor, len(unit))
	for i, t := range unit {
		own[i] = t.Clone()
		h.bytes += t.Len() * 4
	}
	h.held = append(h.held, own)
	h.counts.held += count
}

// group puts neighbouring inputs of one shape together, a few in each batch: that runs faster.
func (h *holdout) group() {
	if h.alone {
		return
	}
	var groups [][]*tensor.Tensor
	for at := 0; at < len(h.held); {
		n := 1
		for n < heldGroup && at+n < len(h.held) && sameShapes(h.held[at], h.held[at+n]) {
			n++
		}
		groups = append(groups, stacked(h.held[at:at+n], n))
		at += n
	}
	h.held = groups
}

func sameShapes(a, b []*tensor.Tensor) bool {
	return slices.EqualFunc(a, b, func(x, y *tensor.Tensor) bool { return x.DType() == y.DType() && slices.Equal(x.Shape(), y.Shape()) })
}

// remember keeps copies of the first inputs that are not held back.
func (h *holdout) remember(batch []*tensor.Tensor, count int) {
	if h.counts.first >= heldFew {
		return
	}
	if most := (heldFew - h.counts.first + h.fixed - 1) / h.fixed * h.fixed; h.cuts(batch, count) && count > most {
		batch, count = rows(batch, 0, most), most
	}
	own := make([]*tensor.Tensor, len(batch))
	for i, t := range batch {
		own[i] = t.Clone()
	}
	h.first = append(h.first, own)
	h.counts.first += count
}

func rows(batch []*tensor.Tensor, lo, hi int) []*tensor.Tensor {
	part := make([]*tensor.Tensor, len(batch))
	for i, t := range batch {
		part[i] = t.Rows(lo, hi)
	}
	return part
}

// stacked puts parts with the batch on axis 0 together, total inputs.
func stacked(parts [][]*tensor.Tensor, total int) []*tensor.Tensor {
	batch := make([]*tensor.Tensor, len(parts[0]))
	for i, first := range parts[0] {
		batch[i] = tensor.New(first.DType(), append([]int{total}, first.Shape()[1:]...)...)
		at := 0
		for _, part := range parts {
			n := part[i].Shape()[0]
			batch[i].Rows(at, at+n).CopyFrom(part[i])
			at += n
		}
	}
	return batch
}

// sample is some inputs and what the float network makes of them.
type sample struct {
	inputs, want [][]*tensor.Tensor
	count        int
	held         bool  // none of them was seen before
	labels       []int // classes of the first of them; nil if they are not known
}

// newSample runs the float network on the inputs to measure on.
func newSample(ctx context.Context, g *graph.Graph, h *holdout, threads int) (*sample, error) {
	if len(h.want) > 0 {
		return &sample{inputs: h.held, want: h.want, count: h.counts.held, held: true}, nil
	}
	s := &sample{inputs: h.first, count: h.counts.first}
	net, err := engine.Compile(g, engine.WithThreads(threads))
	if err != nil {
		return nil, err
	}
	for _, x := range s.inputs {
		y, err := net.Run(ctx, x...)
		if err != nil {
			return nil, fmt.Errorf("ptq: the float network: %w", err)
		}
		s.want = append(s.want, y)
	}
	return s, nil
}
