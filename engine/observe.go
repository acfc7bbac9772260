package engine

import (
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// observe adds a step that hands a new value to the observer, if it wants it.
func (b *builder) observe(v *graph.Value) {
	index, ok := b.net.observed[v]
	if !ok || b.typeOf(v).DType != tensor.Float32 {
		return
	}
	o := b.net.observer
	val := b.value(v)
	if !b.fits(v) || val.quant == nil && val.in == [2]*buffer{} {
		b.observeTensor(v, index)
		return
	}
	src := val.in[last]
	if src == nil {
		src = b.float(v, plain)
	}
	b.add(&step{
		name: "observe", kind: Move, reads: []*buffer{src},
		units: func(n int) int { return src.count(n) * src.h },
		ops:   4 * src.h * src.w * src.c,
		run: func(c *call, w *worker, lo, hi int) error {
			for lo < hi {
				s, y0 := lo/src.h, lo%src.h
				y1 := min(src.h, y0+hi-lo)
				m := src.f32(c, s)
				runs(m, y0, y1, func(at, n int) { o.Observe(w.id, index, m.Data[at:at+n]) })
				lo += y1 - y0
			}
			return nil
		},
	})
}

// observeTensor is observe for a value that is a plain tensor: an input, or
// the output of a reference kernel.
func (b *builder) observeTensor(v *graph.Value, index int) {
	o := b.net.observer
	slot := b.tensor(v)
	b.add(wholeStep("observe", func(c *call, w *worker) error {
		o.Observe(w.id, index, c.slots[slot-1].F32())
		return nil
	}).as(Move))
}
