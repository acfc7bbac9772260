package engine

import (
	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// float returns v, a Float32 value, as a buffer in the given order.
func (b *builder) float(v *graph.Value, o order) *buffer {
	val := b.value(v)
	b.ensure(v, val)
	return b.form(v, &val.forms, o)
}

// ensure makes floats of v if there are only bytes.
func (b *builder) ensure(v *graph.Value, val *value) {
	if val.quant != nil && val.in == [2]*buffer{} && val.slot == 0 {
		b.dequantize(v, val)
	}
}

// form returns a tensor of v's shape as a buffer in the given order.
func (b *builder) form(v *graph.Value, f *forms, o order) *buffer {
	if f.in[o] != nil {
		return f.in[o]
	}
	switch other := f.in[1-o]; {
	case other != nil:
		f.in[o] = b.reorder(other, v, o)
	case f.late != nil:
		f.in[o] = f.late(o)
	case f.input > 0:
		f.in[o] = b.readInput(f, o)
	default:
		f.in[o] = b.readTensor(f, o)
	}
	return f.in[o]
}

// reorder brings a buffer into the other order: by a view where the elements
// lie the same way in both.
func (b *builder) reorder(src *buffer, v *graph.Value, o order) *buffer {
	_, sample := b.samplesOf(b.shape(v))
	h, w, c, _ := dims(sample, o)
	image := src
	if o == last {
		image = &buffer{h: h, w: w, c: c}
	}
	if (image.h*image.w == 1 || image.c == 1 || len(sample) < 2) && src.gapless() {
		return b.own(src.as(o, h, w, c))
	}
	dst := b.buffer(src.dtype, b.shape(v), o)
	var s *step
	if o == plain {
		b.pin(dst)
	} else if !src.gapless() {
		src = b.copied(src, sides{}, 0)
	}
	if o == last {
		b.pin(src)
		s = rowStep("to channels-last", dst, func(cl *call, wk *worker, s, y0, y1 int) {
			if dst.dtype == tensor.Uint8 {
				fromPlain(dst.u8(cl, s), src.u8(cl, s).Data, y0, y1, asm.TransposeU8)
			} else {
				fromPlain(dst.f32(cl, s), src.f32(cl, s).Data, y0, y1, asm.TransposeF32)
			}
		})
	} else {
		s = sampleStep("from channels-last", dst, func(cl *call, wk *worker, s int) {
			if dst.dtype == tensor.Uint8 {
				toPlain(dst.u8(cl, s).Data, src.u8(cl, s), asm.TransposeU8)
			} else {
				toPlain(dst.f32(cl, s).Data, src.f32(cl, s), asm.TransposeF32)
			}
		})
	}
	b.add(s.as(Move).reading(src))
	return dst
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

// readInput copies an input of the run into the arena.
func (b *builder) readInput(f *forms, o order) *buffer {
	i, v := f.input-1, f.of
	d := b.typeOf(v).DType
	dst := b.buffer(storage(d), b.shape(v), o)
	_, sample := b.samplesOf(b.shape(v))
	size := tensor.Volume(sample)
	if d == tensor.Float32 {
		b.add(rowStep("input", dst, func(c *call, w *worker, s, y0, y1 int) {
			from := c.in[i].F32()[(c.first+s)*size:][:size]
			store(dst, dst.f32(c, s), from, y0, y1, asm.TransposeF32)
		}).as(Move))
		return dst
	}
	b.add(rowStep("input", dst, func(c *call, w *worker, s, y0, y1 int) {
		from := w.bytes(size)
		copy(from, c.in[i].Bytes()[(c.first+s)*size:])
		flip(from, d)
		store(dst, dst.u8(c, s), from, y0, y1, asm.TransposeU8)
	}).as(Move))
	return dst
}

// store writes rows [y0, y1) of b's image from a plain sample.
func store[T any](b *buffer, dst asm.Image[T], src []T, y0, y1 int, transpose transposer[T]) {
	if b.order == last && dst.H*dst.W > 1 {
		fromPlain(dst, src, y0, y1, transpose)
		return
	}
	src = src[y0*dst.W*dst.C:]
	runs(dst, y0, y1, func(at, n int) { src = src[copy(dst.Data[at:at+n], src):] })
}

// flip turns bytes of an int8 tensor into how buffers store them, and back.
func flip(x []uint8, d tensor.DType) {
	if d != tensor.Int8 {
		return
	}
	for i := range x {
		x[i] ^= 0x80
	}
}

// readTensor copies a plain tensor, made by a reference kernel or constant, into the arena.
func (b *builder) readTensor(f *forms, o order) *buffer {
	v := f.of
	d := b.typeOf(v).DType
	dst := b.buffer(storage(d), b.shape(v), o)
	_, sample := b.samplesOf(b.shape(v))
	size := tensor.Volume(sample)
	slot := f.slot
	fixed := b.constant(v)
	b.add(sampleStep("from tensor", dst, func(c *call, w *worker, s int) {
		t := fixed
		if t == nil {
			t = c.slots[slot-1]
		}
		if d == tensor.Float32 {
			store(dst, dst.f32(c, s), t.F32()[s*size:][:size], 0, dst.h, asm.TransposeF32)
			return
		}
		from := w.bytes(size)
		copy(from, t.Bytes()[s*size:])
		flip(from, d)
		store(dst, dst.u8(c, s), from, 0, dst.h, asm.TransposeU8)
	}).as(Move))
	return dst
}

// tensor returns the slot, counted from 1, that holds v as a plain tensor.
func (b *builder) tensor(v *graph.Value) int {
	val := b.value(v)
	if val.slot > 0 {
		return val.slot
	}
	t := b.typeOf(v)
	if val.input > 0 {
		b.slots++
		val.slot = b.slots
		b.add(b.inputTensor(val.input-1, val.slot))
		return val.slot
	}
	b.ensure(v, val)
	src := b.ownForm(v, &val.forms)
	b.slots++
	val.slot = b.slots
	slot, batched := val.slot, b.batched // a step must not keep the builder
	_, sample := b.samplesOf(t.Shape)
	size := tensor.Volume(sample)
	b.add(wholeStep("to tensor", func(c *call, w *worker) error {
		shape := append([]int(nil), t.Shape...)
		if batched {
			shape[0] = c.n
		}
		out := tensor.New(t.DType, shape...)
		for s := range out.Len() / size {
			load(src, c, s, t.DType, out, s*size, size)
		}
		c.slots[slot-1] = out
		return nil
	}).as(Move).reading(src))
	return slot
}

// inputTensor makes an input of the run, or the part of it that a piece has, a plain tensor.
func (b *builder) inputTensor(i, slot int) *step {
	batched := b.batched
	return wholeStep("input", func(c *call, w *worker) error {
		c.slots[slot-1] = c.in[i]
		if batched && c.n != c.total {
			c.slots[slot-1] = c.in[i].Rows(c.first, c.first+c.n)
		}
		return nil
	}).as(Move)
}

// load copies sample s of a buffer to elements [at, at+size) of a plain tensor.
func load(src *buffer, c *call, s int, d tensor.DType, out *tensor.Tensor, at, size int) {
	if d == tensor.Float32 {
		unload(src, out.F32()[at:at+size], src.f32(c, s), asm.TransposeF32)
		return
	}
	to := out.Bytes()[at : at+size]
	unload(src, to, src.u8(c, s), asm.TransposeU8)
	flip(to, d)
}

func unload[T any](b *buffer, dst []T, src asm.Image[T], transpose transposer[T]) {
	if b.order == last && src.H*src.W > 1 {
		toPlain(dst, src, transpose)
		return
	}
	runs(src, 0, src.H, func(at, n int) { dst = dst[copy(dst, src.Data[at:at+n]):] })
}

// output makes the run's output i from v.
func (b *builder) output(i int, v *graph.Value) {
	t := b.typeOf(v)
	if b.isConst(v) {
		fixed := b.constant(v)
		batched := b.batched
		b.add(wholeStep("output", func(c *call, w *worker) error {
			if !batched {
				c.emit(i, fixed)
			} else {
				c.emit(i, fixed.Rows(0, c.n))
			}
			return nil
		}).as(Move))
		return
	}
	val := b.value(v)
	if val.slot > 0 || val.input > 0 || !b.fits(v) {
		slot := b.tensor(v)
		b.add(wholeStep("output", func(c *call, w *worker) error {
			c.emit(i, c.slots[slot-1])
			return nil
		}).as(Move))
		return
	}
	b.ensure(v, val)
	src := b.ownForm(v, &val.forms)
	_, sample := b.samplesOf(t.Shape)
	size := tensor.Volume(sample)
	b.add(&step{
		name: "output", kind: Move, reads: []*buffer{src},
		units: src.count,
		run: func(c *call, w *worker, lo, hi int) error {
			for s := lo; s < hi; s++ {
				load(src, c, s, t.DType, c.out[i], (c.first+s)*size, size)
			}
			return nil
		},
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
