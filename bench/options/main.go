// Options measures what each option of quantization does to real networks: all
// combinations of clipping rule, scales per tensor or per channel, signs and shifts;
// what each step of the pipeline brings; few bits. It writes a table in Markdown.
//
//	go run ./bench/options -shared ../shared -o bench/results/options.md
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/internal/atomicfile"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/tensor"
)

func main() {
	shared := flag.String("shared", "../shared", "folder of the shared models and data")
	output := flag.String("o", "", "Markdown file to write; standard output if empty")
	only := flag.String("model", "", "measure this model only")
	part := flag.String("part", "", "measure this part only: \"Each step\", \"Few bits\" or \"All combinations\"")
	limit := flag.Int("limit", 0, "test on the first so many inputs only")
	flag.Parse()
	write := func(w io.Writer) error { return report(w, *shared, *only, *part, *limit) }
	var err error
	if *output == "" {
		err = write(os.Stdout)
	} else {
		err = atomicfile.Write(*output, write)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "options:", err)
		os.Exit(1)
	}
}

// model is a network with its data and what it does in float.
type model struct {
	name    string
	graph   *graph.Graph
	calib   dataset.Source
	test    dataset.Source
	labels  []int
	float   []*tensor.Tensor // outputs by batch
	correct float64          // top-1 in float, in percent
}

const batch = 50

var cifar = []dataset.Option{dataset.Normalize(1.0/255, []float32{.485, .456, .406}, []float32{.229, .224, .225})}

// models are the networks, their data and how many calibration inputs they take.
var models = []struct {
	file, data string
	calib      int
	options    []dataset.Option
}{
	{"resnet8_cifar10", "cifar10", 500, nil},
	{"resnet20_cifar10", "cifar10", 500, cifar},
	{"dscnn_kws", "kws", 200, nil},
	{"mobilenetv2_cifar10", "cifar10", 500, cifar},
}

func report(w io.Writer, shared, only, part string, limit int) error {
	var all []*model
	for _, m := range models {
		if only != "" && only != m.file {
			continue
		}
		loaded, err := load(shared, m.file, m.data, m.calib, limit, m.options)
		if err != nil {
			return err
		}
		all = append(all, loaded)
	}
	fmt.Fprint(w, "# What the options do\n\nWritten by `make bench-options`: calibrated on 500 inputs (200 for dscnn), run on integers by narrow on the whole test\n"+
		"set. Each cell is top-1 in percent and the signal-to-noise ratio of the outputs against fp32 in dB.\n\n")
	for _, s := range []struct {
		title string
		rows  []row
	}{{"Each step", steps()}, {"Few bits", fewBits()}, {"All combinations", combinations()}} {
		if part != "" && part != s.title {
			continue
		}
		if err := section(w, s.title, all, s.rows); err != nil {
			return err
		}
	}
	return nil
}

func load(shared, name, data string, calib, limit int, options []dataset.Option) (*model, error) {
	m := &model{name: name}
	var err error
	if m.graph, err = onnx.ReadFile(filepath.Join(shared, "models", name+".onnx")); err != nil {
		return nil, err
	}
	open := func(kind string, count int) (dataset.Source, error) {
		return dataset.Open(filepath.Join(shared, "data", data+"_"+kind+"_x.npy"), append(options, dataset.First(count))...)
	}
	if m.calib, err = open("calib", calib); err != nil {
		return nil, err
	}
	if m.test, err = open("test", limit); err != nil {
		return nil, err
	}
	if m.labels, err = dataset.ReadLabels(filepath.Join(shared, "data", data+"_test_y.npy")); err != nil {
		return nil, err
	}
	hits := 0
	err = m.run(m.graph, func(first int, y *tensor.Tensor) {
		m.float = append(m.float, y)
		hits += m.hits(first, y)
	})
	m.correct = 100 * float64(hits) / float64(m.test.Len())
	return m, err
}

// run hands the output for every batch of test inputs to f.
func (m *model) run(g *graph.Graph, f func(first int, y *tensor.Tensor)) error {
	net, err := engine.Compile(g)
	if err != nil {
		return err
	}
	first := 0
	for x, err := range m.test.Batches(batch) {
		if err != nil {
			return err
		}
		y, err := net.Run(context.Background(), x...)
		if err != nil {
			return err
		}
		f(first, y[0])
		first += x[0].Shape()[0]
	}
	return nil
}

// hits counts the rows of y whose largest score is that of the label.
func (m *model) hits(first int, y *tensor.Tensor) int {
	n := y.Shape()[0]
	scores, classes, hits := y.F32(), y.Len()/n, 0
	for i := range n {
		row := scores[i*classes : (i+1)*classes]
		if slices.Index(row, slices.Max(row)) == m.labels[first+i] {
			hits++
		}
	}
	return hits
}

