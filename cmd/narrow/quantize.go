package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/report"
)

// quantizeResult is what `narrow quantize --json` prints.
type quantizeResult struct {
	Output string `json:"output"`
	report.Summary
	Report  string  `json:"report,omitempty"`
	Seconds float64 `json:"seconds"` // with the report's
	PeakRSS int64   `json:"peak_rss_bytes"`
}

type quantizeFlags struct {
	data    dataFlags
	run     runFlags
	options option.Set
	weights weightFlags
	output  string
	stats   string
	report  string
	test    []string
	maxDrop float64
	labels  string
	json    bool
}

func newQuantize() *cobra.Command {
	var f quantizeFlags
	cmd := &cobra.Command{
		Use:   "quantize MODEL.onnx --calib X.npy -o OUT.onnx",
		Short: "Quantize a network with a few hundred of its inputs",
		Long: `Runs the fp32 network once over the calibration inputs, chooses ranges and scales, and writes the quantized
network as plain ONNX (QuantizeLinear/DequantizeLinear). A few hundred inputs like those the network will
see are enough.

` + dataHelp,
		Example: `  narrow quantize resnet.onnx --calib x.npy --limit 500 --scale 1/255 -o int8.onnx
  narrow quantize resnet.onnx --calib pictures/ --preset imagenet -o int8.onnx
  narrow quantize decoder.onnx --weights-only --weight-bits 4 --block 32 -o int4.onnx`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.Seen(cmd.Flags())
			if f.stats == "" && !f.weights.without() {
				if err := required(cmd, "calib"); err != nil {
					return err
				}
			}
			if err := required(cmd, "output"); err != nil {
				return err
			}
			if f.weights.without() {
				return f.weights.execute(cmd, args[0], &f)
			}
			return f.execute(cmd, args[0])
		},
	}
	cmd.Flags().StringVar(&f.stats, "stats", "", "take the ranges from this file of narrow calibrate; without --calib, weights are then rounded to nearest (`PATH`)")
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "calib", "calibration inputs; may be repeated (`PATH`)") })
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the file to write, - for standard output (`PATH`)")
	cmd.Flags().StringVar(&f.report, "report", "", "also write a report for people: an HTML file (`PATH`)")
	cmd.Flags().StringArrayVar(&f.test, "test", nil, "inputs for the report that are not calibrated on, prepared alike; may be repeated (`PATH`)")
	cmd.Flags().StringVar(&f.labels, "labels", "", "for the report, the class of each --test input (without --test, of each calibration input), a .npy of whole numbers (`PATH`)")
	cmd.Flags().Float64Var(&f.maxDrop, "max-drop", -1, "choose as --target does, until at most so many `POINTS` are lost of the percentage of --calib inputs whose class is that of --labels (negative: not asked for)")
	inGroup(cmd, "Quantization", func() { cmd.Flags().AddFlagSet(f.options.Flags()) })
	completeOptions(cmd)
	inGroup(cmd, "Weights alone", func() { f.weights.register(cmd) })
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *quantizeFlags) execute(cmd *cobra.Command, path string) error {
	start := time.Now()
	if err := f.run.check(); err != nil {
		return err
	}
	opts, err := chosen(&f.options)
	if err != nil {
		return err
	}
	if err := f.checkFiles(path); err != nil {
		return err
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	set, calib, err := f.calibration(cmd, g)
	if err != nil {
		return err
	}
	count := 0
	if set != nil {
		count = set.Len()
	}
	files, err := f.fileOptions(set)
	if err != nil {
		return err
	}
	opts = append(opts, files...)
	bar := newProgress(cmd.ErrOrStderr(), f.json, count, "")
	stage := func(step string, number, of int) { bar.Describe(fmt.Sprintf("%d/%d %s", number, of, step)) }
	opts = append(opts, ptq.WithStage(stage), ptq.WithWeightReports(f.report != ""), ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads),
		ptq.WithProgress(func(done int) { bar.Set(done) }))
	q, err := ptq.Quantize(cmd.Context(), g, calib, opts...)
	bar.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if set != nil {
		record(q.Graph, set)
	}
	if err := writeNetwork(cmd, f.output, q.Graph); err != nil {
		return err
	}
	warn(cmd, path, q)
	r := quantizeResult{f.output, report.Summarize(q), f.report, time.Since(start).Seconds(), peakRSS()}
	if f.report != "" {
		if err := f.writeReport(cmd, path, g, q, r); err != nil {
			return fmt.Errorf("%s: report: %w", path, err)
		}
		r.Seconds, r.PeakRSS = time.Since(start).Seconds(), peakRSS()
	}
	w := messages(cmd, f.output, f.report)
	if f.json {
		return printJSON(w, r)
	}
	return printQuantized(w, path, r, q)
}

