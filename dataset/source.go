// Package dataset brings a network's inputs from files as a stream of
// batches: NumPy arrays and archives, folders and lists of pictures. No file
// is ever loaded whole, so memory does not grow with the number of inputs.
package dataset

import (
	"errors"
	"iter"

	"github.com/narrow-ml/narrow/tensor"
)

// Errors of this package, wrapped with the file, what is wrong in it and what
// to do.
var (
	// ErrFormat reports a file that is damaged or of a kind that is not read.
	ErrFormat = errors.New("not readable as data")
	// ErrShape reports data whose shape the network does not take.
	ErrShape = errors.New("data does not fit the network")
	// ErrEmpty reports data without any input.
	ErrEmpty = errors.New("holds no input")
	// ErrValue reports a NaN or an infinity.
	ErrValue = errors.New("holds a value that is not a finite number")
)

// Source is a set of inputs. It may be iterated any number of times, also at
// once from several goroutines.
type Source interface {
	// Len returns the number of inputs.
	Len() int
	// Batches yields all inputs in order, n at a time and the last time what
	// is left. A batch is one tensor for each input of the network, in the
	// network's order, with the batch on axis 0 unless the source is a
	// [Counter] that says otherwise; it must not be changed. A
	// network whose batch is fixed gets batches of that size whatever n is.
	// The sequence ends after the first error.
	Batches(n int) iter.Seq2[[]*tensor.Tensor, error]
}

// Counter is a [Source] of a network whose inputs need not have a batch on axis 0.
type Counter interface {
	// Count returns how many inputs a batch of the source holds.
	Count(batch []*tensor.Tensor) int
}

// Count returns how many inputs a batch of s holds.
func Count(s Source, batch []*tensor.Tensor) int {
	if c, ok := s.(Counter); ok {
		return c.Count(batch)
	}
	return batch[0].Shape()[0]
}
