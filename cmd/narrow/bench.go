package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/asm"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// benchResult is what `narrow bench --json` prints.
type benchResult struct {
	Batch           int         `json:"batch"`
	Threads         int         `json:"threads"`
	Runs            int         `json:"runs"`
	Latency         latency     `json:"latency_ms"`
	ImagesPerSecond float64     `json:"images_per_second"`
	GOPS            float64     `json:"gops"`             // of the whole network
	PeakFloat       float64     `json:"peak_float_gops"`  // of one core, or of the quickest step if that is more; 0 if not known
	PeakInteger     float64     `json:"peak_int8_gops"`   // likewise
	Activations     int         `json:"activation_bytes"` // for each thread
	PeakRSS         int64       `json:"peak_rss_bytes"`
	Steps           []benchStep `json:"steps"`
}

// latency has percentiles of the time of a run.
type latency struct {
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// benchStep is one step of the plan.
type benchStep struct {
	Name         string   `json:"name"`
	Nodes        []string `json:"nodes,omitempty"`
	Kind         string   `json:"kind"` // integer, float or move
	Why          string   `json:"why,omitempty"`
	Microseconds float64  `json:"us"`    // for one input
	Share        float64  `json:"share"` // percent of the time
	GOPS         float64  `json:"gops"`
	OfPeak       float64  `json:"of_peak"` // percent of what one core can do; at most 100
}

type benchFlags struct {
	run     runFlags
	seconds float64
	json    bool
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench MODEL.onnx",
		Short: "Time a network: latency, images/s, the time of every node, memory",
		Long: `Runs a network (fp32, or quantized by any tool) on random numbers for some seconds and prints percentiles of the
time of a run, then, from further runs on one thread with a clock on every step, where the time goes: the share
of each step, its arithmetic operations a second, and how much that is of the most a core can do.`,
		Example: `  narrow bench int8.onnx --batch 1 --threads 1`,
		Args:    exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.execute(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&f.run.batch, "batch", 1, "inputs of one run")
	cmd.Flags().IntVar(&f.run.threads, "threads", 0, "goroutines to use, by default one for each processor")
	cmd.Flags().Float64Var(&f.seconds, "seconds", 2, "how long to measure")
	inGroup(cmd, "Running", func() { f.run.registerEngine(cmd) })
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *benchFlags) execute(ctx context.Context, path string) (*benchResult, error) {
	if err := f.run.check(); err != nil {
		return nil, err
	}
	if !(f.seconds > 0) {
		return nil, usagef("--seconds %v: it is a time above 0", f.seconds)
	}
	options, err := f.run.options()
	if err != nil {
		return nil, err
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	inputs, err := randomInputs(g, f.run.batch)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &benchResult{Batch: inputs[0].Shape()[0]}
	if err := r.measure(ctx, g, inputs, options, f.seconds); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := r.profile(ctx, g, inputs, options, f.seconds/2); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.PeakRSS = peakRSS()
	return r, nil
}

// randomInputs makes inputs of the given batch, or of that which the file fixes.
func randomInputs(g *graph.Graph, batch int) ([]*tensor.Tensor, error) {
	if len(g.Inputs) == 0 {
		return nil, fmt.Errorf("the network has no input")
	}
	random := rand.New(rand.NewPCG(1, 2))
	inputs := make([]*tensor.Tensor, len(g.Inputs))
	for i, v := range g.Inputs {
		if !v.Type.Known || len(v.Type.Shape) == 0 {
			return nil, fmt.Errorf("input %q: the file does not say its shape", v.Name)
		}
		shape := slices.Clone(v.Type.Shape)
		if shape[0] < 0 {
			shape[0] = batch
		}
		if d := slices.IndexFunc(shape, func(d int) bool { return d < 0 }); d >= 0 {
			return nil, fmt.Errorf("input %q: dimension %d is free: export the network with a fixed size", v.Name, d)
		}
		inputs[i] = tensor.New(v.Type.DType, shape...)
		if v.Type.DType == tensor.Float32 {
			for j := range inputs[i].Len() {
				inputs[i].F32()[j] = random.Float32()
			}
		}
	}
	return inputs, nil
}

// runFor runs net again and again and returns the time of each run, without the first few.
func runFor(ctx context.Context, net *engine.Net, inputs []*tensor.Tensor, seconds float64) ([]time.Duration, error) {
	outputs, err := net.Run(ctx, inputs...)
	if err != nil {
		return nil, err
	}
	fixed := net.RunInto(ctx, outputs, inputs) == nil // else the shape of an output depends on the data
	var times []time.Duration
	warm := time.Now().Add(time.Duration(seconds * float64(time.Second) / 10))
	end := warm.Add(time.Duration(seconds * float64(time.Second)))
	for start := time.Now(); start.Before(end) || len(times) == 0; {
		if fixed {
			err = net.RunInto(ctx, outputs, inputs)
		} else {
			_, err = net.Run(ctx, inputs...)
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if now.After(warm) {
			times = append(times, now.Sub(start))
		}
		start = now
	}
	return times, nil
}

// measure fills in latency and throughput.
func (r *benchResult) measure(ctx context.Context, g *graph.Graph, inputs []*tensor.Tensor, options []engine.Option, seconds float64) error {
	net, err := engine.Compile(g, options...)
	if err != nil {
		return err
	}
	times, err := runFor(ctx, net, inputs, seconds)
	if err != nil {
		return err
	}
	var total time.Duration
	for _, t := range times {
		total += t
	}
	slices.Sort(times)
	at := func(p float64) float64 { return milliseconds(times[int(p*float64(len(times)-1))]) }
	r.Threads, r.Runs = net.Threads(), len(times)
	r.Latency = latency{at(0), at(0.5), at(0.9), at(0.99)}
	r.ImagesPerSecond = float64(len(times)*r.Batch) / total.Seconds()
	r.Activations, err = net.ActivationBytes()
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// profile fills in the steps.
func (r *benchResult) profile(ctx context.Context, g *graph.Graph, inputs []*tensor.Tensor, options []engine.Option, seconds float64) error {
	net, err := engine.Compile(g, append(slices.Clone(options), engine.WithThreads(1), engine.WithProfile())...)
	if err != nil {
		return err
	}
	times, err := runFor(ctx, net, inputs, seconds)
	if err != nil {
		return err
	}
	steps, err := net.Steps()
	if err != nil {
		return err
	}
	peakFloat, peakInteger := asm.Peak()
	r.PeakFloat, r.PeakInteger = peakFloat/1e9, peakInteger/1e9
	var total time.Duration
	operations := 0
	for _, s := range steps {
		total += s.Time
		operations += s.Ops
	}
	slices.Sort(times)
	perInput := float64(times[len(times)/2]) / float64(r.Batch) // nanoseconds, by the median run
	r.GOPS = float64(operations) * r.ImagesPerSecond / 1e9
	for _, s := range steps {
		r.Steps = append(r.Steps, r.step(s, perInput*float64(s.Time)/float64(max(total, 1)), float64(s.Time)/float64(max(total, 1))))
	}
	r.shares()
	return nil
}

// shares fills in how near each step comes to what one core can do. Operations are counted as plain sums of products; a step
// that does with fewer (F(2x2, 3x3)), and is quicker by them than the peak, shows that more can be done: then it is the peak.
func (r *benchResult) shares() {
	for _, s := range r.Steps {
		peak := r.peak(s.Kind)
		*peak = max(*peak, s.GOPS)
	}
	for i := range r.Steps {
		if peak := *r.peak(r.Steps[i].Kind); peak > 0 {
			r.Steps[i].OfPeak = 100 * r.Steps[i].GOPS / peak
		}
	}
}

// peak is what one core can do in steps of a kind.
func (r *benchResult) peak(kind string) *float64 {
	if kind == string(engine.Integer) {
		return &r.PeakInteger
	}
	return &r.PeakFloat
}

// step describes a step that takes so many nanoseconds for an input.
func (r *benchResult) step(s engine.StepInfo, ns, share float64) benchStep {
	b := benchStep{Name: s.Name, Kind: string(s.Kind), Why: s.Why, Microseconds: ns / 1e3, Share: 100 * share}
	for _, n := range s.Nodes {
		b.Nodes = append(b.Nodes, cmp.Or(n.Name, n.Op))
	}
	if ns > 0 {
		b.GOPS = float64(s.Ops) / ns
	}
	return b
}

func (r *benchResult) print(w io.Writer) error {
	t := &table{}
	t.add("STEP", "FIRST NODE", "KIND", "us/input", "SHARE", "GOP/s", "OF PEAK")
	for _, s := range r.Steps {
		first := ""
		if len(s.Nodes) > 0 {
			first = shorten(s.Nodes[0], 32)
		}
		kind := s.Kind
		if s.Why != "" {
			kind += ": " + s.Why
		}
		t.add(shorten(s.Name, 48), first, kind, fmt.Sprintf("%.1f", s.Microseconds), fmt.Sprintf("%.1f %%", s.Share),
			fmt.Sprintf("%.1f", s.GOPS), fmt.Sprintf("%.0f %%", s.OfPeak))
	}
	if err := t.write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	summary := &table{}
	summary.add("latency", fmt.Sprintf("min %.3f, median %.3f, 90 %% %.3f, 99 %% %.3f ms", r.Latency.Min, r.Latency.P50, r.Latency.P90, r.Latency.P99))
	summary.add("speed", fmt.Sprintf("%.0f inputs/s, batch %d, %d threads, %d runs", r.ImagesPerSecond, r.Batch, r.Threads, r.Runs))
	summary.add("arithmetic", fmt.Sprintf("%.1f GOP/s; one core can do %.0f in float, %.0f on bytes", r.GOPS, r.PeakFloat, r.PeakInteger))
	summary.add("memory", fmt.Sprintf("%s; activations %s a thread", bytesText(r.PeakRSS), bytesText(int64(r.Activations))))
	return summary.write(w)
}
