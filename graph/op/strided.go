package op

import (
	"unsafe"

	"github.com/narrow-ml/narrow/tensor"
)

// view is a strided view of a tensor's elements.
type view struct {
	t       *tensor.Tensor
	offset  int
	strides []int
}

// whole returns the view of a whole tensor.
func whole(t *tensor.Tensor) view { return view{t: t, strides: tensor.Strides(t.Shape())} }

// copyView copies the elements of shape from one view to another of the same
// element type. Transpose, Slice, Expand, Concat, Pad and most others that move
// elements are this with different strides.
func copyView(dst, src view, shape []int) {
	switch dst.t.DType().Size() {
	case 1:
		copyStrided[uint8](dst, src, shape)
	case 2:
		copyStrided[uint16](dst, src, shape)
	case 4:
		copyStrided[uint32](dst, src, shape)
	case 8:
		copyStrided[uint64](dst, src, shape)
	default:
		copyStrided[string](dst, src, shape)
	}
}

func copyStrided[T uint8 | uint16 | uint32 | uint64 | string](dst, src view, shape []int) {
	d, s := elements[T](dst.t), elements[T](src.t)
	eachRow(shape, [][]int{dst.strides, src.strides}, func(off []int, n int, step []int) {
		to, from := off[0]+dst.offset, off[1]+src.offset
		if step[0] == 1 && step[1] == 1 {
			copy(d[to:to+n], s[from:from+n])
			return
		}
		for range n {
			d[to] = s[from]
			to += step[0]
			from += step[1]
		}
	})
}

// elements returns a tensor's elements as T, which has their size.
func elements[T uint8 | uint16 | uint32 | uint64 | string](t *tensor.Tensor) []T {
	if t.DType() == tensor.String {
		return any(tensor.Data[string](t)).([]T)
	}
	if t.Len() == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.Bytes()))), t.Len())
}

// fill sets every element of dst to the one element of value, which has the
// same type.
func fill(dst, value *tensor.Tensor) {
	shape := dst.Shape()
	copyView(whole(dst), view{t: value, strides: make([]int, len(shape))}, shape)
}
