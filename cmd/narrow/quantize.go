package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/ptq"
)

// quantizeResult is what `narrow quantize --json` prints.
type quantizeResult struct {
	Output         string `json:"output"`
	NodesQuantized int    `json:"nodes_quantized"`
	NodesFloat     int    `json:"nodes_float"`
	*quality
	Seconds float64 `json:"seconds"`
	PeakRSS int64   `json:"peak_rss_bytes"`
}

type quantizeFlags struct {
	data    dataFlags
	run     runFlags
	options optionFlags
	weights weightFlags
	output  string
	stats   string
	report  string
	json    bool
}

func newQuantize() *cobra.Command {
	var f quantizeFlags
	cmd := &cobra.Command{
		Use:   "quantize MODEL.onnx --calib X.npy -o OUT.onnx",
		Short: "Quantize a network with a few hundred of its inputs",
		Long: `Runs the fp32 network once over the calibration inputs, chooses ranges and scales, and writes the quantized
network as plain ONNX (QuantizeLinear/DequantizeLinear). A few hundred inputs like those the network will
see are enough.

` + dataHelp,
		Example: `  narrow quantize resnet.onnx --calib x.npy --limit 500 --scale 1/255 -o int8.onnx
  narrow quantize resnet.onnx --calib pictures/ --preset imagenet -o int8.onnx
  narrow quantize decoder.onnx --weights-only --weight-bits 4 --block 32 -o int4.onnx`,
		Args: exactArgs("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.stats == "" && !f.weights.without() {
				if err := required(cmd, "calib"); err != nil {
					return err
				}
			}
			if err := required(cmd, "output"); err != nil {
				return err
			}
			if f.weights.without() {
				return f.weights.execute(cmd, args[0], &f)
			}
			return f.execute(cmd, args[0])
		},
	}
	cmd.Flags().StringVar(&f.stats, "stats", "", "take the ranges from this file of narrow calibrate; without --calib, weights are then rounded to nearest (`PATH`)")
	inGroup(cmd, "Inputs", func() { f.data.register(cmd, "calib", "calibration inputs; may be repeated (`PATH`)") })
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the file to write, - for standard output (`PATH`)")
	cmd.Flags().StringVar(&f.report, "report", "", "also write a report for people: an HTML file (`PATH`)")
	inGroup(cmd, "Quantization", func() { cmd.Flags().AddFlagSet(f.options.flags()) })
	completeOptions(cmd)
	inGroup(cmd, "Weights alone", func() { f.weights.register(cmd) })
	inGroup(cmd, "Running", func() { f.run.register(cmd) })
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	return cmd
}

func (f *quantizeFlags) execute(cmd *cobra.Command, path string) error {
	start := time.Now()
	if err := f.run.check(); err != nil {
		return err
	}
	opts, err := f.options.options()
	if err != nil {
		return err
	}
	if f.report != "" && len(f.data.paths) == 0 {
		return usagef("--report needs --calib: it shows what the network does on inputs")
	}
	if err := checkOutputs([]string{f.output, f.report}, append(f.data.files(), path, f.stats)...); err != nil {
		return err
	}
	g, err := onnx.ReadFile(path)
	if err != nil {
		return err
	}
	var set *dataset.Set
	var calib dataset.Source
	count := 0
	if len(f.data.paths) > 0 {
		if set, err = f.data.open(g); err != nil {
			return err
		}
		calib, count = set, set.Len()
		if net, err := engine.Compile(g); err == nil {
			separated(cmd, net, set) // what is said holds for calibration too
		}
	}
	if f.stats != "" {
		s, err := readStatistics(f.stats)
		if err != nil {
			return err
		}
		opts = append(opts, ptq.WithStatistics(s))
	}
	bar := newProgress(cmd.ErrOrStderr(), f.json, count, "calibrating")
	opts = append(opts, ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads),
		ptq.WithProgress(func(done int) { bar.Set(done) }))
	q, err := ptq.Quantize(cmd.Context(), g, calib, opts...)
	bar.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if set != nil {
		record(q.Graph, set)
	}
	if err := writeNetwork(cmd, f.output, q.Graph); err != nil {
		return err
	}
	warn(cmd, path, q)
	r := quantizeResult{f.output, q.Nodes, len(q.Float), qualityOf(q), time.Since(start).Seconds(), peakRSS()}
	if f.report != "" {
		if err := f.writeReport(cmd, path, g, q, r); err != nil {
			return fmt.Errorf("%s: report: %w", path, err)
		}
	}
	w := messages(cmd, f.output, f.report)
	if f.json {
		return printJSON(w, r)
	}
	return printQuantized(w, path, r, q)
}

// writeNetwork writes a network to a file, with its weights beside it if they are large, or whole to standard output.
func writeNetwork(cmd *cobra.Command, path string, g *graph.Graph) error {
	if path != stdoutPath {
		return onnx.WriteFile(path, g)
	}
	return writeOutput(cmd, path, func(w io.Writer) error { return onnx.Write(w, g) })
}

