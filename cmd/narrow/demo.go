package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/demo"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/internal/option"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

const demoDir = "narrow-demo"

func newDemo() *cobra.Command {
	var calibration, test int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Quantize a small built-in network, compare the options, and write the files to play with",
		Long: `Draws pictures of ten shapes, quantizes a small network that sorts them (built in, fp32, trained on other
pictures), and prints what each option does to it. Writes the network, its int8 form and the pictures to
the folder ` + demoDir + `.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if calibration <= 0 || test <= 0 {
				return usagef("--calibration and --test are numbers of pictures")
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout(), calibration, test)
		},
	}
	cmd.Flags().IntVar(&calibration, "calibration", 300, "pictures to calibrate on")
	cmd.Flags().IntVar(&test, "test", 1000, "pictures to measure on")
	return cmd
}

// demoData is what the demo works on.
type demoData struct {
	network       *graph.Graph
	calib, test   dataset.Source
	labels        []int
	calibX, testX *tensor.Tensor // uint8, as they are written
	calibY, testY *tensor.Tensor
}

func newDemoData(calibration, test int) (*demoData, error) {
	d := new(demoData)
	var err error
	if d.network, err = demo.Network(); err != nil {
		return nil, err
	}
	d.calibX, d.calibY = demo.Calibration(calibration)
	d.testX, d.testY = demo.Test(test)
	d.labels = d.testY.Ints()
	if d.calib, err = dataset.FromTensors(demo.Normalize(d.calibX)); err != nil {
		return nil, err
	}
	d.test, err = dataset.FromTensors(demo.Normalize(d.testX))
	return d, err
}

func runDemo(ctx context.Context, w io.Writer, calibration, test int) error {
	d, err := newDemoData(calibration, test)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "A network that sorts pictures of %d shapes: calibrated on %d pictures, measured on %d others.\n\n", len(demo.Classes), calibration, test)
	int8, err := d.compare(ctx, w)
	if err != nil {
		return err
	}
	if err := d.write(int8); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(demoDir, name) }
	fmt.Fprintf(w, `
Written: %s and, beside it, the fp32 network and the pictures. Try next:

  narrow inspect %s
  narrow quantize %s --calib %s --scale 1/255 --weight-bits 4 -o %s --report %s
  narrow eval %s --data %s --scale 1/255 --labels %s --against %s
`, in("int8.onnx"), in("fp32.onnx"), in("fp32.onnx"), in("calib_x.npy"), in("int4.onnx"), in("report.html"),
		in("int4.onnx"), in("test_x.npy"), in("test_y.npy"), in("fp32.onnx"))
	return nil
}

// compare prints a row for fp32, for the defaults and for each other choice,
// and returns the network quantized by the defaults.
func (d *demoData) compare(ctx context.Context, w io.Writer) (*graph.Graph, error) {
	t := &table{}
	t.add("NETWORK", "TOP-1", "AGREEMENT", "SQNR", "QUANTIZED IN")
	fp32, err := d.score(ctx, d.network)
	if err != nil {
		return nil, err
	}
	t.add("fp32", fmt.Sprintf("%.1f %%", *fp32.Top1), "", "", "")
	var base option.Set
	base.Flags() // sets the defaults
	names, changed := variantsOf(base)
	exact := base
	exact.NoRound = true
	names, changed = append(names, "--no-round"), append(changed, exact)
	var int8 *graph.Graph
	for i, o := range append([]option.Set{base}, changed...) {
		name := "int8"
		if i > 0 {
			name = "  " + names[i-1]
		}
		opts, err := chosen(&o)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		q, err := ptq.Quantize(ctx, d.network, d.calib, opts...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(name), err)
		}
		elapsed := time.Since(start)
		s, err := d.score(ctx, q.Graph)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(name), err)
		}
		sqnr := "exact"
		if s.SQNR != nil {
			sqnr = fmt.Sprintf("%.1f dB", *s.SQNR)
		}
		t.add(name, fmt.Sprintf("%.1f %%", *s.Top1), fmt.Sprintf("%.1f %%", *s.Agreement), sqnr, fmt.Sprintf("%.2f s", elapsed.Seconds()))
		if i == 0 {
			int8 = q.Graph
		}
	}
	return int8, t.write(w)
}

// score measures a network on the test pictures.
func (d *demoData) score(ctx context.Context, g *graph.Graph) (evalResult, error) {
	net, err := engine.Compile(g)
	if err != nil {
		return evalResult{}, err
	}
	reference, err := engine.Compile(d.network)
	if err != nil {
		return evalResult{}, err
	}
	e := evaluation{net: net, reference: reference, source: d.test, labels: d.labels, batch: 64}
	s, err := e.run(ctx)
	if err != nil {
		return evalResult{}, err
	}
	return s.result(), nil
}

// write fills the demo's folder.
func (d *demoData) write(int8 *graph.Graph) error {
	if err := os.MkdirAll(demoDir, 0o755); err != nil {
		return err
	}
	if err := onnx.WriteFile(filepath.Join(demoDir, "int8.onnx"), int8); err != nil {
		return err
	}
	fp32 := func(w io.Writer) error {
		_, err := w.Write(demo.Model())
		return err
	}
	if err := atomicfile.Write(filepath.Join(demoDir, "fp32.onnx"), fp32); err != nil {
		return err
	}
	for name, x := range map[string]*tensor.Tensor{"calib_x": d.calibX, "calib_y": d.calibY, "test_x": d.testX, "test_y": d.testY} {
		err := atomicfile.Write(filepath.Join(demoDir, name+".npy"), func(w io.Writer) error { return dataset.WriteNPY(w, x) })
		if err != nil {
			return err
		}
	}
	return nil
}
