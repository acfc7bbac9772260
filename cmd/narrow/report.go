package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

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
	p.Options = optionsOf(cmd)
	if p.Check, err = f.check(cmd, g, q.Graph, sample); err != nil {
		return err
	}
	if p.Network, err = f.network(cmd, path, g, q, sample); err != nil {
		return err
	}
	if q.Search != nil {
		for _, point := range q.Search.Front {
			p.Front = append(p.Front, report.Point{Point: point, Command: fmt.Sprintf("%s --target %.1fdB", p.Rerun, math.Floor(10*point.SQNR)/10)})
		}
	}
	p.LatencyFloat, p.Latency, p.Threads = latencies(cmd.Context(), g, q.Graph, f.run.threads)
	if p.Record, err = f.record(path, r, calib); err != nil {
		return err
	}
	others := *f
	others.options = f.settled(q)
	if err := others.tryOthers(cmd, g, calib, sample, &p); err != nil {
		return err
	}
	return writeOutput(cmd, f.report, func(w io.Writer) error { return report.WriteHTML(w, p) })
}

// settled returns the choices with what a search for a target found in place of the target, and nothing that fails.
func (f *quantizeFlags) settled(q *ptq.Result) option.Set {
	o := f.options
	o.Target, o.MinSQNR, o.MinAgreement = "", 0, 0
	if q.Search != nil {
		o.Exclude = slices.Concat(o.Exclude, q.Search.Left)
	}
	return o
}

// optionsOf returns the choices that were made.
func optionsOf(cmd *cobra.Command) []report.Option {
	var all []report.Option
	text := func(v string) string {
		if v == "[]" || v == "" {
			return "none"
		}
		return v
	}
	new(option.Set).Flags().VisitAll(func(o *pflag.Flag) {
		all = append(all, report.Option{Name: "--" + o.Name, Value: text(cmd.Flag(o.Name).Value.String()), Default: text(o.DefValue)})
	})
	return all
}

// latencySeconds is how long each network runs to be timed.
const latencySeconds = 0.3

// latencies returns the median time of one input in both forms of a network, in milliseconds, and on how many threads; zeros where
// the network cannot be run on random numbers.
func latencies(ctx context.Context, g, quantized *graph.Graph, threads int) (float, integer float64, on int) {
	var ms [2]float64
	for i, form := range []*graph.Graph{g, quantized} {
		inputs, err := randomInputs(form, 1)
		if err != nil {
			return 0, 0, 0
		}
		var r benchResult
		if err := r.measure(ctx, form, inputs, []engine.Option{engine.WithThreads(threads)}, latencySeconds); err != nil {
			return 0, 0, 0
		}
		ms[i], on = r.Latency.P50, r.Threads
	}
	return ms[0], ms[1], on
}

// record returns what tells this run from others.
func (f *quantizeFlags) record(path string, r quantizeResult, calib *dataset.Set) ([]report.Option, error) {
	record := []report.Option{{Name: "written", Value: time.Now().UTC().Format(time.RFC3339)}}
	for _, file := range []struct{ name, path string }{{"float network", path}, {"quantized network", r.Output}} {
		if file.path == stdoutPath {
			continue
		}
		hash, err := hashOf(file.path)
		if err != nil {
			return nil, err
		}
		record = append(record, report.Option{Name: file.name, Value: filepath.Base(file.path) + ", SHA-256 " + hash})
	}
	origin, err := calib.Origin()
	if err != nil {
		return nil, err
	}
	for _, file := range origin.Files {
		record = append(record, report.Option{Name: "calibrated on", Value: fmt.Sprintf("%s, %d bytes, SHA-256 %s…", file.Name, file.Size, file.Hash)})
	}
	return append(record, report.Option{Name: "inputs", Value: fmt.Sprint(origin.Inputs)}, report.Option{Name: "prepared", Value: origin.Preparation.String()},
		report.Option{Name: "narrow", Value: moduleVersion()}, report.Option{Name: "Go", Value: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}), nil
}

// hashOf returns the SHA-256 of a file.
func hashOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// tryOthers fills in what the pipeline's steps and other choices give.
func (f *quantizeFlags) tryOthers(cmd *cobra.Command, g *graph.Graph, calib, sample dataset.Source, p *report.Page) error {
	steps, before := f.steps()
	names, changed := variantsOf(f.options)
	if f.stats != "" { // then channels are never equalized
		names, changed = withoutEqualize(names, changed, f.options.Equalize)
	}
	names, changed = allowed(g, names, changed)
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
// has no steps: each would be exact; nor has one for a target, which takes none without the others.
func (f *quantizeFlags) steps() (steps []step, before []option.Set) {
	if f.options.NoRound || f.options.For != "" {
		return nil, nil
	}
	o := f.options
	if f.stats != "" {
		o.Equalize = false // statistics are of the network as it is
	}
	steps, before = stepsOf(o)
	return steps, before[:len(before)-1]
}

// allowed returns the variants that the target of --for allows.
func allowed(g *graph.Graph, names []string, changed []option.Set) (keptNames []string, kept []option.Set) {
	for i, o := range changed {
		if opts, err := o.Options(); err == nil {
			if _, err := ptq.NewPlan(g, opts...); !errors.Is(err, ptq.ErrContradiction) {
				keptNames, kept = append(keptNames, names[i]), append(kept, o)
			}
		}
	}
	return keptNames, kept
}

// commandLine returns the line that does the same again.
func commandLine(cmd *cobra.Command, args ...string) string {
	words := []string{cmd.CommandPath()}
	for _, a := range args {
		words = append(words, report.Quote(a))
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, v := range values {
			words = append(words, fmt.Sprintf("--%s=%s", f.Name, report.Quote(v)))
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