func printQuantized(w io.Writer, path string, r quantizeResult, q *ptq.Result) error {
	t := &table{}
	t.add("written", r.Output)
	t.add("nodes", fmt.Sprintf("%d on integers, %d in float", r.NodesQuantized, r.NodesFloat))
	t.add("size", fmt.Sprintf("%s, from %s", bytesText(fileSize(r.Output)), bytesText(fileSize(path))))
	if q.Measured != nil {
		addQuality(t, q.Measured)
	}
	t.add("time", fmt.Sprintf("%.2f s", r.Seconds))
	t.add("memory", bytesText(r.PeakRSS))
	for _, name := range slices.Sorted(maps.Keys(q.Float)) {
		t.add("in float", fmt.Sprintf("%s: %s", shorten(name, 48), q.Float[name]))
	}
	return t.write(w)
}

// optionFlags are the choices of the quantization pipeline.
type optionFlags struct {
	clip                string
	weightBits, actBits int
	bits                []string
	perChannel, signs   bool
	places, asymmetric  string
	equalize, shift     bool
	powers              bool // --shift=scales
	safe                bool
	compensate, noRound bool
	correctBias         bool
	exclude, excludeOp  []string
	opBits              []string
	autoExclude         float64
	holdout             float64
	minSQNR             float64
	minAgreement        float64
	target, cost        string
	format              string
}

// flags returns the flags that set o.
func (o *optionFlags) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("options", pflag.ContinueOnError)
	f.StringVar(&o.clip, "clip", "mse", "how ranges of activations are cut: `RULE` is max, mse, kl, aa, auto (the one that does the outputs least harm), lpP (lp3), sigmaN (sigma4) or percentile:P")
	f.IntVar(&o.weightBits, "weight-bits", 8, "bits of weights, 2 to 8")
	f.IntVar(&o.actBits, "act-bits", 8, "bits of activations, 4 to 8 or 16")
	f.StringArrayVar(&o.bits, "bits", nil, "bits of a node's weights and result, as `NODE=W/A`; * in a name stands for what has no slash, ** for anything; may be repeated")
	f.StringArrayVar(&o.opBits, "bits-op", nil, "bits of all nodes of an operator, as `OPERATOR=W/A`; may be repeated")
	f.BoolVar(&o.perChannel, "per-channel", true, "one scale for each output channel of the weights")
	f.StringVar(&o.places, "places", "auto", "`WHICH` tensors become integers: auto (what weighted layers read, and sums and pools in plain convolutional networks), weighted (these in float too) or all (everything that can, for hardware without floats)")
	f.BoolVar(&o.signs, "signs", true, "unsigned integers where a tensor is never negative")
	f.BoolVar(&o.equalize, "equalize", true, "balance the ranges of channels between neighbouring layers, and by a factor for each channel behind what computes in float, where that lessens the noise")
	f.BoolVar(&o.compensate, "compensate", true, "round weights so that their errors cancel; false rounds to nearest, in less time")
	f.BoolVar(&o.correctBias, "bias-correction", false, "take the mean error of rounding to nearest out of the biases; compensation does so anyway")
	f.BoolVar(&o.safe, "saturation-safe", true, "neighbouring weights of at most 128 together: the file means the same on processors that add two products in 16 bits (x86 without VNNI)")
	f.Var((*shiftFlag)(o), "shift", "make every rescaling a shift of bits; with --shift=scales every scale is a power of two as well")
	f.Lookup("shift").NoOptDefVal = "true"
	f.BoolVar(&o.noRound, "no-round", false, "leave out rounding and clipping: the same network in other units, to check the pipeline")
	f.StringVar(&o.asymmetric, "asymmetric", "auto", "`WHICH` signed activations get a zero point: auto (the network's input, and those whose noise it lessens by 30 %), true (all) or false (the input alone; so does auto with --shift or --signs=false)")
	f.Lookup("asymmetric").NoOptDefVal = "true"
	f.Float64Var(&o.autoExclude, "auto-exclude", 0, "leave nodes in float whose own signal-to-noise ratio would be under so many `DB`")
	f.Float64Var(&o.holdout, "holdout", 10, "`PERCENT` of the inputs that are held back from the ranges for the result to be measured on (of the first 32 a quarter, of all 64 at most); 0 measures on inputs that were seen")
	f.StringVar(&o.target, "target", "", "choose what stays in float, clipping rules and zero points so that `WHAT` is reached at least cost: 30dB of every output, or 99% of the classes")
	f.StringVar(&o.cost, "cost", "macs", "what --target keeps low: `COST` is macs (multiply-accumulates in float) or size")
	f.Float64Var(&o.minSQNR, "min-sqnr", 0, "fail, and write nothing, if an output or a part of one comes under so many `DB`")
	f.Float64Var(&o.minAgreement, "min-agreement", 0, "fail, and write nothing, if less than `PERCENT` of the classes are those of the float network")
	f.StringVar(&o.format, "format", "qdq", "`FORMAT` is qdq (QuantizeLinear and DequantizeLinear around operators) or qoperator (QLinearConv, ...)")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave this node in float, as inspect names it; * stands for what has no slash, ** for anything; may be repeated (`NODE`)")
	f.StringArrayVar(&o.excludeOp, "exclude-op", nil, "leave all nodes of this operator in float; may be repeated (`OPERATOR`)")
	return f
}

