package engine

import (
	"context"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// Kind says what arithmetic a step does.
type Kind string

const (
	Integer Kind = "integer" // on 8-bit integers with int32 sums
	Float   Kind = "float"   // in float32
	Move    Kind = "move"    // copies, reorders or converts elements
)

// step is one thing that a run does: mostly a node of the graph with what was
// fused into it.
type step struct {
	name  string
	nodes []*graph.Node // what it computes; nil for a conversion between layouts
	kind  Kind
	why   string // why it is float in a network that has integers
	ops   int    // arithmetic operations for one sample
	slow  bool   // few operations for each element that is read: a depthwise convolution

	reads, writes []*buffer

	units func(n int) int                            // into how many parts n samples can be cut
	run   func(c *call, w *worker, lo, hi int) error // computes parts [lo, hi)
}

// nanoseconds is about how long a sample takes: right to a factor of two or
// three on the processors of the day.
func (s *step) nanoseconds() int {
	switch {
	case s.slow:
		return s.ops / 40
	case s.kind == Integer:
		return s.ops / 300
	}
	return s.ops / 80
}

// call is the memory of one piece of a run.
type call struct {
	ctx   context.Context
	u8    []uint8   // the arena, seen as bytes
	f32   []float32 // the arena, seen as floats
	slots []*tensor.Tensor
	in    []*tensor.Tensor // the whole run's
	out   []*tensor.Tensor
	first int // sample of the run that is sample 0 here
	n     int // samples
	total int // samples of the whole run
}

// worker is what a goroutine has for itself.
type worker struct {
	id int
	u8 []uint8
	residual
}

// bytes returns n bytes of scratch.
func (w *worker) bytes(n int) []uint8 {
	if cap(w.u8) < n {
		w.u8 = make([]uint8, n)
	}
	return w.u8[:n]
}

// rowStep makes a step that computes images of out row by row: f is called with
// a sample and a range of rows.
func rowStep(name string, out *buffer, f func(c *call, w *worker, s, y0, y1 int)) *step {
	return rowsStep(name, out, 1, f)
}

// rowsStep is rowStep for so many rows together, but for the last.
func rowsStep(name string, out *buffer, together int, f func(c *call, w *worker, s, y0, y1 int)) *step {
	h := (out.h + together - 1) / together
	return &step{
		name: name, kind: Float, writes: []*buffer{out},
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
func sampleStep(name string, out *buffer, f func(c *call, w *worker, s int)) *step {
	return &step{
		name: name, kind: Float, writes: []*buffer{out},
		units: out.count,
		run: func(c *call, w *worker, lo, hi int) error {
			for s := lo; s < hi; s++ {
				f(c, w, s)
			}
			return nil
		},
	}
}

// wholeStep makes a step that is not cut.
func wholeStep(name string, f func(c *call, w *worker) error) *step {
	return &step{
		name: name, kind: Float,
		units: func(int) int { return 1 },
		run:   func(c *call, w *worker, lo, hi int) error { return f(c, w) },
	}
}

// reading adds what the step reads.
func (s *step) reading(bs ...*buffer) *step {
	s.reads = append(s.reads, bs...)
	return s
}

// of adds the nodes the step computes.
func (s *step) of(nodes ...*graph.Node) *step {
	s.nodes = append(s.nodes, nodes...)
	return s
}

// as sets the kind.
func (s *step) as(k Kind) *step {
	s.kind = k
	return s
}
