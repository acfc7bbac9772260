package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

// evalResult is what `narrow eval --json` prints. Percentages are 0..100.
type evalResult struct {
	Top1            *float64 `json:"top1,omitempty"`
	Agreement       *float64 `json:"agreement,omitempty"`
	SQNR            *float64 `json:"sqnr_db,omitempty"` // absent if the outputs are identical
	Identical       bool     `json:"identical,omitempty"`
	Safe            *bool    `json:"saturation_safe,omitempty"` // of a network with 8-bit weights
	ImagesPerSecond float64  `json:"images_per_second"`
	Count           int      `json:"count"`
	Seconds         float64  `json:"seconds"`
	PeakRSS         int64    `json:"peak_rss_bytes"`
}

type evalFlags struct {
	data    dataFlags
	run     runFlags
	labels  string
	against string

	saturating bool
	json       bool
}

func newEval() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval MODEL.onnx --data X.npy [--labels Y.npy] [--against FP32.onnx]",
		Short: "Measure a network: top-1, agreement and SQNR against a reference, speed, memory",
		Long: `Runs a network (fp32, or quantized by any tool) on data. --labels gives top-1, --against the agreement of
the classes and the SQNR (signal to quantization noise, over all outputs) with another network.

` + dataHelp,
		Example: `  narrow eval int8.onnx --data test_x.npy --labels test_y.npy --against model.onnx --scale 1/255`,
		Args:    exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "data"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "data", "inputs to run; may be repeated (`PATH`)") })
	cmd.Flags().StringVar(&f.labels, "labels", "", "the class of each input, a .npy of whole numbers (`PATH`)")
	cmd.Flags().StringVar(&f.against, "against", "", "network to compare the outputs with (`MODEL`)")
	cmd.Flags().BoolVar(&f.saturating, "saturating", false, "compute what a processor makes of the network that adds two products in 16 bits (x86 without VNNI, in ONNX Runtime or OpenVINO)")
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	inGroup(cmd, "Running", func() { f.run.registerEngine(cmd) })
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *evalFlags) execute(cmd *cobra.Command, path string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	net, source, safe, err := f.open(cmd, path)
	if err != nil {
		return err
	}
	e := evaluation{net: net, source: separated(cmd, net, source), batch: f.run.batch}
	if f.labels != "" {
		if e.labels, err = readLabels(f.labels, source); err != nil {
			return err
		}
	}
	if f.against != "" {
		g, err := onnx.ReadFile(f.against)
		if err != nil {
			return err
		}
		if e.reference, err = engine.Compile(g, engine.WithThreads(f.run.threads), engine.WithFloat()); err != nil {
			return fmt.Errorf("%s: %w", f.against, err)
		}
	}
	bar := newProgress(cmd.ErrOrStderr(), f.json, source.Len(), "evaluating")
	e.progress = func(n int) { bar.Add(n) }
	score, err := e.run(cmd.Context())
	bar.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := score.result()
	r.Safe = safe
	if f.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return r.table().write(cmd.OutOrStdout())
}

// open compiles the network at path, opens the data for it and tells whether it is saturation-safe.
func (f *evalFlags) open(cmd *cobra.Command, path string) (*engine.Net, *dataset.Set, *bool, error) {
	g, err := onnx.ReadFile(path)
	if err != nil {
		return nil, nil, nil, err
	}
	options, err := f.run.options()
	if err != nil {
		return nil, nil, nil, err
	}
	source, err := f.data.open(g)
	if err != nil {
		return nil, nil, nil, err
	}
	pairs, err := graph.Saturation(g)
	if err == nil && f.saturating {
		var unknown []string
		if g, unknown, err = ptq.Saturating(g); len(unknown) > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "narrow: it is not known what %s lose by saturation: they are computed exactly\n", strings.Join(unknown, ", "))
		}
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	net, err := engine.Compile(g, options...)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return net, source, saturationSafe(pairs), nil
}

// readLabels reads one label for each input of source.
func readLabels(path string, source *dataset.Set) ([]int, error) {
	labels, err := dataset.ReadLabels(path)
	if err != nil {
		return nil, err
	}
	if len(labels) != source.Total() {
		return nil, fmt.Errorf("%s: %d labels for %d inputs: give the labels of these inputs", path, len(labels), source.Total())
	}
	return labels, nil
}

// evaluation runs a network over a source.
type evaluation struct {
	net       *engine.Net
	reference *engine.Net // nil for none
	source    dataset.Source
	labels    []int // nil for none
	batch     int
	progress  func(n int)
}

func (e *evaluation) run(ctx context.Context) (*score, error) {
	s := &score{labelled: e.labels != nil, compared: e.reference != nil}
	for inputs, err := range e.source.Batches(e.batch) {
		if err != nil {
			return nil, err
		}
		start := time.Now()
		outputs, err := e.net.Run(ctx, inputs...)
		s.elapsed += time.Since(start)
		if err != nil {
			return nil, err
		}
		n := dataset.Count(e.source, inputs)
		if s.compared {
			want, err := e.reference.Run(ctx, inputs...)
			if err != nil {
				return nil, fmt.Errorf("reference: %w", err)
			}
			if err := s.compare(inputs[0], n, outputs, want); err != nil {
				return nil, err
			}
		}
		if s.labelled {
			if err := s.check(outputs, e.labels[s.count:s.count+n]); err != nil {
				return nil, err
			}
		}
		s.count += n
		if e.progress != nil {
			e.progress(n)
		}
	}
	return s, nil
}
