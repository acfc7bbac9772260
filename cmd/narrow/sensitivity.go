package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

type sensitivityCommand struct {
	data    dataFlags
	run     runFlags
	options option.Set
	rows    int
	json    bool
}

func newSensitivity() *cobra.Command {
	var f sensitivityCommand
	cmd := &cobra.Command{
		Use:   "sensitivity MODEL.onnx --calib X.npy",
		Short: "Show what quantizing each tensor and each node's weights alone costs at the outputs",
		Long: `Calibrates the fp32 network and quantizes, one after the other, every group of tensors that share a scale and every
node's weights, and nothing else: what is lost at the outputs is what that costs. The most costly come first, each with the
nodes that would have to stay in float for it to go (narrow quantize --exclude).

` + dataHelp,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "calib"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	f.data.register(cmd, "calib", "calibration inputs; may be repeated (`PATH`)")
	cmd.Flags().IntVar(&f.rows, "rows", 0, "show only the first `N`")
	cmd.Flags().AddFlagSet(f.options.Flags())
	f.run.register(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *sensitivityCommand) execute(cmd *cobra.Command, path string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	f.options.Seen(cmd.Flags())
	opts, err := chosen(&f.options)
	if err != nil {
		return err
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	data, err := f.data.open(g)
	if err != nil {
		return err
	}
	all, err := ptq.FindSensitivity(cmd.Context(), g, data, append(opts, ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads))...)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if f.rows > 0 && f.rows < len(all) {
		all = all[:f.rows]
	}
	if f.json {
		for _, s := range all { // JSON has no infinity
			s.SQNR, s.Noise = math.Min(math.Max(s.SQNR, -999), 999), math.Min(s.Noise, 1e99)
		}
		return printJSON(cmd.OutOrStdout(), map[string]any{"sensitivity": all})
	}
	t := &table{}
	t.add("dB", "what", "nodes")
	for _, s := range all {
		what := "tensor " + shorten(s.Name, 48)
		if s.Weights {
			what = "weights of " + shorten(s.Name, 48)
		}
		t.add(fmt.Sprintf("%.1f", s.SQNR), what, strings.Join(s.Nodes, ", "))
	}
	return t.write(cmd.OutOrStdout())
}
