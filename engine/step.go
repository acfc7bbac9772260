package engine

import (
	"context"

	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// Kind says what arithmetic a step does.
type Kind = program.Kind

// The kinds of steps.
const (
	Integer = program.Integer // on 8-bit integers with int32 sums
	Float   = program.Float   // in float32
	Move    = program.Move    // copies, reorders or converts elements
)

// step is a step of the program bound to a kernel.
type step struct {
	*program.Step
	units func(n int) int                            // into how many parts n samples can be cut
	run   func(c *call, w *worker, lo, hi int) error // computes parts [lo, hi)
}

// nanoseconds is about how long a sample takes: right to a factor of two or
// three on the processors of the day.
func (s *step) nanoseconds() int {
	switch {
	case s.Slow:
		return s.Ops / 40
	case s.Kind == Integer:
		return s.Ops / 300
	}
	return s.Ops / 80
}

// call is the memory of one piece of a run.
type call struct {
	ctx     context.Context
	sampler Sampler   // sees values instead of the observer; nil for none
	u8      []uint8   // the arena, seen as bytes
	f32     []float32 // the arena, seen as floats
	slots   []*tensor.Tensor
	in      []*tensor.Tensor // the whole run's
	out     []*tensor.Tensor
	first   int // sample of the run that is sample 0 here
	n       int // samples
	total   int // samples of the whole run
}

// worker is what a goroutine has for itself.
type worker struct {
	id  int
	u8  []uint8
	f32 [2][]float32
	residual
}

// bytes returns n bytes of scratch.
func (w *worker) bytes(n int) []uint8 {
	if cap(w.u8) < n {
		w.u8 = make([]uint8, n)
	}
	return w.u8[:n]
}

// floats returns two slices of n floats of scratch.
func (w *worker) floats(n int) (a, b []float32) {
	for i := range w.f32 {
		if cap(w.f32[i]) < n {
			w.f32[i] = make([]float32, n)
		}
	}
	return w.f32[0][:n], w.f32[1][:n]
}

// pixelStep makes a step that computes images of out by runs of up to so many pixels of a row: f is called
// with a sample, a row and a range of pixels.
func pixelStep(out *view, together int, f func(c *call, w *worker, s, y, x0, x1 int)) *step {
	parts := (out.w + together - 1) / together
	return &step{
		units: func(n int) int { return out.count(n) * out.h * parts },
		run: func(c *call, w *worker, lo, hi int) error {
			for ; lo < hi; lo++ {
				row, x := lo/parts, lo%parts*together
				f(c, w, row/out.h, row%out.h, x, min(x+together, out.w))
			}
			return nil
		},
	}
}

// rowStep makes a step that computes images of out row by row: f is called with
// a sample and a range of rows.
func rowStep(out *view, f func(c *call, w *worker, s, y0, y1 int)) *step {
	return rowsStep(out, 1, f)
}

// rowsStep is rowStep for so many rows together, but for the last.
func rowsStep(out *view, together int, f func(c *call, w *worker, s, y0, y1 int)) *step {
	h := (out.h + together - 1) / together
	return &step{
		units: func(n int) int { return out.count(n) * h },
		run: func(c *call, w *worker, lo, hi int) error {
			for lo < hi {
				s, y0 := lo/h, lo%h
				y1 := min(h, y0+hi-lo)
				f(c, w, s, y0*together, min(y1*together, out.h))
				lo += y1 - y0
			}
			return nil
		},
	}
}

// sampleStep makes a step that computes images of out whole.
func sampleStep(out *view, f func(c *call, w *worker, s int)) *step {
	return &step{
		units: out.count,
		run: func(c *call, w *worker, lo, hi int) error {
			for s := lo; s < hi; s++ {
				f(c, w, s)
			}
			return nil
		},
	}
}

// panelStep makes a step that is cut by panels of output channels, each for
// all samples.
func panelStep(dst *view, panels int, f func(c *call, w *worker, s, p0, p1 int)) *step {
	return &step{
		units: func(int) int { return panels },
		run: func(c *call, w *worker, lo, hi int) error {
			for s := range dst.count(c.n) {
				f(c, w, s, lo, hi)
			}
			return nil
		},
	}
}

// wholeStep makes a step that is not cut.
func wholeStep(f func(c *call, w *worker) error) *step {
	return &step{
		units: func(int) int { return 1 },
		run:   func(c *call, w *worker, lo, hi int) error { return f(c, w) },
	}
}
