package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/internal/regular"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

type calibrateCommand struct {
	data               dataFlags
	run                runFlags
	output, checkpoint string
}

func newCalibrate() *cobra.Command {
	var f calibrateCommand
	cmd := &cobra.Command{
		Use:   "calibrate MODEL.onnx --calib X.npy -o STATS.nrw",
		Short: "Gather the ranges of a network's tensors, for quantizing later",
		Long: `Runs the fp32 network over the calibration inputs and writes what its tensors held as a statistics file.
Files of several shards of the inputs are put together by "narrow merge" and used by "narrow quantize --stats":
the result is the same, byte for byte, as from one run over all inputs.

` + dataHelp,
		Example: `  narrow calibrate resnet.onnx --calib a.npy --scale 1/255 -o a.nrw
  narrow merge a.nrw b.nrw -o all.nrw
  narrow quantize resnet.onnx --stats all.nrw -o int8.onnx`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "calib", "output"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "calib", "calibration inputs; may be repeated (`PATH`)") })
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the statistics file to write, - for standard output (`PATH`)")
	cmd.Flags().StringVar(&f.checkpoint, "checkpoint", "", "keep what is gathered so far in this file, and go on from there if it exists (`PATH`)")
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	return cmd
}

func (f *calibrateCommand) execute(cmd *cobra.Command, path string) error {
	if err := f.run.check(); err != nil {
		return err
	}
	if err := checkOutputs([]string{f.output, f.checkpoint}, append(f.data.files(), path)...); err != nil {
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
	start, save, err := f.resume()
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr(), false, data.Len(), "calibrating")
	stats, err := ptq.Collect(cmd.Context(), g, data, start, save,
		ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads), ptq.WithProgress(func(done int) { bar.Set(done) }))
	bar.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeOutput(cmd, f.output, stats.Write); err != nil {
		return err
	}
	if f.checkpoint != "" {
		if err := os.Remove(f.checkpoint); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, err = fmt.Fprintf(messages(cmd, f.output), "%s: %d tensors, %d inputs\n", f.output, len(stats.Tensors), stats.Inputs)
	return err
}

// resume returns what the checkpoint holds, nil if there is none yet, and how to save one.
func (f *calibrateCommand) resume() (*ptq.Statistics, func(*ptq.Statistics) error, error) {
	if f.checkpoint == "" {
		return nil, nil, nil
	}
	save := func(s *ptq.Statistics) error { return atomicfile.Write(f.checkpoint, s.Write) }
	start, err := readStatistics(f.checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, save, nil
	}
	return start, save, err
}

func readStatistics(path string) (*ptq.Statistics, error) {
	b, err := regular.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := ptq.ReadStatistics(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func newMerge() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "merge STATS.nrw... -o ALL.nrw",
		Short: "Put statistics files of one network together",
		Long:  `Adds up what "narrow calibrate" gathered from several sets of inputs. The order does not matter.`,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "output"); err != nil {
				return err
			}
			if err := checkOutputs([]string{output}, args...); err != nil {
				return err
			}
			all, err := readShards(args)
			if err != nil {
				return err
			}
			total := new(ptq.Statistics)
			for _, s := range all {
				total.Network = s.Network
				total.Merge(s)
			}
			if err := writeOutput(cmd, output, total.Write); err != nil {
				return err
			}
			return printShards(messages(cmd, output), args, all)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the statistics file to write, - for standard output (`PATH`)")
	return cmd
}

// readShards reads statistics that belong together.
func readShards(paths []string) ([]*ptq.Statistics, error) {
	var all []*ptq.Statistics
	for i, path := range paths {
		s, err := readStatistics(path)
		if err != nil {
			return nil, err
		}
		for k, o := range all {
			if err := s.Joins(o); err != nil {
				return nil, fmt.Errorf("%s and %s: %w", paths[k], paths[i], err)
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// outlying is how far the magnitudes of a shard may be from what is usual among them before it is pointed out.
const outlying = 1.5

// printShards lists what was merged.
func printShards(w io.Writer, paths []string, all []*ptq.Statistics) error {
	t := &table{}
	t.add("SHARD", "INPUTS", "FILES", "PREPARATION", "MAGNITUDE")
	apart := ptq.Apart(all)
	for i, s := range all {
		note := fmt.Sprintf("x %.2f", apart[i])
		switch {
		case len(all) == 1:
			note = "-"
		case apart[i] > outlying:
			note += ": outlying, look at its inputs"
		}
		files, prep := originTexts(s)
		t.add(paths[i], s.Inputs, shorten(files, 60), shorten(prep, 60), note)
	}
	return t.write(w)
}

// originTexts returns the files and the preparation of the inputs of some statistics.
func originTexts(s *ptq.Statistics) (files, preparation string) {
	var names, preps []string
	for _, o := range s.Origins {
		for _, f := range o.Files {
			names = append(names, f.Name)
		}
		if p := o.Preparation.String(); !slices.Contains(preps, p) {
			preps = append(preps, p)
		}
	}
	if names == nil {
		return "not known", "not known"
	}
	return strings.Join(names, " "), strings.Join(preps, "; ")
}

// inspectStatistics lists what a statistics file is of.
func inspectStatistics(w io.Writer, s *ptq.Statistics, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Network string           `json:"network"`
			Inputs  int              `json:"inputs"`
			Tensors int              `json:"tensors"`
			Origins []dataset.Origin `json:"origins"`
		}{fmt.Sprintf("%08x", s.Network), s.Inputs, len(s.Tensors), s.Origins})
	}
	t := &table{}
	t.add("network", fmt.Sprintf("%08x", s.Network))
	t.add("inputs", s.Inputs)
	t.add("tensors", len(s.Tensors))
	for _, o := range s.Origins {
		t.add("part", fmt.Sprintf("%d inputs", o.Inputs))
		for _, f := range o.Files {
			t.add("  file", fmt.Sprintf("%s, %s, SHA-256 %s…", f.Name, bytesText(f.Size), f.Hash))
		}
		t.add("  prepared", o.Preparation)
		if o.First > 0 {
			t.add("  limit", fmt.Sprintf("the first %d", o.First))
		}
	}
	return t.write(w)
}

func newRanges() *cobra.Command {
	var output, format, clip string
	cmd := &cobra.Command{
		Use:   "ranges STATS.nrw",
		Short: "Export the ranges in a statistics file",
		Long:  `Writes the range of every tensor, and what a clipping rule keeps of it, as JSON or as a calibration cache of TensorRT.`,
		Args:  exactArgs("STATS.nrw"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rule, err := ptq.ParseClip(clip)
			if err != nil {
				return usageError{err}
			}
			if err := checkOutputs([]string{output}, args...); err != nil {
				return err
			}
			s, err := readStatistics(args[0])
			if err != nil {
				return err
			}
			var write func(w io.Writer) error
			switch format {
			case "json":
				write = func(w io.Writer) error { return s.WriteJSON(w, rule) }
			case "tensorrt":
				write = func(w io.Writer) error { return s.WriteTensorRT(w, rule) }
			default:
				return usagef("--format %q: it is json or tensorrt", format)
			}
			if output == "" {
				return write(cmd.OutOrStdout())
			}
			return writeOutput(cmd, output, write)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write; standard output if not given (`PATH`)")
	cmd.Flags().StringVar(&format, "format", "json", "`FORMAT` is json or tensorrt")
	cmd.Flags().StringVar(&clip, "clip", "mse", "how ranges are cut: `RULE` as for narrow quantize")
	return cmd
}
