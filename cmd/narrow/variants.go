package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/ptq"
)

// variant is a change of one choice.
type variant struct {
	name   string
	change func(*option.Set)
}

// variants are the choices that reports and the demo compare.
var variants = []variant{
	{"--clip max", func(o *option.Set) { o.Clip = "max" }},
	{"--clip mse", func(o *option.Set) { o.Clip = "mse" }},
	{"--clip kl", func(o *option.Set) { o.Clip = "kl" }},
	{"--clip percentile:99.99", func(o *option.Set) { o.Clip = "percentile:99.99" }},
	{"--per-channel", func(o *option.Set) { o.PerChannel = true }},
	{"--per-channel=false", func(o *option.Set) { o.PerChannel = false }},
	{"--signs", func(o *option.Set) { o.Signs = true }},
	{"--signs=false", func(o *option.Set) { o.Signs = false }},
	{"--equalize", func(o *option.Set) { o.Equalize = true }},
	{"--equalize=false", func(o *option.Set) { o.Equalize = false }},
	{"--compensate", func(o *option.Set) { o.Compensate = true }},
	{"--compensate=false", func(o *option.Set) { o.Compensate = false }},
	{"--asymmetric", func(o *option.Set) { o.Asymmetric = "true" }},
	{"--asymmetric=false", func(o *option.Set) { o.Asymmetric = "false" }},
	{"--shift", func(o *option.Set) { o.Shift = true }},
	{"--weight-bits 8", func(o *option.Set) { o.WeightBits = 8 }},
	{"--weight-bits 4", func(o *option.Set) { o.WeightBits = 4 }},
}

// variantsOf returns the variants that differ from o, each with its options.
func variantsOf(o option.Set) (names []string, changed []option.Set) {
	for _, v := range variants {
		c := o
		v.change(&c)
		if !sameOptions(c, o) {
			flag, _, _ := strings.Cut(strings.TrimPrefix(v.name, "--"), "=")
			flag, _, _ = strings.Cut(flag, " ")
			c.Given = maps.Clone(c.Given)
			if c.Given != nil {
				c.Given[flag] = true
			}
			names, changed = append(names, v.name), append(changed, c)
		}
	}
	return names, changed
}

func sameOptions(a, b option.Set) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// step is a choice of the pipeline that can be off.
type step struct {
	flag, what string
	take       func(to *option.Set, from option.Set) // makes to's choice that of from
}

// stepsTo returns the steps that can lead to o, in the order in which a report turns them on:
// the pipeline's, but for what leaves integers or makes scales coarser, which comes last.
func stepsTo(o option.Set) []step {
	shift := "--shift"
	if o.Powers {
		shift = "--shift=scales"
	}
	return []step{
		{"--signs", "unsigned integers where a tensor is never negative", func(to *option.Set, from option.Set) { to.Signs = from.Signs }},
		{"--clip " + o.Clip, "ranges of activations cut by the rule", func(to *option.Set, from option.Set) { to.Clip = from.Clip }},
		{"--asymmetric=" + o.Asymmetric, "zero points beyond that of the network's input", func(to *option.Set, from option.Set) {
			if from.Asymmetric != "auto" || from.Signs && !from.Shift { // otherwise there are none
				to.Asymmetric = from.Asymmetric
			}
		}},
		{"--per-channel", "a scale for each output channel of weights", func(to *option.Set, from option.Set) { to.PerChannel = from.PerChannel }},
		{"--equalize", "channels balanced between layers", func(to *option.Set, from option.Set) { to.Equalize = from.Equalize }},
		{"--bias-correction", "the mean error of rounding taken out of the biases", func(to *option.Set, from option.Set) { to.CorrectBias = from.CorrectBias || from.Compensate }},
		{"--compensate", "weights rounded so that their errors cancel", func(to *option.Set, from option.Set) { to.Compensate = from.Compensate }},
		{fmt.Sprintf("--auto-exclude %g", o.AutoExclude), "nodes that lose much left in float", func(to *option.Set, from option.Set) { to.AutoExclude = from.AutoExclude }},
		{shift, "every rescaling a shift of bits", func(to *option.Set, from option.Set) { to.Shift, to.Powers = from.Shift, from.Powers }},
	}
}

