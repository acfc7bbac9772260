// Package matrix turns tensors into gonum's matrices and back. Both sides share
// the elements wherever their layouts allow.
package matrix

import (
	"fmt"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"

	"github.com/narrow-ml/narrow/tensor"
)

// Dense returns a float64 tensor as a matrix over the same elements. All
// dimensions but the last are its rows; an error wraps [tensor.ErrShape] if
// there are fewer than two dimensions, none of them empty, and it must be
// float64.
func Dense(t *tensor.Tensor) (*mat.Dense, error) {
	rows, cols, err := sizes(t, tensor.Float64)
	if err != nil {
		return nil, err
	}
	return mat.NewDense(rows, cols, tensor.Data[float64](t)), nil
}

// FromDense returns a float64 tensor of two dimensions. It shares the matrix's
// elements, unless there are gaps between its rows: then it copies them.
func FromDense(m *mat.Dense) *tensor.Tensor {
	r := m.RawMatrix()
	return tensor.From(compact(r.Data, r.Rows, r.Cols, r.Stride), r.Rows, r.Cols)
}

// General returns a float32 tensor as a matrix for package blas32, over the
// same elements. All dimensions but the last are its rows; errors are those of
// [Dense], for float32.
func General(t *tensor.Tensor) (blas32.General, error) {
	rows, cols, err := sizes(t, tensor.Float32)
	if err != nil {
		return blas32.General{}, err
	}
	return blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: t.F32()}, nil
}

// FromGeneral returns a float32 tensor of two dimensions. It shares the
// matrix's elements, unless there are gaps between its rows.
func FromGeneral(m blas32.General) *tensor.Tensor {
	return tensor.From(compact(m.Data, m.Rows, m.Cols, m.Stride), m.Rows, m.Cols)
}

func sizes(t *tensor.Tensor, want tensor.DType) (rows, cols int, err error) {
	if t.DType() != want || t.Rank() < 2 || t.Len() == 0 {
		return 0, 0, fmt.Errorf("matrix: %w: %s is no %s matrix", tensor.ErrShape, t, want)
	}
	cols = t.Shape()[t.Rank()-1]
	return t.Len() / cols, cols, nil
}

// compact returns the elements of a matrix without gaps between rows.
func compact[T any](data []T, rows, cols, stride int) []T {
	if stride == cols || rows < 2 {
		return data[:rows*cols]
	}
	out := make([]T, 0, rows*cols)
	for i := range rows {
		out = append(out, data[i*stride:][:cols]...)
	}
	return out
}
