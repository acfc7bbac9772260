package engine

import (
	"math"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// copy copies a tensor between the places that there are.
func (b *binder) copy(a *program.Copy) *step {
	switch a.Out.Place {
	case program.IsOutput:
		if a.In.Place == program.InArena {
			return unloadOutput(a)
		}
		return b.emitStep(a)
	case program.InSlot:
		if a.In.Place == program.IsInput {
			return b.inputTensor(a)
		}
		return b.unloadTensor(a)
	}
	switch dst := viewOf(a.Out); {
	case a.In.Place == program.IsInput:
		return loadInput(dst, a.In)
	case a.In.Place != program.InArena:
		return loadTensor(dst, a.In)
	case a.In.Layout == a.Out.Layout:
		return copyStep(dst, viewOf(a.In))
	default:
		return reorderStep(dst, viewOf(a.In))
	}
}

// copyStep copies the images of src to dst, of the same size.
func copyStep(dst, src *view) *step {
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		if dst.bytes() {
			copyRows(dst.u8(c, s), src.u8(c, s), y0, y1)
		} else {
			copyRows(dst.f32(c, s), src.f32(c, s), y0, y1)
		}
	})
}

func copyRows[T any](dst, src asm.Image[T], y0, y1 int) {
	for y := y0; y < y1; y++ {
		to, from := dst.Data[y*dst.RowStride:], src.Data[y*src.RowStride:]
		if dst.PixStride == dst.C && src.PixStride == src.C {
			copy(to[:dst.W*dst.C], from[:dst.W*dst.C])
			continue
		}
		for x := range dst.W {
			copy(to[x*dst.PixStride:][:dst.C], from[x*src.PixStride:][:dst.C])
		}
	}
}

// reorderStep brings src into the other layout. The one of the two that is plain has no gaps.
func reorderStep(dst, src *view) *step {
	if dst.last {
		return rowStep(dst, func(cl *call, wk *worker, s, y0, y1 int) {
			if dst.bytes() {
				fromPlain(dst.u8(cl, s), src.u8(cl, s).Data, y0, y1, asm.TransposeU8)
			} else {
				fromPlain(dst.f32(cl, s), src.f32(cl, s).Data, y0, y1, asm.TransposeF32)
			}
		})
	}
	return sampleStep(dst, func(cl *call, wk *worker, s int) {
		if dst.bytes() {
			toPlain(dst.u8(cl, s).Data, src.u8(cl, s), asm.TransposeU8)
		} else {
			toPlain(dst.f32(cl, s).Data, src.f32(cl, s), asm.TransposeF32)
		}
	})
}

type transposer[T any] func(dst, src []T, rows, cols, ldd, lds int)

// fromPlain writes rows [y0, y1) of a channels-last image from a plain sample.
func fromPlain[T any](dst asm.Image[T], src []T, y0, y1 int, transpose transposer[T]) {
	if dst.C == 1 && dst.PixStride == 1 {
		for y := y0; y < y1; y++ {
			copy(dst.Data[y*dst.RowStride:][:dst.W], src[y*dst.W:])
		}
		return
	}
	for y := y0; y < y1; y++ {
		transpose(dst.Data[y*dst.RowStride:], src[y*dst.W:], dst.C, dst.W, dst.PixStride, dst.H*dst.W)
	}
}

// toPlain writes a plain sample from a channels-last image.
func toPlain[T any](dst []T, src asm.Image[T], transpose transposer[T]) {
	area := src.H * src.W
	for y := range src.H {
		transpose(dst[y*src.W:], src.Data[y*src.RowStride:], src.W, src.C, area, src.PixStride)
	}
}

// store writes rows [y0, y1) of v's image from a plain sample.
func store[T any](v *view, dst asm.Image[T], src []T, y0, y1 int, transpose transposer[T]) {
	if v.last && dst.H*dst.W > 1 {
		fromPlain(dst, src, y0, y1, transpose)
		return
	}
	src = src[y0*dst.W*dst.C:]
	runs(dst, y0, y1, func(at, n int) { src = src[copy(dst.Data[at:at+n], src):] })
}