// options translates the flags.
func (o *optionFlags) options() ([]ptq.Option, error) {
	clip, err := ptq.ParseClip(o.clip)
	if err != nil {
		return nil, usageError{fmt.Errorf("--clip: %w", err)}
	}
	if o.format != "qdq" && o.format != "qoperator" {
		return nil, usagef("--format %q: it is qdq or qoperator", o.format)
	}
	places, err := ptq.ParsePlaces(o.places)
	if err != nil {
		return nil, usageError{fmt.Errorf("--places: %w", err)}
	}
	opts := []ptq.Option{
		ptq.WithPlaces(places),
		ptq.WithQOperator(o.format == "qoperator"),
		ptq.WithClip(clip),
		ptq.WithBits(o.weightBits, o.actBits),
		ptq.WithPerChannel(o.perChannel),
		ptq.WithSigns(o.signs),
		ptq.WithEqualize(o.equalize),
		ptq.WithCompensation(o.compensate),
		ptq.WithBiasCorrection(o.correctBias),
		ptq.WithShift(o.shift),
		ptq.WithPowers(o.powers),
		ptq.WithSaturationSafe(o.safe),
		ptq.WithNoRound(o.noRound),
		ptq.WithExclude(o.exclude...),
		ptq.WithExcludeOp(o.excludeOp...),
	}
	switch o.asymmetric {
	case "auto":
	case "true", "false":
		opts = append(opts, ptq.WithAsymmetric(o.asymmetric == "true"))
	default:
		return nil, usagef("--asymmetric=%s: it is auto, true or false", o.asymmetric)
	}
	if !(o.holdout >= 0 && o.holdout <= 50) {
		return nil, usagef("--holdout %g: it is from 0 to 50 percent", o.holdout)
	}
	opts = append(opts, ptq.WithHoldout(o.holdout/100), ptq.WithMinAgreement(o.minAgreement))
	target, err := o.targetOptions()
	if err != nil {
		return nil, err
	}
	opts = append(opts, target...)
	if o.minSQNR != 0 {
		opts = append(opts, ptq.WithMinSQNR(o.minSQNR))
	}
	if o.autoExclude != 0 {
		opts = append(opts, ptq.WithAutoExclude(o.autoExclude))
	}
	for _, text := range o.bits {
		node, w, a, err := parseNodeBits(text)
		if err != nil {
			return nil, usagef("--bits %q: it is NODE=W/A, as in conv1=4/8", text)
		}
		opts = append(opts, ptq.WithNodeBits(node, w, a))
	}
	for _, text := range o.opBits {
		operator, w, a, err := parseNodeBits(text)
		if err != nil {
			return nil, usagef("--bits-op %q: it is OPERATOR=W/A, as in Gemm=4/8", text)
		}
		opts = append(opts, ptq.WithOpBits(operator, w, a))
	}
	return opts, nil
}

// targetOptions translates --target and --cost.
func (o *optionFlags) targetOptions() ([]ptq.Option, error) {
	costs := map[string]ptq.Cost{"macs": ptq.CostMACs, "size": ptq.CostSize}
	cost, ok := costs[o.cost]
	if !ok && o.cost != "" {
		return nil, usagef("--cost %q: it is macs or size", o.cost)
	}
	if o.target == "" {
		return nil, nil
	}
	number, isAgreement := strings.CutSuffix(o.target, "%")
	number, isDB := strings.CutSuffix(number, "dB")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || isAgreement == isDB || v <= 0 || isAgreement && v > 100 {
		return nil, usagef("--target %q: it is so many dB or percent, as in 30dB or 99%%", o.target)
	}
	if isAgreement {
		return []ptq.Option{ptq.WithTargetAgreement(v), ptq.WithCost(cost)}, nil
	}
	return []ptq.Option{ptq.WithTarget(v), ptq.WithCost(cost)}, nil
}

// parseNodeBits splits NODE=W/A at its last equals sign: names hold any character.
func parseNodeBits(text string) (node string, weights, activations int, err error) {
	i := strings.LastIndexByte(text, '=')
	if i <= 0 {
		return "", 0, 0, errors.New("no node")
	}
	w, a, _ := strings.Cut(text[i+1:], "/")
	weights, err = strconv.Atoi(w)
	if err == nil {
		activations, err = strconv.Atoi(a)
	}
	return text[:i], weights, activations, err
}

// shiftFlag is --shift: true, false or scales.
type shiftFlag optionFlags

func (f *shiftFlag) String() string {
	if f.powers {
		return "scales"
	}
	return strconv.FormatBool(f.shift)
}

func (f *shiftFlag) Type() string { return "bool" }

// Set implements [pflag.Value].
func (f *shiftFlag) Set(text string) error {
	if f.powers = text == "scales"; f.powers {
		f.shift = true
		return nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is none of true, false, scales", text)
	}
	f.shift = on
	return nil
}
