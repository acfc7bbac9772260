package ptq

import (
	"context"
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// widestMoments is how long a row may be whose inputs' second moments are kept: 268 MB.
const widestMoments = 8192

// inputMoments are the second moments of what meets the weights of some tensors: those that read one value in one layout.
type inputMoments struct {
	*patches
	input          *graph.Value
	products       [][]float32 // by group: row x row, below the diagonal and on it
	block          []float32   // places not yet in the products
	samples, count int
	rounders       []*blockRounder // by group, once they were needed; they take the products' place
}

// add takes in a batch of inputs.
func (m *inputMoments) add(t *tensor.Tensor) {
	if m.products == nil {
		m.products = make([][]float32, m.groups)
		for i := range m.products {
			m.products[i] = make([]float32, m.row*m.row)
		}
		m.block = make([]float32, 0, blockPlaces*m.groups*m.row)
	}
	m.each(t, m.samples, func(x []float32) {
		if m.block = append(m.block, x...); len(m.block) == cap(m.block) {
			m.flush()
		}
	})
	m.samples += t.Shape()[0]
}

// flush takes the places of the block into the products.
func (m *inputMoments) flush() {
	width := m.groups * m.row
	places := len(m.block) / width
	if places == 0 {
		return
	}
	for group, p := range m.products {
		x := m.block[group*m.row:]
		for i := 0; i < m.row; i += productPanel {
			n := min(productPanel, m.row-i)
			asm.SgemmF32(true, false, n, i+n, places, 1, x[i:], width, x, width, 1, p[i*m.row:], m.row)
		}
	}
	m.count += places
	m.block = m.block[:0]
}

// finish makes means of the sums.
func (m *inputMoments) finish() {
	m.flush()
	m.block = nil
	for _, p := range m.products {
		for i := range p {
			p[i] /= float32(max(m.count, 1))
		}
		mirror(p, m.row)
	}
}

// layout returns what meets the weights when all who read them do so alike; nil if there is no such thing.
func (w *weightTensor) layout() (*graph.Value, *patches) {
	n, shape := w.readers[0], w.value.Const.Shape()
	if len(w.readers) > 1 {
		return nil, nil // tied weights meet inputs of several kinds
	}
	switch products := n.Products(); {
	case products == nil || products.Weights != 1 || n.In(0).IsConst() || n.Attrs.Int("transA", 0) != 0:
		return nil, nil
	case len(shape) == 2 && n.Traits().Channels == -1:
		return n.In(0), &patches{groups: 1, row: shape[w.sum]}
	case len(shape) > 2 && n.In(1) == w.value && w.output == 0:
		return n.In(0), convolutionPatches(n, shape)
	}
	return nil, nil
}

// same reports whether two layouts are one.
func (p *patches) same(q *patches) bool {
	return p.groups == q.groups && p.row == q.row && slices.Equal(p.kernel, q.kernel) && slices.Equal(p.stride, q.stride) &&
		slices.Equal(p.dilation, q.dilation) && slices.Equal(p.pads, q.pads)
}

// inputsOf returns whose moments each tensor of weights needs, nil where it is not compensated; tensors that
// read one value share them.
func inputsOf(all []*weightTensor) map[*weightTensor]*inputMoments {
	of := make(map[*weightTensor]*inputMoments)
	byValue := make(map[*graph.Value][]*inputMoments)
	for _, w := range all {
		v, p := w.layout()
		if p == nil || p.row > widestMoments || p.row < 2 {
			continue
		}
		k := slices.IndexFunc(byValue[v], func(m *inputMoments) bool { return m.same(p) })
		if k < 0 {
			k = len(byValue[v])
			byValue[v] = append(byValue[v], &inputMoments{patches: p, input: v})
		}
		of[w] = byValue[v][k]
	}
	return of
}

// seeMoments runs the float network over data and fills moments.
func seeMoments(ctx context.Context, g *graph.Graph, moments []*inputMoments, data dataset.Source, threads int) error {
	values := make([]*graph.Value, len(moments))
	for i, m := range moments {
		values[i] = m.input
	}
	err := sampleTensors(ctx, g, values, data, manyInputs, threads, func(batch []*tensor.Tensor) error {
		return sideBySide(threads, len(moments), func(_, i int) error {
			moments[i].add(batch[i])
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("ptq: %w", err)
	}
	return sideBySide(threads, len(moments), func(_, i int) error {
		moments[i].finish()
		return nil
	})
}