// unload writes a plain sample from v's image.
func unload[T any](v *view, dst []T, src asm.Image[T], transpose transposer[T]) {
	if v.last && src.H*src.W > 1 {
		toPlain(dst, src, transpose)
		return
	}
	runs(src, 0, src.H, func(at, n int) { dst = dst[copy(dst, src.Data[at:at+n]):] })
}

// loadInput copies an input of the run into the arena.
func loadInput(dst *view, in *program.Tensor) *step {
	i, size := in.Index, dst.elements()
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		if !dst.bytes() {
			from := c.in[i].F32()[(c.first+s)*size:][:size]
			store(dst, dst.f32(c, s), from, y0, y1, asm.TransposeF32)
			return
		}
		from := w.bytes(size)
		copy(from, c.in[i].Bytes()[(c.first+s)*size:])
		flip(from, dst.dtype)
		store(dst, dst.u8(c, s), from, y0, y1, asm.TransposeU8)
	})
}

// loadTensor copies a plain tensor, made by a reference kernel or constant, into the arena.
func loadTensor(dst *view, in *program.Tensor) *step {
	size := dst.elements()
	return sampleStep(dst, func(c *call, w *worker, s int) {
		t := in.Value
		if t == nil {
			t = c.slots[in.Index]
		}
		if !dst.bytes() {
			store(dst, dst.f32(c, s), t.F32()[s*size:][:size], 0, dst.h, asm.TransposeF32)
			return
		}
		from := w.bytes(size)
		copy(from, t.Bytes()[s*size:])
		flip(from, dst.dtype)
		store(dst, dst.u8(c, s), from, 0, dst.h, asm.TransposeU8)
	})
}

// load copies sample s of a tensor to elements [at, at+size) of a plain one.
func load(src *view, c *call, s int, out *tensor.Tensor, at, size int) {
	if !src.bytes() {
		unload(src, out.F32()[at:at+size], src.f32(c, s), asm.TransposeF32)
		return
	}
	to := out.Bytes()[at : at+size]
	unload(src, to, src.u8(c, s), asm.TransposeU8)
	flip(to, src.dtype)
}

// unloadTensor makes a plain tensor of one in the arena.
func (b *binder) unloadTensor(a *program.Copy) *step {
	src, batched, size := viewOf(a.In), b.batched, viewOf(a.In).elements()
	return wholeStep(func(c *call, w *worker) error {
		shape := append([]int(nil), a.Out.Shape...)
		if batched {
			shape[0] = c.n
		}
		out := tensor.New(src.dtype, shape...)
		for s := range out.Len() / size {
			load(src, c, s, out, s*size, size)
		}
		c.slots[a.Out.Index] = out
		return nil
	})
}

// inputTensor makes an input of the run, or the part of it that a piece has, a plain tensor.
func (b *binder) inputTensor(a *program.Copy) *step {
	i, slot, batched := a.In.Index, a.Out.Index, b.batched
	return wholeStep(func(c *call, w *worker) error {
		c.slots[slot] = c.in[i]
		if batched && c.n != c.total {
			c.slots[slot] = c.in[i].Rows(c.first, c.first+c.n)
		}
		return nil
	})
}

// unloadOutput makes an output of the run of a tensor in the arena.
func unloadOutput(a *program.Copy) *step {
	src, i, size := viewOf(a.In), a.Out.Index, viewOf(a.In).elements()
	return sampleStep(src, func(c *call, w *worker, s int) {
		load(src, c, s, c.out[i], (c.first+s)*size, size)
	})
}

