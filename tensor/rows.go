package tensor

import "reflect"

// Rows returns indices [lo, hi) of the first dimension, sharing the data. It
// panics if t has no dimension or the range is not inside it.
func (t *Tensor) Rows(lo, hi int) *Tensor {
	shape := append([]int{hi - lo}, t.shape[1:]...)
	size := Volume(t.shape[1:])
	data := reflect.ValueOf(t.data).Slice(lo*size, hi*size).Interface()
	return &Tensor{shape: shape, dtype: t.dtype, data: data}
}
