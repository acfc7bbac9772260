package engine

import (
	"math"
	"unsafe"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	slack     = asm.ReadSlack // elements behind a tensor that a kernel may read
	alignment = 64            // bytes: a cache line
)

// view is where the images of a tensor are, as kernels see them. Bytes are
// unsigned to them: an int8 is stored with its top bit flipped, and so are
// zero points and bounds (see stored).
type view struct {
	dtype   tensor.DType
	last    bool // channels last
	samples int
	fixed   bool // it always holds that many; otherwise as many as the piece at hand
	h, w, c int

	off                      int // of the first element of sample 0, in elements from the arena's start
	sampleStep, rowStep, pix int // strides
}

func viewOf(t *program.Tensor) *view {
	return &view{dtype: t.DType, last: t.Layout == program.Last, samples: t.Samples, fixed: t.Fixed, h: t.H, w: t.W, c: t.C,
		off: t.Offset, sampleStep: t.SampleStride, rowStep: t.RowStride, pix: t.PixStride}
}

// padded returns the view with the padding around it, or without what is negative of it.
func (v *view) padded(p program.Sides) *view {
	u := *v
	u.off -= p.Top*v.rowStep + p.Left*v.pix
	u.h += p.Top + p.Bottom
	u.w += p.Left + p.Right
	return &u
}

// count returns how many samples it holds when a piece has n.
func (v *view) count(n int) int {
	if v.fixed {
		return v.samples
	}
	return n
}

// bytes reports whether the elements are bytes.
func (v *view) bytes() bool { return v.dtype == tensor.Uint8 || v.dtype == tensor.Int8 }

// elements returns how many a sample has.
func (v *view) elements() int { return v.h * v.w * v.c }

// extent is the distance from the first to behind the last element of an image.
func (v *view) extent() int { return (v.h-1)*v.rowStep + (v.w-1)*v.pix + v.c }

// f32 returns the image of sample s of a tensor of floats.
func (v *view) f32(c *call, s int) asm.Image[float32] { return imageOf(v, c.f32, s, 0) }

// u8 returns the image of sample s of a tensor of bytes, with the slack behind it
// that convolutions may read.
func (v *view) u8(c *call, s int) asm.Image[uint8] { return imageOf(v, c.u8, s, slack) }

func imageOf[T any](v *view, mem []T, s, slack int) asm.Image[T] {
	at := v.off + s*v.sampleStep
	return asm.Image[T]{Data: mem[at : at+v.extent()+slack], H: v.h, W: v.w, C: v.c, RowStride: v.rowStep, PixStride: v.pix}
}

// stored returns how the integer q of a type is stored.
func stored(q int, d tensor.DType) uint8 { return uint8(q) ^ flipOf(d) }

// flipOf returns the bits that are flipped in stored bytes of a type.
func flipOf(d tensor.DType) uint8 {
	if d == tensor.Int8 {
		return 0x80
	}
	return 0
}

// flip turns bytes of a type into how they are stored, and back.
func flip(x []uint8, d tensor.DType) {
	if d != tensor.Int8 {
		return
	}
	for i := range x {
		x[i] ^= 0x80
	}
}

// newArena returns n bytes, aligned, seen as bytes and as floats.
func newArena(n int) (u8 []uint8, f32 []float32) {
	words := make([]uint64, n/8+alignment/8)
	raw := unsafe.Slice((*uint8)(unsafe.Pointer(&words[0])), len(words)*8)
	skip := int(-uintptr(unsafe.Pointer(&raw[0])) & (alignment - 1))
	u8 = raw[skip : skip+n]
	if n == 0 {
		return u8, nil
	}
	return u8, unsafe.Slice((*float32)(unsafe.Pointer(&u8[0])), n/4)
}

// fillBorder fills the border of all images of t.
func fillBorder(t *program.Tensor, c *call) {
	if t.Bytewide() {
		fillSides(t, c.u8, uint8(t.Fill)^flipOf(t.DType))
	} else {
		fillSides(t, c.f32, math.Float32frombits(t.Fill))
	}
}

func fillSides[T any](t *program.Tensor, mem []T, v T) {
	b := t.Border
	for s := range t.Samples {
		first := t.Offset + s*t.SampleStride - b.Top*t.RowStride - b.Left*t.PixStride
		for y := -b.Top; y < t.H+b.Bottom; y++ {
			row := mem[first+(y+b.Top)*t.RowStride:][:t.RowStride]
			if y < 0 || y >= t.H {
				fillSlice(row, v)
				continue
			}
			fillSlice(row[:b.Left*t.PixStride], v)
			fillSlice(row[(b.Left+t.W)*t.PixStride:], v)
		}
	}
}

func fillSlice[T any](d []T, v T) {
	for i := range d {
		d[i] = v
	}
}

// runs calls do with the place of each contiguous run of elements of rows
// [y0, y1), from the image's first element, and its length.
func runs[T any](m asm.Image[T], y0, y1 int, do func(at, n int)) {
	if y0 >= y1 {
		return
	}
	switch {
	case m.PixStride == m.C && (m.RowStride == m.W*m.PixStride || m.H == 1):
		do(y0*m.RowStride, (y1-y0)*m.W*m.C)
	case m.PixStride == m.C:
		for y := y0; y < y1; y++ {
			do(y*m.RowStride, m.W*m.C)
		}
	default:
		for y := y0; y < y1; y++ {
			for x := range m.W {
				do(y*m.RowStride+x*m.PixStride, m.C)
			}
		}
	}
}

// pairs calls f with runs of elements of two images of one size.
func pairs[T, U any](dst asm.Image[T], src asm.Image[U], y0, y1 int, f func(dst []T, src []U)) {
	if dst.PixStride != dst.C || src.PixStride != src.C {
		for y := y0; y < y1; y++ {
			for x := range dst.W {
				f(dst.Data[y*dst.RowStride+x*dst.PixStride:][:dst.C], src.Data[y*src.RowStride+x*src.PixStride:][:dst.C])
			}
		}
		return
	}
	n := dst.W * dst.C
	if dst.RowStride == n && src.RowStride == n {
		f(dst.Data[y0*n:y1*n], src.Data[y0*n:y1*n])
		return
	}
	for y := y0; y < y1; y++ {
		f(dst.Data[y*dst.RowStride:][:n], src.Data[y*src.RowStride:][:n])
	}
}

// eachRun calls f with the runs of elements of row y of three images of one size.
func eachRun[T any](dst, a, b asm.Image[T], y int, f func(dst, a, b []T)) {
	n, count := dst.W*dst.C, 1
	if dst.PixStride != dst.C || a.PixStride != dst.C || b.PixStride != dst.C {
		n, count = dst.C, dst.W
	}
	for x := range count {
		f(dst.Data[y*dst.RowStride+x*dst.PixStride:][:n], a.Data[y*a.RowStride+x*a.PixStride:][:n], b.Data[y*b.RowStride+x*b.PixStride:][:n])
	}
}
