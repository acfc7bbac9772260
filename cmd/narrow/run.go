package main

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
		Short: "Run a network on data and write its outputs",
		Long: `Runs a network (fp32, or quantized by any tool) and writes what it gives for all inputs: its output as a .npy array,
or all its outputs, under their names, as a .npz archive. What an output holds for later inputs stands behind what it
holds for earlier ones, along the axis of the batch, or axis 0 if the network has none.

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
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "input", "inputs to run; may be repeated (`PATH`)") })
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the file to write: .npy for one output, .npz for all, - for one on standard output (`PATH`)")
	cmd.Flags().StringVar(&f.name, "output-name", "", "write this output only, or this tensor inside of the network (`NAME`)")
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	inGroup(cmd, "Running", func() { f.run.registerEngine(cmd) })
	return cmd
}

func (f *runCommand) execute(cmd *cobra.Command, path string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	if err := checkOutputs([]string{f.output}, append(f.data.files(), path)...); err != nil {
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
	if axes := net.SampleAxes(source); axes != nil {
		for _, a := range arrays { // what is proved holds whatever the file names its dimensions
			a.axis = axes[a.index]
		}
	}
	bar := newProgress(cmd.ErrOrStderr(), false, source.Len(), "running")
	defer bar.Finish()
	remove, err := scratch(arrays, f.output)
	defer remove()
	if err != nil {
		return err
	}
	if err := runInto(cmd.Context(), arrays, net, separated(cmd, net, source), f.run.batch, func(n int) { bar.Add(n) }); err != nil {
		return err
	}
	return writeOutput(cmd, f.output, func(w io.Writer) error {
		if f.archive() {
			return writeArchive(w, arrays)
		}
		return arrays[0].write(w)
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
			all = append(all, &outputArray{name: v.Name, index: i, axis: batchAxis(g, v)})
		}
	}
	if len(all) == 0 {
		values := g.Values()
		if i := slices.IndexFunc(values, func(v *graph.Value) bool { return v.Name == f.name && v.Node != nil }); i >= 0 {
			g.Outputs = append(g.Outputs, values[i])
			return []*outputArray{{name: f.name, index: len(g.Outputs) - 1}}, nil
		}
	}
	switch list := strings.Join(names, ", "); {
	case len(all) == 0:
		return nil, fmt.Errorf("it has no tensor %q; its outputs are %s", f.name, list)
	case len(all) > 1 && !f.archive():
		return nil, fmt.Errorf("it has %d outputs: write them as an archive, -o NAME.npz, or choose one by --output-name: %s", len(all), list)
	}
	return all, nil
}

// outputArray is one of a network's outputs, on its way into a .npy array. How many rows it gets is known at the end
// only, so its elements wait in a file.
type outputArray struct {
	name  string
	index int
	file  *os.File
	dtype tensor.DType
	axis  int   // along which what later inputs give stands behind
	shape []int // of what is there so far
	sizes []int // along the axis, of each run's part
}

// scratch gives the arrays their files; remove takes them away.
func scratch(arrays []*outputArray, output string) (remove func(), err error) {
	var all []func()
	remove = func() {
		for _, f := range all {
			f()
		}
	}
	for _, a := range arrays {
		f, close, err := atomicfile.Scratch(output)
		if err != nil {
			return remove, err
		}
		a.file, all = f, append(all, close)
	}
	return remove, nil
}

// separated returns source for net, and says so where that is one input at a time.
func separated(cmd *cobra.Command, net *engine.Net, source dataset.Source) dataset.Source {
	s, why := net.Separate(source)
	if why != "" && source.Len() > 1 {
		fmt.Fprintf(cmd.ErrOrStderr(), "inputs run one at a time: %s\n", why)
	}
	return s
}

// runInto runs net over source and puts the outputs of every batch behind those before.
func runInto(ctx context.Context, arrays []*outputArray, net *engine.Net, source dataset.Source, batch int, progress func(int)) error {
	for inputs, err := range source.Batches(batch) {
		if err != nil {
			return err
		}
		outputs, err := net.Run(ctx, inputs...)
		if err != nil {
			return err
		}
		for _, a := range arrays {
			if err := a.add(outputs[a.index]); err != nil {
				return fmt.Errorf("output %q: %w", a.name, err)
			}
		}
		progress(dataset.Count(source, inputs))
	}
	return nil
}

// add puts what a run gave behind what is there; a scalar becomes one row.
func (a *outputArray) add(y *tensor.Tensor) error {
	shape := y.Shape()
	if len(shape) == 0 {
		shape = []int{1}
	}
	if a.shape == nil {
		if a.axis < 0 || a.axis >= len(shape) {
			a.axis = 0
		}
		a.dtype, a.shape = y.DType(), slices.Clone(shape)
		a.shape[a.axis] = 0
	}
	all := slices.Clone(shape)
	if len(all) > a.axis {
		all[a.axis] = a.shape[a.axis]
	}
	if !slices.Equal(all, a.shape) {
		return fmt.Errorf("its shape changes from %v to %v between inputs: run those of one shape at a time", a.shape, shape)
	}
	a.shape[a.axis] += shape[a.axis]
	a.sizes = append(a.sizes, shape[a.axis])
	return dataset.WriteNPYData(a.file, y)
}

// write writes the whole array.
func (a *outputArray) write(w io.Writer) error {
	if err := dataset.WriteNPYHeader(w, a.dtype, a.shape...); err != nil {
		return err
	}
	row := int64(tensor.Volume(a.shape[a.axis+1:])) * int64(a.dtype.Size())
	outer := int64(tensor.Volume(a.shape[:a.axis]))
	for o := range outer {
		var at int64
		for _, n := range a.sizes {
			size := int64(n) * row
			if _, err := io.Copy(w, io.NewSectionReader(a.file, at+o*size, size)); err != nil {
				return err
			}
			at += outer * size
		}
	}
	return nil
}

// writeArchive writes the arrays as a .npz archive.
func writeArchive(w io.Writer, arrays []*outputArray) error {
	z := zip.NewWriter(w)
	for _, a := range arrays {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: a.name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if err := a.write(entry); err != nil {
			return err
		}
	}
	return z.Close()
}
