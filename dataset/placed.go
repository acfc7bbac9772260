package dataset

import (
	"fmt"
	"io"
	"slices"

	"github.com/narrow-ml/narrow/tensor"
)

// NoBatch is the [Input.Axis] of an input that has no axis for the batch: a sampling rate, a threshold, one signal.
const NoBatch = -1

// maxPlaced bounds the bytes of an array that is read whole because its batch is not on axis 0.
const maxPlaced = 1 << 30

// placed is an array for an input whose batch is not on axis 0: a state with its layers in front, a number for all
// inputs. Such arrays are small; they are read whole.
type placed struct {
	all  *tensor.Tensor
	axis int
	rows bool // one array holds what several inputs are given one after the other
}

// place reads the column of such an input; nil for an input with its batch on axis 0.
func (s *Set) place(i int, col *column) (*placed, error) {
	in := s.inputs[i]
	if in.Axis == 0 || in.Shape == nil {
		return nil, nil
	}
	have := slices.Concat([]int{col.rows}, col.shape)
	if col.scalar {
		have = nil
	}
	p := &placed{axis: in.Axis}
	switch {
	case allows(in.Shape, have):
	case len(have) > 0 && allows(in.Shape, have[1:]):
		p.axis, p.rows = 0, true
	default:
		return nil, fmt.Errorf("%s: %w: shape %v, the network takes %v", col.where(0), ErrShape, have, in.Shape)
	}
	size := col.rows * col.rowBytes()
	if size > maxPlaced {
		return nil, fmt.Errorf("%s: %w: %d bytes for an input whose batch is not on axis 0, which are read at once", col.where(0), ErrShape, size)
	}
	r, err := col.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, wrap(col.where(0), fmt.Errorf("%w: truncated", ErrFormat))
	}
	t, err := s.convert(i, col, raw, 0, col.rows)
	if err != nil {
		return nil, err
	}
	p.all, err = t.Reshape(have...)
	return p, err
}

// allows reports whether an array can be an input, each dimension being free or the same.
func allows(want, have []int) bool {
	if len(want) != len(have) {
		return false
	}
	for i, d := range want {
		if d >= 0 && d != have[i] {
			return false
		}
	}
	return true
}

// count returns how many inputs the array holds, -1 for one that is the same for all.
func (p *placed) count() int {
	if p.axis == NoBatch {
		return -1
	}
	return p.all.Shape()[p.axis]
}

// part returns what inputs [start, start+n) are given.
func (p *placed) part(start, n int) *tensor.Tensor {
	switch {
	case p.axis == NoBatch || n == p.count() && !p.rows:
		return p.all
	case p.rows:
		t, _ := p.all.Rows(start, start+1).Reshape(p.all.Shape()[1:]...) // n is 1
		return t
	}
	shape := slices.Clone(p.all.Shape())
	whole := shape[p.axis]
	shape[p.axis] = n
	out := tensor.New(p.all.DType(), shape...)
	size := tensor.Volume(shape[p.axis+1:]) * out.DType().Size()
	for o := range tensor.Volume(shape[:p.axis]) {
		copy(out.Bytes()[o*n*size:][:n*size], p.all.Bytes()[(o*whole+start)*size:])
	}
	return out
}
