package program

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// float returns v, a Float32 value, in the given layout.
func (b *builder) float(v *graph.Value, l Layout) *Tensor {
	val := b.value(v)
	b.ensure(v, val)
	return b.form(v, &val.forms, l)
}

// ensure makes floats of v if there are only bytes.
func (b *builder) ensure(v *graph.Value, val *value) {
	if val.quant != nil && val.in == [2]*Tensor{} && val.slot == nil {
		b.dequantize(v, val)
	}
}

// form returns a tensor of v's shape in the given layout.
func (b *builder) form(v *graph.Value, f *forms, l Layout) *Tensor {
	if f.in[l] != nil {
		return f.in[l]
	}
	switch other := f.in[1-l]; {
	case other != nil:
		f.in[l] = b.reorder(other, v, l)
	case f.late != nil:
		f.in[l] = f.late(l)
	case f.input != nil:
		f.in[l] = b.load("input", f.of, f.input, l)
	case f.slot == nil:
		f.in[l] = b.load("from tensor", f.of, b.constantTensor(f.of), l)
	default:
		f.in[l] = b.load("from tensor", f.of, f.slot, l)
	}
	return f.in[l]
}

// load copies a tensor from outside into the arena.
func (b *builder) load(label string, v *graph.Value, src *Tensor, l Layout) *Tensor {
	dst := b.tensor(b.typeOf(v).DType, b.shape(v), l)
	dst.Name = v.Name
	b.step(label, Move, &Copy{In: src, Out: dst})
	return dst
}

// reorder brings a tensor into the other layout: by a view where the elements
// lie the same way in both.
func (b *builder) reorder(src *Tensor, v *graph.Value, l Layout) *Tensor {
	_, sample := b.samplesOf(b.shape(v))
	h, w, c, _ := dims(sample, l)
	image := src
	if l == Last {
		image = &Tensor{H: h, W: w, C: c}
	}
	if (image.H*image.W == 1 || image.C == 1 || len(sample) < 2) && src.Gapless() {
		return b.own(src.as(l, h, w, c))
	}
	dst := b.tensor(src.DType, b.shape(v), l)
	dst.Name, dst.Coding = src.Name, src.Coding
	label := "to channels-last"
	switch {
	case l == Plain:
		label = "from channels-last"
		b.pin(dst)
	case !src.Gapless():
		src = b.pin(b.copied(src, Sides{}, 0))
	default:
		b.pin(src)
	}
	b.step(label, Move, &Copy{In: src, Out: dst})
	return dst
}

// slot returns v as a plain tensor.
func (b *builder) slot(v *graph.Value) *Tensor {
	val := b.value(v)
	if val.slot != nil {
		return val.slot
	}
	src, label := val.input, "input"
	if src == nil {
		b.ensure(v, val)
		src, label = b.ownForm(v, &val.forms), "to tensor"
	}
	val.slot = b.newSlot(v)
	b.step(label, Move, &Copy{In: src, Out: val.slot})
	return val.slot
}

// output makes the run's output i from v.
func (b *builder) output(i int, v *graph.Value) {
	dst := b.external(v, IsOutput, i)
	b.outputs = append(b.outputs, dst)
	val := b.value(v)
	var src *Tensor
	switch {
	case b.isConst(v):
		src = b.constantTensor(v)
	case val.slot != nil || val.input != nil || !b.fits(v):
		src = b.slot(v)
	default:
		b.ensure(v, val)
		src = b.ownForm(v, &val.forms)
	}
	b.step("output", Move, &Copy{In: src, Out: dst})
}

// room makes sure that readers can look that far beyond the images of src, where tensors keep borders:
// it returns src, or a copy of it with a border of that fill.
func (b *builder) room(src *Tensor, pad Sides, fill uint32) *Tensor {
	if !b.Borders || src.ask(pad, fill) {
		return src
	}
	return b.copied(src, pad, fill)
}

// copied returns a copy of src with a border.
func (b *builder) copied(src *Tensor, pad Sides, fill uint32) *Tensor {
	dst := src.like(src.DType)
	dst.Name, dst.Coding, dst.Border, dst.Fill = src.Name, src.Coding, pad, fill
	b.step("pad", Move, &Copy{In: src, Out: b.own(dst)})
	return dst
}

// pin makes sure that src stays without border and gaps.
func (b *builder) pin(src *Tensor) *Tensor {
	src.pinned = true
	return src
}

// observe adds a step that hands a new value to the observer, if it wants it.
func (b *builder) observe(v *graph.Value) {
	index, ok := b.index[v]
	if !ok || b.typeOf(v).DType != tensor.Float32 {
		return
	}
	val := b.value(v)
	var src *Tensor
	switch {
	case !b.fits(v) || val.quant == nil && val.in == [2]*Tensor{}:
		src = b.slot(v)
	case val.in[Last] != nil:
		src = val.in[Last]
	default:
		src = b.float(v, Plain)
	}
	a := &Observe{In: src, Index: index}
	s := b.step("observe", Move, a)
	if src.Place == InArena {
		a.Shape = b.shape(v)
		s.Ops = 4 * src.H * src.W * src.C
	}
}
