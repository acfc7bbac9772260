package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
		Short: "Run a network on data and write its outputs",
		Long: `Runs a network (fp32, or quantized by any tool) and writes what it gives for all inputs: its output as a .npy array,
or all its outputs, under their names, as a .npz archive.

` + dataHelp,
		Example: `  narrow run int8.onnx --input x.npy --scale 1/255 -o scores.npy
  narrow run detector.onnx --input pictures/ -o found.npz`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "input", "output"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	f.data.register(cmd, "input", "inputs to run; may be repeated (`PATH`)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the file to write: .npy for one output, .npz for all (`PATH`)")
	cmd.Flags().StringVar(&f.name, "output-name", "", "write this output only (`NAME`)")
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
	arrays, err := f.arrays(g)
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
	run := func() error {
		return runInto(cmd.Context(), arrays, net, source, f.run.batch, func(n int) { bar.Add(n) })
	}
	return atomicfile.Write(f.output, func(w io.Writer) error {
		if f.archive() {
			return writeArchive(w, filepath.Dir(f.output), arrays, run)
		}
		arrays[0].w = w
		return run()
	})
}

// archive reports whether an archive is to be written.
func (f *runCommand) archive() bool { return strings.EqualFold(filepath.Ext(f.output), ".npz") }

// arrays returns what is to be written of g's outputs.
func (f *runCommand) arrays(g *graph.Graph) ([]*outputArray, error) {
	var all []*outputArray
	var names []string
	for i, v := range g.Outputs {
		names = append(names, v.Name)
		if f.name == "" || f.name == v.Name {
			all = append(all, &outputArray{name: v.Name, index: i})
		}
	}
	switch list := strings.Join(names, ", "); {
	case len(all) == 0:
		return nil, fmt.Errorf("it has no output %q; its outputs are %s", f.name, list)
	case len(all) > 1 && !f.archive():
		return nil, fmt.Errorf("it has %d outputs: write them as an archive, -o NAME.npz, or choose one by --output-name: %s", len(all), list)
	}
	return all, nil
}

// outputArray is one of a network's outputs, on its way into a .npy array.
type outputArray struct {
	name  string
	index int
	w     io.Writer
	first *tensor.Tensor // the first batch of it
}

// runInto runs net over source and writes the outputs of every batch, one after
// the other.
func runInto(ctx context.Context, arrays []*outputArray, net *engine.Net, source dataset.Source, batch int, progress func(int)) error {
	for inputs, err := range source.Batches(batch) {
		if err != nil {
			return err
		}
		outputs, err := net.Run(ctx, inputs...)
		if err != nil {
			return err
		}
		n := inputs[0].Shape()[0]
		for _, a := range arrays {
			if err := a.add(outputs[a.index], n, source.Len()); err != nil {
				return fmt.Errorf("output %q: %w", a.name, err)
			}
		}
		progress(n)
	}
	return nil
}

// add writes the output for n of all inputs.
func (a *outputArray) add(y *tensor.Tensor, n, all int) error {
	if y.Rank() == 0 || y.Shape()[0] != n {
		return fmt.Errorf("it has shape %v for %d inputs, no batch axis: run one input at a time (--limit 1)", y.Shape(), n)
	}
	if a.first == nil {
		a.first = y
		if err := dataset.WriteNPYHeader(a.w, y.DType(), append([]int{all}, y.Shape()[1:]...)...); err != nil {
			return err
		}
	}
	if !slices.Equal(y.Shape()[1:], a.first.Shape()[1:]) {
		return fmt.Errorf("its shape changes from %v to %v between inputs", a.first.Shape(), y.Shape())
	}
	return dataset.WriteNPYData(a.w, y)
}

// writeArchive writes the arrays that run makes as a .npz archive. They grow side by side and an archive holds
// them one after the other, so they are files in the given folder until the end.
func writeArchive(w io.Writer, folder string, arrays []*outputArray, run func() error) error {
	dir, err := os.MkdirTemp(folder, ".narrow-run-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files := make([]*os.File, len(arrays))
	for i, a := range arrays {
		if files[i], err = os.Create(filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
		defer files[i].Close()
		a.w = files[i]
	}
	if err := run(); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for i, a := range arrays {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: a.name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := files[i].Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.Copy(entry, files[i]); err != nil {
			return err
		}
	}
	return z.Close()
}
