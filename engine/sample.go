package engine

import (
	"context"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// Sampler sees the values of a run that an [Observer] would see, part by part and each part whole: for what wants only some places.
type Sampler interface {
	// Sample is given part number part of observed value number value. What x refers to is only valid during the
	// call. Calls with one worker number never overlap, calls with different ones do.
	Sample(worker, value, part int, x *Sample)
}

// Sample is a part of a value: one index of axis 0, or all of them where the run does not cut the value there.
type Sample struct {
	Shape []int // of the part, axis 0 included
	Parts int   // that the value has in this run
	image asm.Image[float32]
	last  bool // image has the channels last
}

// Plain returns the elements in row-major order: as they lie, or in scratch, which is replaced where it is too small.
func (x *Sample) Plain(scratch *[]float32) []float32 {
	n, m := tensor.Volume(x.Shape), x.image
	if !x.last && m.PixStride == m.C && (m.H == 1 || m.RowStride == m.W*m.C) {
		return m.Data[:n]
	}
	if cap(*scratch) < n {
		*scratch = make([]float32, n)
	}
	unload(&view{last: x.last}, (*scratch)[:n], m, asm.TransposeF32)
	return (*scratch)[:n]
}

// Channels copies what the channels, axis 1, have at one place of the axes behind, counted in row-major order, for index i of
// axis 0: to every step-th element of dst.
func (x *Sample) Channels(dst []float32, i, place, step int) {
	if m := x.image; x.last {
		for c, v := range m.Data[place/m.W*m.RowStride+place%m.W*m.PixStride:][:m.C] {
			dst[c*step] = v
		}
		return
	}
	area, channels := tensor.Volume(x.Shape[2:]), x.Shape[1]
	at := i*channels*area + place
	for c := range channels {
		dst[c*step] = x.image.Data[at]
		at += area
	}
}

// Sample runs the network and hands what its observer would see to s; the outputs are dropped.
func (net *Net) Sample(ctx context.Context, s Sampler, inputs ...*tensor.Tensor) error {
	p, n, err := net.prepare(inputs)
	if err != nil {
		return err
	}
	return p.run(ctx, s, inputs, p.newOutputs(n), n)
}

// bindObserve hands a tensor of floats to the sampler of the run, or to the observer if it has none.
func bindObserve(a *program.Observe, o Observer, batched bool) *step {
	if a.In.Place != program.InArena {
		return wholeStep(func(c *call, w *worker) error {
			t := c.slots[a.In.Index]
			switch {
			case c.sampler == nil:
				o.Observe(w.id, a.Index, t.F32())
			case batched:
				for s := range c.n {
					c.sampler.Sample(w.id, a.Index, c.first+s, sampleOf(t.Rows(s, s+1), c.total))
				}
			default:
				c.sampler.Sample(w.id, a.Index, 0, sampleOf(t, 1))
			}
			return nil
		})
	}
	src := viewOf(a.In)
	observe := rowStep(src, func(c *call, w *worker, s, y0, y1 int) {
		m := src.f32(c, s)
		runs(m, y0, y1, func(at, n int) { o.Observe(w.id, a.Index, m.Data[at:at+n]) })
	})
	shape := append([]int{1}, a.Shape[min(1, len(a.Shape)):]...)
	sample := sampleStep(src, func(c *call, w *worker, s int) {
		parts := src.count(c.total)
		c.sampler.Sample(w.id, a.Index, c.first+s, &Sample{shape, parts, src.f32(c, s), src.last})
	})
	run := observe.run
	observe.run = func(c *call, w *worker, lo, hi int) error {
		if c.sampler == nil {
			return run(c, w, lo, hi)
		}
		// A part is sampled by who has its first row.
		h := max(src.h, 1)
		return sample.run(c, w, (lo+h-1)/h, (hi+h-1)/h)
	}
	return observe
}

// Whole returns a plain tensor of floats as the only part of its value.
func Whole(t *tensor.Tensor) *Sample { return sampleOf(t, 1) }

func sampleOf(t *tensor.Tensor, parts int) *Sample {
	n := t.Len()
	return &Sample{t.Shape(), parts, asm.Image[float32]{Data: t.F32(), H: 1, W: 1, C: n, RowStride: n, PixStride: n}, false}
}
