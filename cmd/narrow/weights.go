package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

// weightFlags are those of `narrow quantize --weights-only`.
type weightFlags struct {
	only      bool
	dynamic   bool
	ranges    string
	block     string
	symmetric bool
	scales    string
	accuracy  int
}

// weightsResult is what `narrow quantize --weights-only --json` prints.
type weightsResult struct {
	Output      string   `json:"output"`
	Quantized   int      `json:"weights_quantized"`
	Float       int      `json:"weights_float"`
	WeightSQNR  *float64 `json:"weight_sqnr_db,omitempty"` // absent if nothing was lost
	Compensated int      `json:"weights_compensated"`      // rounded by what they meet, with --calib
	SQNR        *float64 `json:"sqnr_db,omitempty"`        // of the outputs, on inputs held back, with --calib
	Measured    int      `json:"measured_inputs,omitempty"`
	Bytes       int64    `json:"bytes"`
	Seconds     float64  `json:"seconds"`
	PeakRSS     int64    `json:"peak_rss_bytes"`
}

func (w *weightFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&w.only, "weights-only", false, "quantize the weights alone, without any data: activations stay in float (--weight-bits 8, 4, 3 or 2; --format qdq or matmulnbits)")
	f.BoolVar(&w.dynamic, "dynamic", false, "8-bit weights, and activations quantized when the network runs, each by its own range: no data is needed")
	f.StringVar(&w.ranges, "ranges", "row", "with --dynamic: `WHAT` has a magnitude of its own: row (of products of matrices; closer) or tensor (faster)")
	f.StringVar(&w.block, "block", "channel", "with --weights-only: how many neighbouring weights of a sum share a scale: `N` is a power of two from 16 up, or channel")
	f.BoolVar(&w.symmetric, "symmetric", false, "with --weights-only: no zero points")
	f.StringVar(&w.scales, "scales", "mse", "with --weights-only: `RULE` is mse (searched for the least squared error) or nearest (from the range)")
	f.IntVar(&w.accuracy, "accuracy-level", 0, "with --weights-only --format matmulnbits: `LEVEL` of ONNX Runtime's products; 4 computes on 8-bit activations")
}

// options translates the flags, some of which belong to all of narrow quantize.
func (w *weightFlags) options(o *option.Set, threads int) (ptq.WeightOptions, error) {
	options := ptq.WeightOptions{Bits: o.WeightBits, Symmetric: w.symmetric, Form: ptq.WeightForm(o.Format),
		Accuracy: w.accuracy, Exclude: o.Exclude, Threads: threads}
	if w.block != "channel" {
		n, err := strconv.Atoi(w.block)
		if err != nil || n <= 0 {
			return options, usagef("--block %s: it is a number of weights or channel", w.block)
		}
		options.Block = n
	}
	switch w.scales {
	case "mse":
	case "nearest":
		options.Nearest = true
	default:
		return options, usagef("--scales %s: it is mse or nearest", w.scales)
	}
	if options.Form != ptq.WeightsQDQ && options.Form != ptq.WeightsNBits {
		return options, usagef("--format %s: weights alone are written as qdq or matmulnbits", o.Format)
	}
	return options, nil
}

// quantizer returns what the flags ask for.
func (w *weightFlags) quantizer(o *option.Set, threads int) (func(context.Context, *graph.Graph, dataset.Source) (*ptq.WeightsResult, error), error) {
	if !w.dynamic {
		options, err := w.options(o, threads)
		return func(ctx context.Context, g *graph.Graph, data dataset.Source) (*ptq.WeightsResult, error) {
			options.Data = data
			return ptq.QuantizeWeights(ctx, g, options)
		}, err
	}
	if w.only || o.WeightBits != 8 || o.Format != "qdq" {
		return nil, usagef("--dynamic has 8-bit weights in a form of its own: leave --weights-only, --weight-bits and --format away")
	}
	if w.ranges != "row" && w.ranges != "tensor" {
		return nil, usagef("--ranges %s: it is row or tensor", w.ranges)
	}
	options := ptq.DynamicOptions{Rows: w.ranges == "row", Exclude: o.Exclude, Safe: o.Safe, Threads: threads}
	return func(ctx context.Context, g *graph.Graph, _ dataset.Source) (*ptq.WeightsResult, error) {
		return ptq.QuantizeDynamic(ctx, g, options)
	}, nil
}

// without reports whether what is asked for needs no data.
func (w *weightFlags) without() bool { return w.only || w.dynamic }

// execute quantizes the weights of the network at path.
func (w *weightFlags) execute(cmd *cobra.Command, path string, f *quantizeFlags) error {
	start := time.Now()
	if err := f.run.check(); err != nil {
		return err
	}
	quantize, err := w.quantizer(&f.options, f.run.threads)
	if err != nil {
		return err
	}
	if w.dynamic && len(f.data.paths) > 0 {
		return usagef("--dynamic looks at no data: leave --calib away")
	}
	if f.stats != "" || f.report != "" {
		return usagef("--weights-only and --dynamic look at no ranges: leave --stats and --report away")
	}
	if err := checkOutputs([]string{f.output}, append(f.data.files(), path)...); err != nil {
		return err
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	var data dataset.Source
	if len(f.data.paths) > 0 {
		if data, err = f.data.open(g); err != nil {
			return err
		}
	}
	q, err := quantize(cmd.Context(), g, data)
	if err == nil {
		err = checkFor(q.Graph, f.options.For)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeNetwork(cmd, f.output, q.Graph); err != nil {
		return err
	}
	r := weightsResult{Output: f.output, Quantized: q.Quantized, Float: len(q.Float), Bytes: fileSize(f.output), Seconds: time.Since(start).Seconds(), PeakRSS: peakRSS()}
	if !math.IsInf(q.SQNR, 0) {
		r.WeightSQNR = &q.SQNR
	}
	if m := q.Measured; m != nil {
		r.Compensated, r.Measured = q.Compensated, m.Inputs
		if !math.IsInf(m.Least, 0) {
			r.SQNR = &m.Least
		}
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd, path, q)
}

// print says for people what was made of the network at path.
func (r *weightsResult) print(cmd *cobra.Command, path string, q *ptq.WeightsResult) error {
	t := &table{}
	t.add("written", r.Output)
	t.add("weights", fmt.Sprintf("%d tensors on integers, %d in float", r.Quantized, r.Float))
	if q.Measured != nil {
		t.add("compensated", fmt.Sprintf("%d tensors", q.Compensated))
		addQuality(t, q.Measured)
	}
	t.add("size", fmt.Sprintf("%s, from %s", bytesText(r.Bytes), bytesText(fileSize(path))))
	t.add("time", fmt.Sprintf("%.2f s", r.Seconds))
	t.add("memory", bytesText(r.PeakRSS))
	return t.write(cmd.OutOrStdout())
}
