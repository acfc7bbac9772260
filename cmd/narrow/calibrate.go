package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

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
	f.data.register(cmd, "calib", "calibration inputs; may be repeated (`PATH`)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the statistics file to write, - for standard output (`PATH`)")
	cmd.Flags().StringVar(&f.checkpoint, "checkpoint", "", "keep what is gathered so far in this file, and go on from there if it exists (`PATH`)")
	f.run.register(cmd)
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
			total, err := mergeFiles(args)
			if err != nil {
				return err
			}
			return writeOutput(cmd, output, total.Write)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the statistics file to write, - for standard output (`PATH`)")
	return cmd
}

func mergeFiles(paths []string) (*ptq.Statistics, error) {
	var total *ptq.Statistics
	for _, path := range paths {
		s, err := readStatistics(path)
		if err != nil {
			return nil, err
		}
		if total == nil {
			total = s
			continue
		}
		if s.Network != total.Network {
			return nil, fmt.Errorf("%s: %w than those of %s", path, ptq.ErrOtherNetwork, paths[0])
		}
		total.Merge(s)
	}
	return total, nil
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
