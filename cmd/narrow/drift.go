package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

// errDrift makes the exit code 1.
var errDrift = errors.New("the inputs have left the ranges that were calibrated: calibrate anew on inputs like these")

// driftResult is what `narrow drift --json` prints.
type driftResult struct {
	Inputs  int         `json:"inputs"`  // new ones
	Drifted int         `json:"drifted"` // tensors over a threshold
	Tensors []ptq.Drift `json:"tensors"`
}

type driftCommand struct {
	data           dataFlags
	run            runFlags
	model          string
	outside, shift float64
	rows           int
	json           bool
}

func newDrift() *cobra.Command {
	var f driftCommand
	cmd := &cobra.Command{
		Use:   "drift STATS.nrw --model MODEL.onnx --data NEW.npy | drift STATS.nrw NEW.nrw",
		Short: "Tell whether inputs have left the ranges that a network was calibrated with",
		Long: `Compares what a network's tensors hold for new inputs with what they held when "narrow calibrate" wrote the statistics: the
share of values beyond the calibrated range, how far they reach, and how their root mean square has changed. The exit code is 1 if a
tensor is over a threshold. The new values are from data that the network is run on, or from statistics that "narrow calibrate" gathered
where the inputs are.

` + dataHelp,
		Example: `  narrow drift stats.nrw --model resnet.onnx --data today.npy
  narrow drift stats.nrw today.nrw --outside 0.01 --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (f.model != "" && len(f.data.paths) > 0) || len(args) == 2 && (f.model != "" || len(f.data.paths) > 0) {
				return usagef("drift compares STATS.nrw with other statistics, or with what --model makes of --data")
			}
			return f.execute(cmd, args)
		},
	}
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "data", "new inputs; may be repeated (`PATH`)") })
	cmd.Flags().StringVar(&f.model, "model", "", "the fp32 network that the statistics are of (`MODEL`)")
	cmd.Flags().Float64Var(&f.outside, "outside", 0.1, "most `PERCENT` of a tensor's values beyond its calibrated range")
	cmd.Flags().Float64Var(&f.shift, "shift", 1.5, "most `TIMES` that a tensor's root mean square may have grown or shrunk")
	cmd.Flags().IntVar(&f.rows, "rows", 10, "show the `N` tensors that are farthest, 0 for all")
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *driftCommand) execute(cmd *cobra.Command, args []string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	old, err := readStatistics(args[0])
	if err != nil {
		return err
	}
	now, err := f.now(cmd, args[1:], old)
	if err != nil {
		return err
	}
	if f.data.anyPreparation {
		now.Origins = nil
	}
	all, err := ptq.FindDrift(old, now)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	r := driftResult{Inputs: now.Inputs, Tensors: all}
	for _, d := range all {
		if f.drifted(d) {
			r.Drifted++
		}
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), r)
	} else {
		err = f.print(cmd.OutOrStdout(), r)
	}
	if err == nil && r.Drifted > 0 {
		err = fmt.Errorf("%s: %d of %d tensors: %w", filepath.Base(args[0]), r.Drifted, len(all), errDrift)
	}
	return err
}

// now returns the statistics of the new inputs.
func (f *driftCommand) now(cmd *cobra.Command, files []string, old *ptq.Statistics) (*ptq.Statistics, error) {
	if len(files) == 1 {
		return readStatistics(files[0])
	}
	g, err := onnx.ReadFile(f.model)
	if err != nil {
		return nil, err
	}
	if len(old.Origins) > 0 { // prepared as the inputs that were calibrated on, unless something else is said
		if g.Meta == nil {
			g.Meta = make(map[string]string)
		}
		g.Meta[preparationKey] = old.Origins[0].Preparation.String()
	}
	data, err := f.data.open(g)
	if err != nil {
		return nil, err
	}
	bar := newProgress(cmd.ErrOrStderr(), f.json, data.Len(), "looking at inputs")
	defer bar.Finish()
	s, err := ptq.Collect(cmd.Context(), g, data, nil, nil, ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads), ptq.WithProgress(func(done int) { bar.Set(done) }))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.model, err)
	}
	return s, nil
}

func (f *driftCommand) drifted(d ptq.Drift) bool { return d.Outside > f.outside || d.Shift() > f.shift }

func (f *driftCommand) print(w io.Writer, r driftResult) error {
	t := &table{}
	t.add("TENSOR", "OUTSIDE", "REACH", "RMS", "")
	shown := r.Tensors
	if f.rows > 0 {
		shown = shown[:min(len(shown), f.rows)]
	}
	for _, d := range shown {
		note := ""
		if f.drifted(d) {
			note = "drifted"
		}
		t.add(shorten(d.Name, 48), fmt.Sprintf("%.3f %%", d.Outside), ratioText(d.Reach), ratioText(d.RMS), note)
	}
	if err := t.write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d inputs; %d of %d tensors beyond %s outside or %s\n", r.Inputs, r.Drifted, len(r.Tensors),
		strings.TrimSpace(fmt.Sprintf("%g %%", f.outside)), ratioText(f.shift))
	return err
}

// ratioText writes a ratio for people.
func ratioText(v float64) string {
	if v >= 1e6 {
		return "from nothing"
	}
	return fmt.Sprintf("x %.2f", v)
}
