package dataset

import (
	"fmt"
	"iter"

	"github.com/narrow-ml/narrow/tensor"
)

// memory is a [Source] over tensors.
type memory struct{ columns []*tensor.Tensor }

// FromTensors returns a source over tensors that hold all inputs, one tensor
// for each input of the network, all of the same length on axis 0. Its batches
// share their data.
func FromTensors(columns ...*tensor.Tensor) (Source, error) {
	for i, c := range columns {
		if c.Rank() == 0 || c.Shape()[0] == 0 {
			return nil, fmt.Errorf("dataset: tensor %d %w: shape %v", i, ErrEmpty, c.Shape())
		}
		if c.Shape()[0] != columns[0].Shape()[0] {
			return nil, fmt.Errorf("dataset: %w: tensor %d holds %d inputs, tensor 0 %d", ErrShape, i, c.Shape()[0], columns[0].Shape()[0])
		}
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("dataset: no tensor: %w", ErrEmpty)
	}
	return memory{columns}, nil
}

func (m memory) Len() int { return m.columns[0].Shape()[0] }

func (m memory) Batches(n int) iter.Seq2[[]*tensor.Tensor, error] {
	n = max(1, n)
	return func(yield func([]*tensor.Tensor, error) bool) {
		for start := 0; start < m.Len(); start += n {
			batch := make([]*tensor.Tensor, len(m.columns))
			for i, c := range m.columns {
				batch[i] = c.Rows(start, min(start+n, m.Len()))
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}
