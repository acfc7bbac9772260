package main

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

type compareCommand struct {
	data dataFlags
	run  runFlags
	rows int
	json bool
}

func newCompare() *cobra.Command {
	var f compareCommand
	cmd := &cobra.Command{
		Use:   "compare FP32.onnx INT8.onnx --data X.npy",
		Short: "Show which tensors a quantized network gets wrong",
		Long: `Runs both networks on the same inputs and compares every tensor that has the same name in both: signal-to-noise
ratio, cosine and range, the worst first. The layer behind which the ratio drops is the one that hurts: give
it more bits (--bits NODE=W/A) or leave it in float (--exclude NODE).

` + dataHelp,
		Args: exactArgs("FP32.onnx", "INT8.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "data"); err != nil {
				return err
			}
			return f.execute(cmd, args[0], args[1])
		},
	}
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "data", "inputs to compare on; may be repeated (`PATH`)") })
	cmd.Flags().IntVar(&f.rows, "rows", 0, "show only the worst `N` tensors")
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *compareCommand) execute(cmd *cobra.Command, reference, quantized string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	a, err := readInferred(reference)
	if err != nil {
		return err
	}
	b, err := onnx.ReadFile(quantized)
	if err != nil {
		return err
	}
	data, err := f.data.open(a, b)
	if err != nil {
		return err
	}
	rows, err := ptq.Compare(cmd.Context(), a, b, data, f.run.batch, f.run.threads)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", reference, quantized, err)
	}
	if f.rows > 0 && f.rows < len(rows) {
		rows = rows[:f.rows]
	}
	if f.json {
		for i := range rows {
			rows[i].SQNR = math.Min(rows[i].SQNR, 999) // JSON has no infinity
		}
		return printJSON(cmd.OutOrStdout(), map[string]any{"tensors": rows})
	}
	t := &table{}
	t.add("tensor", "SQNR dB", "cosine", "range", "range quantized")
	for _, r := range rows {
		t.add(shorten(r.Name, 60), fmt.Sprintf("%.1f", r.SQNR), fmt.Sprintf("%.5f", r.Cosine),
			fmt.Sprintf("%.4g .. %.4g", r.Want[0], r.Want[1]), fmt.Sprintf("%.4g .. %.4g", r.Got[0], r.Got[1]))
	}
	return t.write(cmd.OutOrStdout())
}

// readInferred reads a network with the types of all its values.
func readInferred(path string) (*graph.Graph, error) {
	g, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := graph.Infer(g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}