// measure quantizes and returns top-1 and SQNR.
func (m *model) measure(options []ptq.Option) (top1, sqnr float64, err error) {
	q, err := ptq.Quantize(context.Background(), m.graph, m.calib, options...)
	if err != nil {
		return 0, 0, err
	}
	hits, signal, noise := 0, 0.0, 0.0
	err = m.run(q.Graph, func(first int, y *tensor.Tensor) {
		hits += m.hits(first, y)
		for i, r := range m.float[first/batch].F32() {
			e := float64(r) - float64(y.F32()[i])
			signal += float64(r) * float64(r)
			noise += e * e
		}
	})
	return 100 * float64(hits) / float64(m.test.Len()), 10 * math.Log10(signal/noise), err
}

// row is a line of a table: a set of options.
type row struct {
	name    string
	options []ptq.Option
}

func section(w io.Writer, title string, all []*model, rows []row) error {
	fmt.Fprintf(w, "## %s\n\n| options |", title)
	for _, m := range all {
		fmt.Fprintf(w, " %s |", m.name)
	}
	fmt.Fprint(w, "\n|---|")
	for range all {
		fmt.Fprint(w, "---|")
	}
	fmt.Fprint(w, "\n| fp32 |")
	for _, m := range all {
		fmt.Fprintf(w, " %.2f |", m.correct)
	}
	worst := make([]float64, len(all))
	for i, r := range rows {
		fmt.Fprintf(w, "\n| %s |", r.name)
		start, cells := time.Now(), ""
		for k, m := range all {
			top1, sqnr, err := m.measure(r.options)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", m.name, r.name, err)
			}
			worst[k] = max(worst[k], m.correct-top1)
			cells += fmt.Sprintf(" %.2f / %.1f |", top1, sqnr)
		}
		fmt.Fprint(w, cells)
		fmt.Fprintf(os.Stderr, "%s, %d of %d: %s:%s (%.1f s)\n", title, i+1, len(rows), r.name, cells, time.Since(start).Seconds())
	}
	fmt.Fprint(w, "\n| largest loss of top-1 |")
	for _, l := range worst {
		fmt.Fprintf(w, " %.2f |", l)
	}
	fmt.Fprint(w, "\n\n")
	return nil
}

// steps adds one step of the pipeline after the other.
func steps() []row {
	options := []ptq.Option{ptq.WithClip(ptq.Max), ptq.WithPerChannel(false), ptq.WithSigns(false), ptq.WithEqualize(false), ptq.WithCompensation(false)}
	rows := []row{{"per tensor, signed, max, rounded to nearest", slices.Clone(options)}}
	for _, s := range []row{
		{"+ unsigned where never negative, zero points where one-sided", []ptq.Option{ptq.WithSigns(true)}},
		{"+ clipping by mse", []ptq.Option{ptq.WithClip(ptq.MSE)}},
		{"+ equalization", []ptq.Option{ptq.WithEqualize(true)}},
		{"+ scales per channel", []ptq.Option{ptq.WithPerChannel(true)}},
		{"+ bias correction", []ptq.Option{ptq.WithBiasCorrection(true)}},
		{"+ weights compensated (the default)", []ptq.Option{ptq.WithCompensation(true)}},
		{"+ zero points everywhere", []ptq.Option{ptq.WithAsymmetric(true)}},
		{"the default with shifts only", []ptq.Option{ptq.WithAsymmetric(false), ptq.WithShift(true)}},
		{"the default without rounding", []ptq.Option{ptq.WithShift(false), ptq.WithNoRound(true)}},
	} {
		options = append(options, s.options...)
		rows = append(rows, row{s.name, slices.Clone(options)})
	}
	return rows
}

func fewBits() []row {
	var rows []row
	for _, perChannel := range []bool{false, true} {
		for _, equalize := range []bool{false, true} {
			for _, compensate := range []bool{false, true} {
				add := func(what string, correct bool) {
					rows = append(rows, row{
						fmt.Sprintf("4-bit weights, %s, equalization %s, %s", scales(perChannel), onOff(equalize), what),
						[]ptq.Option{ptq.WithBits(4, 8), ptq.WithPerChannel(perChannel), ptq.WithEqualize(equalize), ptq.WithCompensation(compensate), ptq.WithBiasCorrection(correct)},
					})
				}
				if compensate {
					add("compensation", false)
				} else {
					add("nearest", false)
					add("nearest with bias correction", true)
				}
			}
		}
	}
	return append(rows,
		row{"6-bit weights and activations", []ptq.Option{ptq.WithBits(6, 6)}},
		row{"8-bit weights, 16-bit activations", []ptq.Option{ptq.WithBits(8, 16)}})
}

func combinations() []row {
	var rows []row
	for _, clip := range []ptq.Clip{ptq.Max, ptq.MSE, ptq.KL, ptq.AA, ptq.Percentile(99.99)} {
		for _, perChannel := range []bool{false, true} {
			for _, signs := range []bool{false, true} {
				for _, shift := range []bool{false, true} {
					rows = append(rows, row{
						fmt.Sprintf("%s, %s, signs %s, shift %s", clip, scales(perChannel), onOff(signs), onOff(shift)),
						[]ptq.Option{ptq.WithClip(clip), ptq.WithPerChannel(perChannel), ptq.WithSigns(signs), ptq.WithShift(shift)},
					})
				}
			}
		}
	}
	return rows
}

func scales(perChannel bool) string {
	if perChannel {
		return "per channel"
	}
	return "per tensor"
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
