package engine

import (
	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/tensor"
)

// order says how the elements of a sample lie in memory.
type order uint8

const (
	plain order = iota // row-major, as ONNX has it
	last               // channels last: [C,H,W] lies as [H,W,C]
)

// buffer is where a value lives in the arena: an image for each sample, maybe
// with a border around it, or a view of another buffer's images.
//
// A value in plain order is an image too: one row, whose pixels are the runs
// along the last dimension.
type buffer struct {
	dtype   tensor.DType // Float32, or Uint8 (an int8 is stored with its top bit flipped)
	order   order
	samples int  // capacity
	fixed   bool // it always holds that many; otherwise as many as the piece at hand
	h, w, c int

	border sides  // around each image, filled when the arena is made
	fill   uint32 // bits of the border's elements
	pinned bool   // somebody relies on there being no border

	base   *buffer // the buffer this is a view of; nil for one with memory of its own
	shift  place   // of a window on base: its first element
	step   [2]int  // of a window on base: rows and columns of base from one to the next
	recast bool    // the view has base's elements as an image of another size
	part   bool    // the view is some channels of base, written by a producer of its own

	// Set by layout.
	off                      int // of the first element of sample 0, in elements from the arena's start
	sampleStep, rowStep, pix int // strides
	bornAt, usedAt           int // first and last step that touches it
}

type (
	// sides are widths of a border.
	sides struct{ top, left, bottom, right int }
	// place is a position in an image.
	place struct{ y, x, c int }
)

// root returns the buffer that has the memory.
func (b *buffer) root() *buffer {
	for b.base != nil {
		b = b.base
	}
	return b
}

// count returns how many samples it holds when a piece has n.
func (b *buffer) count(n int) int {
	if b.fixed {
		return b.samples
	}
	return n
}

// size returns the number of elements of one sample, border included.
func (b *buffer) size() int {
	return (b.h + b.border.top + b.border.bottom) * (b.w + b.border.left + b.border.right) * b.c
}

// gapless reports whether a sample's elements are neighbours in memory.
func (b *buffer) gapless() bool {
	return b.border == sides{} && (b.base == nil || b.recast || b.h*b.w == 1)
}

// ask widens the border so that a reader can look beyond the image. It
// returns false if that is not possible: another reader wants another fill,
// relies on there being none, or the buffer is a window on another's images.
func (b *buffer) ask(s sides, fill uint32) bool {
	if s == (sides{}) {
		return true
	}
	if b.pinned || b.recast || b.border != (sides{}) && b.fill != fill {
		return false
	}
	if p := b.base; p != nil {
		if !b.part || !p.ask(s, fill) {
			return false
		}
	}
	b.fill = fill
	b.border = sides{max(b.border.top, s.top), max(b.border.left, s.left), max(b.border.bottom, s.bottom), max(b.border.right, s.right)}
	return true
}

// window returns a view of part of b's images: h by w by c elements from at on, every
// step[0]th row and step[1]th column. It may reach into the border.
func (b *buffer) window(at place, h, w, c int, step [2]int) *buffer {
	return &buffer{dtype: b.dtype, order: b.order, samples: b.samples, h: h, w: w, c: c, base: b, shift: at, step: step, pinned: true}
}

// become makes b, whose producer has a step already, the channels of whole
// from c on, so that it is written there in the first place. It returns false
// if b cannot move.
func (b *buffer) become(whole *buffer, c int) bool {
	if b.pinned || b.base != nil || !whole.ask(b.border, b.fill) {
		return false
	}
	b.base, b.part, b.shift, b.step = whole, true, place{c: c}, [2]int{1, 1}
	return true
}

// as returns a view of b, which must be gapless, as images of another size.
func (b *buffer) as(o order, h, w, c int) *buffer {
	for v := b; v != nil; v = v.base {
		v.pinned = true
	}
	return &buffer{dtype: b.dtype, order: o, samples: b.samples, h: h, w: w, c: c, base: b, recast: true, pinned: true}
}

// resolve computes offset and strides; those of base must be known.
func (b *buffer) resolve() {
	switch p := b.base; {
	case p == nil:
		b.pix = b.c
		b.rowStep = (b.w + b.border.left + b.border.right) * b.c
		b.sampleStep = b.size()
		b.off += b.border.top*b.rowStep + b.border.left*b.pix
	case b.recast:
		b.off, b.sampleStep = p.off, p.sampleStep
		b.pix, b.rowStep = b.c, b.w*b.c
	default:
		b.off = p.off + b.shift.y*p.rowStep + b.shift.x*p.pix + b.shift.c
		b.sampleStep, b.rowStep, b.pix = p.sampleStep, p.rowStep*b.step[0], p.pix*b.step[1]
	}
}

// extent is the distance from the first to behind the last element of an image.
func (b *buffer) extent() int { return (b.h-1)*b.rowStep + (b.w-1)*b.pix + b.c }

// f32 returns the image of sample s of a Float32 buffer.
func (b *buffer) f32(c *call, s int) asm.Image[float32] {
	return imageOf(b, c.f32, s, 0)
}

// u8 returns the image of sample s of a Uint8 buffer, with the slack behind it
// that convolutions may read.
func (b *buffer) u8(c *call, s int) asm.Image[uint8] {
	return imageOf(b, c.u8, s, slack)
}

func imageOf[T any](b *buffer, mem []T, s, slack int) asm.Image[T] {
	at := b.off + s*b.sampleStep
	return asm.Image[T]{Data: mem[at : at+b.extent()+slack], H: b.h, W: b.w, C: b.c, RowStride: b.rowStep, PixStride: b.pix}
}

// fillBorder fills the border of all images.
func (b *buffer) fillBorder(c *call) {
	if b.dtype == tensor.Uint8 {
		fillBorder(b, c.u8, uint8(b.fill))
	} else {
		fillBorder(b, c.f32, floatOf(b.fill))
	}
}

func fillBorder[T any](b *buffer, mem []T, v T) {
	for s := range b.samples {
		first := b.off + s*b.sampleStep - b.border.top*b.rowStep - b.border.left*b.pix
		for y := -b.border.top; y < b.h+b.border.bottom; y++ {
			row := mem[first+(y+b.border.top)*b.rowStep:][:b.rowStep]
			if y < 0 || y >= b.h {
				fillSlice(row, v)
				continue
			}
			fillSlice(row[:b.border.left*b.pix], v)
			fillSlice(row[(b.border.left+b.w)*b.pix:], v)
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
