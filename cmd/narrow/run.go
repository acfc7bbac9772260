package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

type runCommand struct {
	data   dataFlags
	run    runFlags
	output string
	name   string
}

func newRun() *cobra.Command {
	var f runCommand
	cmd := &cobra.Command{
		Use:   "run MODEL.onnx --input X.npy -o Y.npy",
		Short: "Run a network on data and write its output",
		Long: `Runs a network (fp32, or quantized by any tool) and writes one of its outputs for all inputs as a .npy array.

` + dataHelp,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "input", "output"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	f.data.register(cmd, "input", "inputs to run; may be repeated (`PATH`)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the .npy file to write (`PATH`)")
	cmd.Flags().StringVar(&f.name, "output-name", "", "the output to write if the network has several (`NAME`)")
	f.run.register(cmd)
	f.run.registerEngine(cmd)
	return cmd
}

func (f *runCommand) execute(cmd *cobra.Command, path string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	which, err := outputIndex(g, f.name)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	options, err := f.run.options()
	if err != nil {
		return err
	}
	net, err := engine.Compile(g, options...)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	source, err := f.data.open(g)
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr(), false, source.Len(), "running")
	defer bar.Finish()
	return atomicfile.Write(f.output, func(w io.Writer) error {
		return writeOutputs(cmd.Context(), net, source, f.run.batch, which, w, func(n int) { bar.Add(n) })
	})
}

// outputIndex returns the place of the output called name, or of the only one.
func outputIndex(g *graph.Graph, name string) (int, error) {
	names := make([]string, len(g.Outputs))
	for i, v := range g.Outputs {
		names[i] = v.Name
	}
	if name == "" && len(names) == 1 {
		return 0, nil
	}
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("choose one of its outputs by --output-name: %s", strings.Join(names, ", "))
}

// writeOutputs runs net over source and writes output number which of every
// batch, one after the other, as one .npy array.
func writeOutputs(ctx context.Context, net *engine.Net, source dataset.Source, batch, which int, w io.Writer, progress func(int)) error {
	var first *tensor.Tensor
	for inputs, err := range source.Batches(batch) {
		if err != nil {
			return err
		}
		outputs, err := net.Run(ctx, inputs...)
		if err != nil {
			return err
		}
		y, n := outputs[which], inputs[0].Shape()[0]
		if y.Rank() == 0 || y.Shape()[0] != n {
			return fmt.Errorf("the output has shape %v for %d inputs: it has no batch axis, run one input at a time (--limit 1)", y.Shape(), n)
		}
		if first == nil {
			first = y
			if err := dataset.WriteNPYHeader(w, y.DType(), append([]int{source.Len()}, y.Shape()[1:]...)...); err != nil {
				return err
			}
		}
		if !slices.Equal(y.Shape()[1:], first.Shape()[1:]) {
			return fmt.Errorf("the output's shape changes from %v to %v between inputs", first.Shape(), y.Shape())
		}
		if err := dataset.WriteNPYData(w, y); err != nil {
			return err
		}
		progress(n)
	}
	return nil
}
