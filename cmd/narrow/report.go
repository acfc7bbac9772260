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
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/report"
)

// reportInputs is how many calibration inputs a report measures on.
const reportInputs = 100

// variant is a change of one choice.
type variant struct {
	name   string
	change func(*optionFlags)
}

// variants are the choices that reports and the demo compare.
var variants = []variant{
	{"--clip max", func(o *optionFlags) { o.clip = "max" }},
	{"--clip mse", func(o *optionFlags) { o.clip = "mse" }},
	{"--clip kl", func(o *optionFlags) { o.clip = "kl" }},
	{"--clip percentile:99.99", func(o *optionFlags) { o.clip = "percentile:99.99" }},
	{"--per-channel=false", func(o *optionFlags) { o.perChannel = false }},
	{"--signs=false", func(o *optionFlags) { o.signs = false }},
	{"--equalize=false", func(o *optionFlags) { o.equalize = false }},
	{"--compensate=false", func(o *optionFlags) { o.compensate = false }},
	{"--asymmetric", func(o *optionFlags) { o.asymmetric = true }},
	{"--shift", func(o *optionFlags) { o.shift = true }},
	{"--weight-bits 4", func(o *optionFlags) { o.weightBits = 4 }},
}

// variantsOf returns the variants that differ from o, each with its options.
func variantsOf(o optionFlags) (names []string, changed []optionFlags) {
	for _, v := range variants {
		c := o
		v.change(&c)
		if !sameOptions(c, o) {
			names, changed = append(names, v.name), append(changed, c)
		}
	}
	return names, changed
}

func sameOptions(a, b optionFlags) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

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

// writeReport measures q, and what other choices would have given, and writes
// the report.
func (f *quantizeFlags) writeReport(cmd *cobra.Command, path string, g *graph.Graph, q *ptq.Result, r quantizeResult) error {
	ctx := cmd.Context()
	calib, err := f.data.open(g)
	if err != nil {
		return err
	}
	few := f.data
	if few.limit = reportInputs; f.data.limit > 0 {
		few.limit = min(reportInputs, f.data.limit)
	}
	source, err := few.open(g)
	if err != nil {
		return err
	}
	m, err := measure(ctx, g, q.Graph, source, f.run)
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
	new(optionFlags).flags().VisitAll(func(o *pflag.Flag) {
		p.Options = append(p.Options, report.Option{Name: "--" + o.Name, Value: cmd.Flag(o.Name).Value.String()})
	})
	names, changed := variantsOf(f.options)
	for i, o := range changed {
		opts, err := o.options()
		if err != nil {
			return err
		}
		other, err := ptq.Quantize(ctx, g, calib, append(opts, ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads))...)
		if err != nil {
			return err
		}
		m, err := measure(ctx, g, other.Graph, source, f.run)
		if err != nil {
			return err
		}
		p.Variants = append(p.Variants, report.Variant{Name: names[i], SQNR: m.sqnr, Agreement: m.agreement})
	}
	return atomicfile.Write(f.report, func(w io.Writer) error { return report.WriteHTML(w, p) })
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