// emitStep makes an output of the run of a plain tensor.
func (b *binder) emitStep(a *program.Copy) *step {
	i, batched := a.Out.Index, b.batched
	return wholeStep(func(c *call, w *worker) error {
		switch t := a.In.Value; {
		case t == nil:
			c.emit(i, c.slots[a.In.Index])
		case batched:
			c.emit(i, t.Rows(0, c.n))
		default:
			c.emit(i, t)
		}
		return nil
	})
}

// emit puts a piece of output i in its place.
func (c *call) emit(i int, t *tensor.Tensor) {
	switch {
	case c.out[i] == nil:
		c.out[i] = t
	case c.n == c.total:
		c.out[i].CopyFrom(t)
	default:
		c.out[i].Rows(c.first, c.first+c.n).CopyFrom(t)
	}
}

func bindTranspose(a *program.Transpose) *step {
	dst, src := viewOf(a.Out), viewOf(a.In)
	walk := walk{a.Shape, a.Strides}
	return sampleStep(dst, func(c *call, w *worker, s int) {
		if dst.bytes() {
			permute(dst.u8(c, s).Data, src.u8(c, s).Data, walk)
		} else {
			permute(dst.f32(c, s).Data, src.f32(c, s).Data, walk)
		}
	})
}

// walk is the way through a source that a permutation of its dimensions takes.
type walk struct {
	shape, strides []int // of the result, and of the source, by the result's dimensions
}

// permute writes dst in its order from src in the order of the walk.
func permute[T any](dst, src []T, w walk) {
	if len(w.shape) == 0 {
		dst[0] = src[0]
		return
	}
	if n := w.shape[0]; len(w.shape) > 1 {
		inner := walk{w.shape[1:], w.strides[1:]}
		size := tensor.Volume(inner.shape)
		for i := range n {
			permute(dst[i*size:], src[i*w.strides[0]:], inner)
		}
		return
	}
	n, step := w.shape[0], w.strides[0]
	if step == 1 {
		copy(dst[:n], src)
		return
	}
	for i := range n {
		dst[i] = src[i*step]
	}
}

func bindRepeat(a *program.Repeat) *step {
	dst, src := viewOf(a.Out), viewOf(a.In)
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		if dst.bytes() {
			repeat(dst.u8(c, s), src.u8(c, s), a.Rows, a.Cols, y0, y1)
		} else {
			repeat(dst.f32(c, s), src.f32(c, s), a.Rows, a.Cols, y0, y1)
		}
	})
}

func repeat[T any](dst, src asm.Image[T], fy, fx, y0, y1 int) {
	for y := y0; y < y1; y++ {
		from := src.Data[y/fy*src.RowStride:]
		to := dst.Data[y*dst.RowStride:]
		for x := range dst.W {
			copy(to[x*dst.PixStride:][:dst.C], from[x/fx*src.PixStride:][:dst.C])
		}
	}
}

func bindPad(a *program.Pad) *step {
	dst, src := viewOf(a.Out), viewOf(a.In)
	return rowStep(dst, func(c *call, w *worker, s, y0, y1 int) {
		if dst.bytes() {
			spread(dst.u8(c, s), src.u8(c, s), a.At, uint8(a.Fill)^flipOf(dst.dtype), y0, y1)
		} else {
			spread(dst.f32(c, s), src.f32(c, s), a.At, math.Float32frombits(a.Fill), y0, y1)
		}
	})
}

// spread puts src at a place of dst and fills the rest.
func spread[T any](dst, src asm.Image[T], at program.Position, fill T, y0, y1 int) {
	for y := y0; y < y1; y++ {
		for x := range dst.W {
			d := dst.Data[y*dst.RowStride+x*dst.PixStride:][:dst.C]
			sy, sx := y-at.Y, x-at.X
			if sy < 0 || sy >= src.H || sx < 0 || sx >= src.W {
				fillSlice(d, fill)
				continue
			}
			fillSlice(d[:at.C], fill)
			copy(d[at.C:], src.Data[sy*src.RowStride+sx*src.PixStride:][:src.C])
			fillSlice(d[at.C+src.C:], fill)
		}
	}
}