// stepsOf returns the steps that lead to o, beginning with none taken, and the options
// after each. The last of these do what o does.
func stepsOf(o option.Set) (steps []step, options []option.Set) {
	all, at := stepsTo(o), o
	for _, s := range all {
		s.take(&at, option.Set{Clip: "max", Asymmetric: "false"})
	}
	steps = []step{{what: "one signed scale for each tensor, its whole range kept, weights rounded to nearest"}}
	options = []option.Set{at}
	for _, s := range all {
		before := at
		if s.take(&at, o); !sameOptions(before, at) {
			steps, options = append(steps, s), append(options, at)
		}
	}
	return steps, options
}

// sideBySide is how many networks are built at once, each with its share of the threads.
const sideBySide = 2

// measureAll quantizes g by each of some options and measures the results on a
// sample. It calls done after each.
func (f *quantizeFlags) measureAll(ctx context.Context, g *graph.Graph, calib, sample dataset.Source, options []option.Set, done func()) ([]measured, error) {
	run := f.run
	if run.threads == 0 {
		run.threads = runtime.GOMAXPROCS(0)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(sideBySide, run.threads))
	run.threads = max(1, run.threads/sideBySide)
	bases := make(map[scheme]func() (*ptq.Job, error))
	all := make([]measured, len(options))
	for i, o := range options {
		balanced := f.equalizedFor(o)
		if bases[balanced] == nil {
			bases[balanced] = sync.OnceValues(func() (*ptq.Job, error) { return f.newBase(ctx, g, calib, balanced) })
		}
		calibrated := bases[balanced]
		group.Go(func() error {
			base, err := calibrated()
			if err != nil {
				return err
			}
			all[i], err = measureFork(ctx, base, g, sample, o, run)
			done()
			return err
		})
	}
	return all, group.Wait()
}

// scheme is what channels are balanced for; the zero value if they are not.
type scheme struct {
	perChannel          bool
	weightBits, actBits int
}

// equalizedFor returns what channels are balanced for by o:
// statistics in a file are of the network as it is.
func (f *quantizeFlags) equalizedFor(o option.Set) scheme {
	if !o.Equalize || f.stats != "" {
		return scheme{}
	}
	return scheme{o.PerChannel, o.WeightBits, o.ActBits}
}

// newBase returns what networks quantized by several options have in common: the float network, balanced for
// a scheme if it is not zero, and the statistics of its tensors.
func (f *quantizeFlags) newBase(ctx context.Context, g *graph.Graph, calib dataset.Source, s scheme) (*ptq.Job, error) {
	opts := []ptq.Option{ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads), ptq.WithEqualize(s != scheme{})}
	if s != (scheme{}) {
		opts = append(opts, ptq.WithPerChannel(s.perChannel), ptq.WithBits(s.weightBits, s.actBits))
	}
	if f.stats != "" {
		stats, err := readStatistics(f.stats)
		if err != nil {
			return nil, err
		}
		opts = append(opts, ptq.WithStatistics(stats))
	}
	job, err := ptq.NewJob(g, calib, opts...)
	if err != nil {
		return nil, err
	}
	return job, job.Calibrate(ctx)
}

// measureFork quantizes the base by o and compares the result with the float network g.
func measureFork(ctx context.Context, base *ptq.Job, g *graph.Graph, sample dataset.Source, o option.Set, run runFlags) (measured, error) {
	opts, err := chosen(&o)
	if err != nil {
		return measured{}, err
	}
	job, err := base.Fork(append(opts, ptq.WithMeasure(false), ptq.WithBatch(run.batch), ptq.WithThreads(run.threads))...)
	if err != nil {
		return measured{}, err
	}
	if err := job.Run(ctx); err != nil {
		return measured{}, err
	}
	q, err := job.Result()
	if err != nil {
		return measured{}, err
	}
	return measure(ctx, g, q.Graph, sample, run)
}
