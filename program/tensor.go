package program

import (
	"github.com/narrow-ml/narrow/tensor"
)

// Layout says how the elements of a sample lie in memory.
type Layout uint8

const (
	// Plain is row-major, as ONNX has it.
	Plain Layout = iota
	// Last has the channels last: [C,H,W] lies as [H,W,C].
	Last
)

// Place says where the elements of a tensor are.
type Place uint8

const (
	// InArena is a tensor at Offset of the arena.
	InArena Place = iota
	// IsInput is an input of the run, its samples one after the other in plain layout.
	IsInput
	// IsOutput is an output of the run, likewise.
	IsOutput
	// InSlot is a plain tensor that is made while the program runs, and has a number.
	InSlot
	// IsConstant is a plain tensor that is known beforehand.
	IsConstant
)

// Tensor is where a value lives: in the arena an image for each sample, maybe
// with a border around it, or a view of another tensor's images.
//
// Element (y, x, c) of sample s is at
//
//	Offset + s*SampleStride + y*RowStride + x*PixStride + c
//
// elements of its own type from the arena's start. A tensor in plain layout is
// an image too: one row, whose pixels are the runs along the last dimension.
type Tensor struct {
	ID    int    // its place in Program.Tensors
	Name  string // of the graph's value whose elements these are; "" for a part or a copy that is no value
	DType tensor.DType
	Place Place
	Index int // number of the input, output or slot

	Layout  Layout
	Samples int // how many there is room for
	H, W, C int // of an image; 0 where only the run tells

	// Shape is that of a tensor outside of the arena as ONNX has it, for a batch of Samples; nil where only the run tells.
	Shape []int

	// Coding says what the bytes stand for, as far as the graph says it; its Scale is 0 where it does not.
	Coding

	// Border is what is kept around each image, and Fill the bits of its
	// elements; the border is filled when the arena is made and stays.
	Border Sides
	Fill   uint32

	// View says how the tensor lies in another one; nil if it has memory of its own.
	View *View

	// Offset and strides count elements of the tensor's type.
	Offset                             int
	SampleStride, RowStride, PixStride int

	// Born and Used are the first and the last step that touches its memory,
	// any view of it included. A tensor that nothing touches has Born > Used.
	Born, Used int

	// Value holds the elements of a constant.
	Value *tensor.Tensor

	pinned bool // somebody relies on there being no border
	Fixed  bool // it always holds Samples; otherwise as many as the piece at hand
}

// View is how a tensor lies in another.
type View struct {
	Base   *Tensor
	At     Position // of a window on Base: its first element; it may lie in the border
	Step   [2]int   // of a window on Base: rows and columns of Base from one to the next
	Recast bool     // the same elements as an image of another size; At and Step mean nothing
	Part   bool     // some channels of Base, written by a step of its own
}

// Sides are widths of a border, or of a padding. A negative padding leaves
// rows and columns of the image out.
type Sides struct{ Top, Left, Bottom, Right int }

// Position is a place in an image.
type Position struct{ Y, X, C int }

// Coding is how integers stand for numbers: a number is (q - Zero) * Scale.
type Coding struct {
	Scale float32
	Zero  int
	Type  tensor.DType // Int8 or Uint8
}

// Root returns the tensor that has the memory.
func (t *Tensor) Root() *Tensor {
	for t.View != nil {
		t = t.View.Base
	}
	return t
}

// Count returns how many samples the tensor holds when a piece has n.
func (t *Tensor) Count(n int) int {
	if t.Fixed {
		return t.Samples
	}
	return n
}

// Bytewide reports whether an element is one byte.
func (t *Tensor) Bytewide() bool { return t.DType == tensor.Uint8 || t.DType == tensor.Int8 }

// Size returns the number of elements of one sample, border included.
func (t *Tensor) Size() int {
	return (t.H + t.Border.Top + t.Border.Bottom) * (t.W + t.Border.Left + t.Border.Right) * t.C
}

// Extent is the distance from the first to behind the last element of an image.
func (t *Tensor) Extent() int { return (t.H-1)*t.RowStride + (t.W-1)*t.PixStride + t.C }

// Gapless reports whether a sample's elements are neighbours in memory.
func (t *Tensor) Gapless() bool {
	return t.Border == Sides{} && (t.View == nil || t.View.Recast || t.H*t.W == 1)
}

// ask widens the border so that a reader can look beyond the image. It
// returns false if that is not possible: another reader wants another fill,
// relies on there being none, or the tensor is a window on another's images.
func (t *Tensor) ask(s Sides, fill uint32) bool {
	s = Sides{max(s.Top, 0), max(s.Left, 0), max(s.Bottom, 0), max(s.Right, 0)}
	if s == (Sides{}) {
		return true
	}
	if t.pinned || t.View != nil && t.View.Recast || t.Border != (Sides{}) && t.Fill != fill {
		return false
	}
	if v := t.View; v != nil {
		if !v.Part || !v.Base.ask(s, fill) {
			return false
		}
	}
	t.Fill = fill
	t.Border = Sides{max(t.Border.Top, s.Top), max(t.Border.Left, s.Left), max(t.Border.Bottom, s.Bottom), max(t.Border.Right, s.Right)}
	return true
}

// window returns a view of part of t's images: h by w by c elements from at on, every
// step[0]th row and step[1]th column. It may reach into the border.
func (t *Tensor) window(at Position, h, w, c int, step [2]int) *Tensor {
	return &Tensor{DType: t.DType, Layout: t.Layout, Samples: t.Samples, H: h, W: w, C: c, Coding: t.Coding,
		View: &View{Base: t, At: at, Step: step}, pinned: true}
}

// become makes t, whose producer has a step already, the channels of whole
// from c on, so that it is written there in the first place. It returns false
// if t cannot move.
func (t *Tensor) become(whole *Tensor, c int) bool {
	if t.pinned || t.View != nil || t.DType != whole.DType || !whole.ask(t.Border, t.Fill) {
		return false
	}
	t.View = &View{Base: whole, Part: true, At: Position{C: c}, Step: [2]int{1, 1}}
	return true
}

// as returns a view of t, which must be gapless, as images of another size.
func (t *Tensor) as(l Layout, h, w, c int) *Tensor {
	for v := t; ; v = v.View.Base {
		v.pinned = true
		if v.View == nil {
			break
		}
	}
	return &Tensor{DType: t.DType, Layout: l, Samples: t.Samples, H: h, W: w, C: c, Coding: t.Coding,
		View: &View{Base: t, Recast: true}, pinned: true}
}

// like returns an empty tensor with images of the size and layout of t.
func (t *Tensor) like(d tensor.DType) *Tensor {
	return &Tensor{DType: d, Layout: t.Layout, Samples: t.Samples, H: t.H, W: t.W, C: t.C}
}

// resolve computes offset and strides; those of the base must be known.
func (t *Tensor) resolve() {
	v := t.View
	switch {
	case v == nil:
		t.PixStride = t.C
		t.RowStride = (t.W + t.Border.Left + t.Border.Right) * t.C
		t.SampleStride = t.Size()
		t.Offset += t.Border.Top*t.RowStride + t.Border.Left*t.PixStride
	case v.Recast:
		t.Offset, t.SampleStride = v.Base.Offset, v.Base.SampleStride
		t.PixStride, t.RowStride = t.C, t.W*t.C
	default:
		p := v.Base
		t.Offset = p.Offset + v.At.Y*p.RowStride + v.At.X*p.PixStride + v.At.C
		t.SampleStride, t.RowStride, t.PixStride = p.SampleStride, p.RowStride*v.Step[0], p.PixStride*v.Step[1]
	}
}
