package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

type selectCommand struct {
	data   dataFlags
	run    runFlags
	count  int
	labels string
	output string
	json   bool
}

func newSelect() *cobra.Command {
	var f selectCommand
	cmd := &cobra.Command{
		Use:   "select MODEL.onnx --data X.npy --count 300 -o CHOSEN.npy",
		Short: "Choose the few hundred inputs of many that are enough to calibrate on",
		Long: `Runs the network once over all inputs, remembers a bounded number of them, and chooses: every second one so that the
ranges of the channels of all tensors are reached soonest, the others at random, from all classes alike with --labels. Prints
how the ranges settle with the number of inputs, beside as many at random, and the inputs that stand alone:
look at these before you calibrate on them.

The inputs are written as they are in the files: an array as .npy (several inputs of a network as .npz), pictures as a
.txt list of their paths. Prepare them as you would have prepared all.

` + dataHelp,
		Example: `  narrow select resnet.onnx --data x.npy --scale 1/255 --count 200 -o calib.npy
  narrow select resnet.onnx --data pictures/ --preset imagenet --count 300 -o calib.txt`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "data", "output"); err != nil {
				return err
			}
			return f.execute(cmd, args[0])
		},
	}
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "data", "inputs to choose from; may be repeated (`PATH`)") })
	cmd.Flags().IntVar(&f.count, "count", 300, "choose so `MANY`")
	cmd.Flags().StringVar(&f.labels, "labels", "", "the class of each input, a .npy of whole numbers (`PATH`)")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the data to write: .npy, .npz, .txt for pictures, or .json for the numbers of the inputs (`PATH`)")
	inGroup(cmd, "Running", func() {
		cmd.Flags().IntVar(&f.run.threads, "threads", 0, "goroutines to use, by default one for each processor; no result depends on it")
	})
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *selectCommand) execute(cmd *cobra.Command, path string) error {
	if f.count < 1 {
		return usagef("--count %d: it is a number of inputs", f.count)
	}
	if err := checkOutputs([]string{f.output}, append(f.data.files(), path, f.labels)...); err != nil {
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
	var classes []int
	if f.labels != "" {
		if classes, err = readLabels(f.labels, data); err != nil {
			return err
		}
	}
	bar := newProgress(cmd.ErrOrStderr(), f.json, data.Len(), "looking at inputs")
	s, err := ptq.Select(cmd.Context(), g, data, f.count, classes, ptq.WithThreads(f.run.threads), ptq.WithProgress(func(int) { bar.Add(1) }))
	bar.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	write := func(w io.Writer) error { return data.WriteSubset(w, strings.ToLower(filepath.Ext(f.output)), s.Chosen) }
	if strings.EqualFold(filepath.Ext(f.output), ".json") {
		write = func(w io.Writer) error { return json.NewEncoder(w).Encode(s.Chosen) }
	}
	if err := writeOutput(cmd, f.output, write); err != nil {
		return err
	}
	w := messages(cmd, f.output)
	if f.json {
		return printJSON(w, s)
	}
	return printSelection(w, f.output, s)
}

func printSelection(w io.Writer, output string, s *ptq.Selection) error {
	fmt.Fprintf(w, "%s: %d of %d inputs\n\n", output, len(s.Chosen), s.Inputs)
	t := &table{}
	t.add("INPUTS", "RANGES REACHED", "AT RANDOM", "")
	for _, p := range s.Curve {
		t.add(p.Count, fmt.Sprintf("%.1f %%", p.Chosen), fmt.Sprintf("%.1f %%", p.Random), strings.Repeat("=", int(p.Chosen/2.5)))
	}
	if err := t.write(w); err != nil {
		return err
	}
	const shown = 5
	for _, o := range s.Outliers[:min(len(s.Outliers), shown)] {
		fmt.Fprintf(w, "\ninput %d stands alone: tensor %s reaches %.1f times as far as for any other", o.Input, printable(shorten(o.Tensor, 48)), o.Times)
	}
	if more := len(s.Outliers) - shown; more > 0 {
		fmt.Fprintf(w, "\nand %d more", more)
	}
	if len(s.Outliers) > 0 {
		fmt.Fprintln(w)
	}
	return nil
}
