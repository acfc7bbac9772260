package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/report"
	"github.com/narrow-ml/narrow/tensor"
)

const (
	shownChanges = 24 // inputs whose class changed
	shownClasses = 50
)

// check compares both forms of a network on the --test inputs, or on a sample of the others.
func (f *quantizeFlags) check(cmd *cobra.Command, g, quantized *graph.Graph, sample *dataset.Set) (*report.Check, error) {
	source, unseen := sample, len(f.test) > 0
	if unseen {
		data := f.data
		data.paths, data.limit = f.test, 0
		var err error
		if source, err = data.open(g); err != nil {
			return nil, err
		}
	}
	var labels []int
	if f.labels != "" {
		var err error
		if labels, err = readLabels(f.labels, source); err != nil {
			return nil, err
		}
	}
	c := checker{labels: labels, Check: report.Check{Unseen: unseen}}
	if err := c.run(cmd.Context(), g, quantized, source, f.run); err != nil {
		return nil, err
	}
	return c.result(), nil
}

// checker compares a network with its float form, input by input.
type checker struct {
	report.Check
	labels        []int
	score         score
	right, before int // inputs with the class of their label: now, and in float
	byLabel       map[int]*byLabel
}

// byLabel counts the inputs with one label.
type byLabel struct {
	count, right, before int
	mistaken             map[int]int // for what class, how often
}

func (c *checker) run(ctx context.Context, g, quantized *graph.Graph, source dataset.Source, run runFlags) error {
	net, err := engine.Compile(quantized, engine.WithThreads(run.threads))
	if err != nil {
		return err
	}
	reference, err := engine.Compile(g, engine.WithThreads(run.threads))
	if err != nil {
		return err
	}
	source, _ = reference.Separate(source)
	c.byLabel = make(map[int]*byLabel)
	for inputs, err := range source.Batches(run.batch) {
		if err != nil {
			return err
		}
		want, err := reference.Run(ctx, inputs...)
		if err != nil {
			return err
		}
		got, err := net.Run(ctx, inputs...)
		if err != nil {
			return err
		}
		n := dataset.Count(source, inputs)
		if err := c.score.compare(inputs[0], n, got, want); err != nil {
			return err
		}
		if c.score.classes {
			c.add(inputs[0], n, classes(want[0], n), classes(got[0], n))
		} else if c.labels != nil {
			return errors.New("--labels needs a network with one score for each class")
		}
		c.Inputs += n
		c.score.count = c.Inputs
	}
	return nil
}

// add takes in the classes of a batch.
func (c *checker) add(inputs *tensor.Tensor, n int, float, integer []int) {
	for i := range n {
		change := report.Change{Input: c.Inputs + i, Float: float[i], Integers: integer[i], Label: -1}
		if c.labels != nil {
			label := c.labels[c.Inputs+i]
			change.Label = label
			c.count(label, float[i], integer[i])
		}
		switch {
		case float[i] == integer[i]:
		case len(c.Changed) == shownChanges:
			c.MoreChanged++
		default:
			if inputs.Shape()[0] == n {
				change.Picture = thumbnail(inputs.Rows(i, i+1))
			}
			c.Changed = append(c.Changed, change)
		}
	}
}

func (c *checker) count(label, float, integer int) {
	b := c.byLabel[label]
	if b == nil {
		b = &byLabel{mistaken: make(map[int]int)}
		c.byLabel[label] = b
	}
	b.count++
	if float == label {
		b.before++
		c.before++
	}
	if integer == label {
		b.right++
		c.right++
	} else {
		b.mistaken[integer]++
	}
}

// thumbnail returns an input [1,c,h,w] or [1,h,w,c] as a small picture, "" if it is none.
func thumbnail(x *tensor.Tensor) template.URL {
	shape := x.Shape()
	if len(shape) != 4 || x.DType() != tensor.Float32 {
		return ""
	}
	c, h, w := shape[1], shape[2], shape[3]
	values := x.F32()
	if last := shape[3]; c != 1 && c != 3 && (last == 1 || last == 3) {
		c, h, w = last, shape[1], shape[2]
		planes := make([]float32, len(values))
		for i, v := range values {
			planes[i%c*h*w+i/c] = v
		}
		values = planes
	}
	return report.Thumbnail(values, c, h, w)
}

func (c *checker) result() *report.Check {
	r := &c.Check
	r.SQNR, r.Agreement, r.Top1, r.Top1Float = c.score.sqnr(), math.NaN(), math.NaN(), math.NaN()
	if c.score.classes {
		r.Agreement = *c.score.percent(c.score.agreeing)
	}
	if len(c.byLabel) == 0 {
		return r
	}
	r.Top1, r.Top1Float = *c.score.percent(c.right), *c.score.percent(c.before)
	for _, label := range slices.Sorted(maps.Keys(c.byLabel)) {
		b := c.byLabel[label]
		class := report.Class{Label: label, Inputs: b.count, Float: 100 * float64(b.before) / float64(b.count), Top1: 100 * float64(b.right) / float64(b.count)}
		most := 0
		for _, other := range slices.Sorted(maps.Keys(b.mistaken)) {
			if n := b.mistaken[other]; n > most {
				most, class.Mistaken = n, fmt.Sprintf("%d (%d times)", other, n)
			}
		}
		r.Classes = append(r.Classes, class)
	}
	slices.SortStableFunc(r.Classes, func(a, b report.Class) int { return cmp.Compare(a.Top1-a.Float, b.Top1-b.Float) })
	r.Classes = r.Classes[:min(len(r.Classes), shownClasses)]
	return r
}
