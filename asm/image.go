package asm

// Image is a view of one sample's activation in channels-last layout: element
// (y, x, c) is Data[y*RowStride+x*PixStride+c]. PixStride >= C lets a view be a
// slice of channels of a wider image; RowStride >= W*PixStride lets it be the
// inside of an image with a border. All strides count elements.
//
// A convolution reads a source that already holds its padding: the view then
// spans the border too, filled with zero (or the zero point).
type Image[T any] struct {
	Data                 []T
	H, W, C              int
	RowStride, PixStride int
}

// At returns element (y, x, c).
func (m Image[T]) At(y, x, c int) T { return m.Data[y*m.RowStride+x*m.PixStride+c] }

// inBounds reports whether every element of the view lies in Data.
func (m Image[T]) inBounds() bool {
	if m.H <= 0 || m.W <= 0 || m.C <= 0 {
		return m.H >= 0 && m.W >= 0 && m.C >= 0
	}
	return m.RowStride >= 0 && m.PixStride >= 0 &&
		(m.H-1)*m.RowStride+(m.W-1)*m.PixStride+m.C <= len(m.Data)
}

// gapless reports whether the pixels of consecutive rows are PixStride apart,
// so that the image can be walked as one row of H*W pixels.
func (m Image[T]) gapless() bool { return m.H == 1 || m.RowStride == m.W*m.PixStride }
