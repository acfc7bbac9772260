package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/report"
)

// reportInputs is how many calibration inputs a report measures on.
const reportInputs = 100

// measured is how a quantized network compares with its fp32 form.
type measured struct {
	sqnr, agreement float64 // dB, +Inf if identical; percent, NaN if the network is no classifier
	count           int
}

func measure(ctx context.Context, g, quantized *graph.Graph, source dataset.Source, run runFlags) (measured, error) {
	net, err := engine.Compile(quantized, engine.WithThreads(run.threads))
	if err != nil {
		return measured{}, err
	}
	reference, err := engine.Compile(g, engine.WithThreads(run.threads))
	if err != nil {
		return measured{}, err
	}
	e := evaluation{net: net, reference: reference, source: source, batch: run.batch}
	s, err := e.run(ctx)
	if err != nil {
		return measured{}, err
	}
	m := measured{s.sqnr(), math.NaN(), s.count}
	if s.classes {
		m.agreement = *s.percent(s.agreeing)
	}
	return m, nil
}

// writeReport measures q, how it came about and what other choices would have given, and
// writes the report.
func (f *quantizeFlags) writeReport(cmd *cobra.Command, path string, g *graph.Graph, q *ptq.Result, r quantizeResult) error {
	calib, err := f.data.open(g)
	if err != nil {
		return err
	}
	few := f.data
	if few.limit = reportInputs; f.data.limit > 0 {
		few.limit = min(reportInputs, f.data.limit)
	}
	sample, err := few.open(g)
	if err != nil {
		return err
	}
	m, err := measure(cmd.Context(), g, q.Graph, sample, f.run)
	if err != nil {
		return err
	}
	p := report.Page{
		Model: filepath.Base(path), Output: filepath.Base(r.Output), ModelSize: fileSize(path), OutputSize: fileSize(r.Output),
		Inputs: calib.Len(), Seconds: r.Seconds, PeakRSS: r.PeakRSS,
		Measured: m.count, SQNR: m.sqnr, Agreement: m.agreement, Result: &q.Report,
		Version: moduleVersion(), Tier: asm.Active().String(),
		Rerun: commandLine(cmd, path),
	}
	if info, err := inspect(g); err == nil {
		p.IntegerMACs = info.Integer
	}
	new(option.Set).Flags().VisitAll(func(o *pflag.Flag) {
		value := cmd.Flag(o.Name).Value.String()
		if value == "[]" {
			value = "none"
		}
		p.Options = append(p.Options, report.Option{Name: "--" + o.Name, Value: value})
	})
	if err := f.tryOthers(cmd, g, calib, sample, &p); err != nil {
		return err
	}
	return writeOutput(cmd, f.report, func(w io.Writer) error { return report.WriteHTML(w, p) })
}

// tryOthers fills in what the pipeline's steps and other choices give.
func (f *quantizeFlags) tryOthers(cmd *cobra.Command, g *graph.Graph, calib, sample dataset.Source, p *report.Page) error {
	steps, before := f.steps()
	names, changed := variantsOf(f.options)
	if f.stats != "" { // then channels are never equalized
		names, changed = withoutEqualize(names, changed, f.options.Equalize)
	}
	bar := newProgress(cmd.ErrOrStderr(), f.json, len(before)+len(changed), "trying other choices")
	defer bar.Finish()
	all, err := f.measureAll(cmd.Context(), g, calib, sample, append(before, changed...), func() { bar.Add(1) })
	if err != nil {
		return err
	}
	for i, s := range steps {
		m := measured{sqnr: p.SQNR, agreement: p.Agreement} // the last is the network that was written
		if i < len(before) {
			m = all[i]
		}
		p.Steps = append(p.Steps, report.Step{Name: s.flag, What: s.what, SQNR: m.sqnr, Agreement: m.agreement})
	}
	for i, m := range all[len(before):] {
		p.Variants = append(p.Variants, report.Variant{Name: names[i], SQNR: m.sqnr, Agreement: m.agreement})
	}
	return nil
}

// withoutEqualize returns the variants that do not differ in equalization.
func withoutEqualize(names []string, changed []option.Set, equalize bool) (keptNames []string, kept []option.Set) {
	for i, o := range changed {
		if o.Equalize == equalize {
			keptNames, kept = append(keptNames, names[i]), append(kept, o)
		}
	}
	return keptNames, kept
}

// steps returns the steps that lead to the network that was written, and the options of
// all but the last: those of networks that are yet to be built. A network without rounding
// has no steps: each would be exact.
func (f *quantizeFlags) steps() (steps []step, before []option.Set) {
	if f.options.NoRound {
		return nil, nil
	}
	o := f.options
	if f.stats != "" {
		o.Equalize = false // statistics are of the network as it is
	}
	steps, before = stepsOf(o)
	return steps, before[:len(before)-1]
}

// commandLine returns the line that does the same again.
func commandLine(cmd *cobra.Command, args ...string) string {
	words := append([]string{cmd.CommandPath()}, args...)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, v := range values {
			words = append(words, fmt.Sprintf("--%s=%s", f.Name, v))
		}
	})
	return strings.Join(words, " ")
}

// fileSize returns the size of a file, 0 if it is not there.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