// fileOptions reads what options are made of: labels and statistics.
func (f *quantizeFlags) fileOptions(set *dataset.Set) (opts []ptq.Option, err error) {
	if f.maxDrop >= 0 {
		labels, err := readLabels(f.labels, set)
		if err != nil {
			return nil, err
		}
		opts = append(opts, ptq.WithMaxDrop(f.maxDrop, labels))
	}
	if f.stats != "" {
		s, err := readStatistics(f.stats)
		if err != nil {
			return nil, err
		}
		opts = append(opts, ptq.WithStatistics(s))
	}
	return opts, nil
}

// checkFiles checks what is said of files, before any is read.
func (f *quantizeFlags) checkFiles(path string) error {
	if f.report == "" && (len(f.test) > 0 || f.labels != "" && f.maxDrop < 0) {
		return usagef("--test and --labels are for the report: say where to write it by --report")
	}
	if f.maxDrop >= 0 && (f.labels == "" || len(f.data.paths) == 0 || len(f.test) > 0) {
		return usagef("--max-drop needs --calib and --labels of these inputs, without --test")
	}
	if f.report != "" && len(f.data.paths) == 0 {
		return usagef("--report needs --calib: it shows what the network does on inputs")
	}
	return checkOutputs([]string{f.output, f.report}, slices.Concat(f.data.files(), f.test, []string{path, f.stats, f.labels})...)
}

// calibration opens the data for g; both are nil if there is none.
func (f *quantizeFlags) calibration(cmd *cobra.Command, g *graph.Graph) (*dataset.Set, dataset.Source, error) {
	if len(f.data.paths) == 0 {
		return nil, nil, nil
	}
	set, err := f.data.open(g)
	if err != nil {
		return nil, nil, err
	}
	if net, err := engine.Compile(g); err == nil {
		separated(cmd, net, set) // what is said holds for calibration too
	}
	return set, set, nil
}

// writeNetwork writes a network to a file, with its weights beside it if they are large, or whole to standard output.
func writeNetwork(cmd *cobra.Command, path string, g *graph.Graph) error {
	if path != stdoutPath {
		return onnx.WriteFile(path, g)
	}
	return writeOutput(cmd, path, func(w io.Writer) error { return onnx.Write(w, g) })
}

func printQuantized(w io.Writer, path string, r quantizeResult, q *ptq.Result) error {
	t := &table{}
	t.add("written", r.Output)
	if r.Report != "" {
		t.add("report", r.Report)
	}
	t.add("nodes", fmt.Sprintf("%d on integers, %d in float", r.NodesQuantized, r.NodesFloat))
	t.add("size", fmt.Sprintf("%s, from %s", bytesText(fileSize(r.Output)), bytesText(fileSize(path))))
	if q.Target != nil {
		t.add("target", fmt.Sprintf("%s: %.1f %% of the MACs on integers", q.Target.Target, q.Target.Integer))
	}
	if q.Measured != nil {
		addQuality(t, q.Measured)
	}
	t.add("time", fmt.Sprintf("%.2f s", r.Seconds))
	t.add("memory", bytesText(r.PeakRSS))
	for _, name := range slices.Sorted(maps.Keys(q.Float)) {
		t.add("in float", fmt.Sprintf("%s: %s", shorten(name, 48), q.Float[name]))
	}
	return t.write(w)
}

// chosen returns what the flags of the choices mean.
func chosen(o *option.Set) ([]ptq.Option, error) {
	opts, err := o.Options()
	if err != nil {
		return nil, usageError{fmt.Errorf("--%w", err)}
	}
	return opts, nil
}
