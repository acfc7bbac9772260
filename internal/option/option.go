// Package option has the choices of quantization once, for everybody who makes them: the flags of the command, and the
// JSON objects of the C library and of Python.
package option

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/narrow-ml/narrow/profile"
	"github.com/narrow-ml/narrow/ptq"
)

// Set are the choices of the quantization pipeline. [Set.Flags] gives them their defaults.
type Set struct {
	Clip                string
	WeightBits, ActBits int
	Bits                []string
	PerChannel, Signs   bool
	Places, Asymmetric  string
	Equalize, Shift     bool
	Powers              bool // --shift=scales
	Safe                bool
	Compensate, NoRound bool
	CorrectBias         bool
	Exclude, ExcludeOp  []string
	OpBits              []string
	AutoExclude         float64
	Holdout             float64
	MinSQNR             float64
	MinAgreement        float64
	Target, Cost        string
	Format              string
	For                 string          // target
	Given               map[string]bool // flags that were set, see [Set.Seen]
}

// Seen notes which of the flags were set: a target chooses what was not.
func (o *Set) Seen(flags *pflag.FlagSet) {
	o.Given = make(map[string]bool)
	flags.VisitAll(func(f *pflag.Flag) { o.Given[f.Name] = f.Changed })
}

// Flags returns the flags that set o.
func (o *Set) Flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("options", pflag.ContinueOnError)
	f.StringVar(&o.Clip, "clip", "mse", "how ranges of activations are cut: `RULE` is max, mse, kl, aa, auto (the one that does the outputs least harm), lpP (lp3), sigmaN (sigma4) or percentile:P")
	f.IntVar(&o.WeightBits, "weight-bits", 8, "bits of weights, 2 to 8")
	f.IntVar(&o.ActBits, "act-bits", 8, "bits of activations, 4 to 8 or 16")
	f.StringArrayVar(&o.Bits, "bits", nil, "bits of a node's weights and result, as `NODE=W/A`; * in a name stands for what has no slash, ** for anything; may be repeated")
	f.StringArrayVar(&o.OpBits, "bits-op", nil, "bits of all nodes of an operator, as `OPERATOR=W/A`; may be repeated")
	f.BoolVar(&o.PerChannel, "per-channel", true, "one scale for each output channel of the weights")
	f.StringVar(&o.Places, "places", "auto", "`WHICH` tensors become integers: auto (what weighted layers read, and sums and pools in plain convolutional networks), weighted (these in float too) or all (everything that can, for hardware without floats)")
	f.BoolVar(&o.Signs, "signs", true, "unsigned integers where a tensor is never negative")
	f.BoolVar(&o.Equalize, "equalize", true, "balance the ranges of channels between neighbouring layers, and by a factor for each channel behind what computes in float, where that lessens the noise")
	f.BoolVar(&o.Compensate, "compensate", true, "round weights so that their errors cancel; false rounds to nearest, in less time")
	f.BoolVar(&o.CorrectBias, "bias-correction", false, "take the mean error of rounding to nearest out of the biases; compensation does so anyway")
	f.BoolVar(&o.Safe, "saturation-safe", true, "neighbouring weights of at most 128 together: the file means the same on processors that add two products in 16 bits (x86 without VNNI)")
	f.Var((*shiftFlag)(o), "shift", "make every rescaling a shift of bits; with --shift=scales every scale is a power of two as well")
	f.Lookup("shift").NoOptDefVal = "true"
	f.BoolVar(&o.NoRound, "no-round", false, "leave out rounding and clipping: the same network in other units, to check the pipeline")
	f.StringVar(&o.Asymmetric, "asymmetric", "auto", "`WHICH` signed activations get a zero point: auto (the network's input, and those whose noise it lessens by 30 %), true (all) or false (the input alone; so does auto with --shift or --signs=false)")
	f.Lookup("asymmetric").NoOptDefVal = "true"
	f.Float64Var(&o.AutoExclude, "auto-exclude", 0, "leave nodes in float whose own signal-to-noise ratio would be under so many `DB`")
	f.Float64Var(&o.Holdout, "holdout", 10, "`PERCENT` of the inputs that are held back from the ranges for the result to be measured on (of the first 32 a quarter, of all 64 at most); 0 measures on inputs that were seen")
	f.StringVar(&o.Target, "target", "", "choose what stays in float, clipping rules and zero points so that `WHAT` is reached at least cost: 30dB of every output, or 99% of the classes")
	f.StringVar(&o.Cost, "cost", "macs", "what --target keeps low: `COST` is macs (multiply-accumulates in float) or size")
	f.Float64Var(&o.MinSQNR, "min-sqnr", 0, "fail, and write nothing, if an output or a part of one comes under so many `DB`")
	f.Float64Var(&o.MinAgreement, "min-agreement", 0, "fail, and write nothing, if less than `PERCENT` of the classes are those of the float network")
	f.StringVar(&o.For, "for", "", "quantize for `TARGET`: what it needs is done, what it computes in float stays so, and what it does not take is refused (narrow check --help lists the targets)")
	f.StringVar(&o.Format, "format", "qdq", "`FORMAT` is qdq (QuantizeLinear and DequantizeLinear around operators) or qoperator (QLinearConv, ...)")
	f.StringArrayVar(&o.Exclude, "exclude", nil, "leave this node in float, as inspect names it; * stands for what has no slash, ** for anything; may be repeated (`NODE`)")
	f.StringArrayVar(&o.ExcludeOp, "exclude-op", nil, "leave all nodes of this operator in float; may be repeated (`OPERATOR`)")
	return f
}

// Options returns what the choices mean to package ptq.
func (o *Set) Options() ([]ptq.Option, error) {
	clip, err := ptq.ParseClip(o.Clip)
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	if o.Format != "qdq" && o.Format != "qoperator" {
		return nil, fmt.Errorf("format %q: it is qdq or qoperator", o.Format)
	}
	places, err := ptq.ParsePlaces(o.Places)
	if err != nil {
		return nil, fmt.Errorf("places: %w", err)
	}
	opts := []ptq.Option{
		ptq.WithQOperator(o.Format == "qoperator"),
		ptq.WithClip(clip),
		ptq.WithBits(o.WeightBits, o.ActBits),
		ptq.WithEqualize(o.Equalize),
		ptq.WithCompensation(o.Compensate),
		ptq.WithBiasCorrection(o.CorrectBias),
		ptq.WithSaturationSafe(o.Safe),
		ptq.WithNoRound(o.NoRound),
		ptq.WithExclude(o.Exclude...),
		ptq.WithExcludeOp(o.ExcludeOp...),
	}
	if o.For != "" {
		p, err := profile.Find(o.For)
		if err != nil {
			return nil, fmt.Errorf("for: %w", err)
		}
		opts = append(opts, ptq.WithProfile(p))
	}
	free := func(flag string, option ...ptq.Option) { // which a target chooses unless it was set
		if o.For == "" || o.Given[flag] {
			opts = append(opts, option...)
		}
	}
	free("places", ptq.WithPlaces(places))
	free("per-channel", ptq.WithPerChannel(o.PerChannel))
	free("signs", ptq.WithSigns(o.Signs))
	free("shift", ptq.WithShift(o.Shift), ptq.WithPowers(o.Powers))
	switch o.Asymmetric {
	case "auto":
	case "true", "false":
		opts = append(opts, ptq.WithAsymmetric(o.Asymmetric == "true"))
	default:
		return nil, fmt.Errorf("asymmetric=%s: it is auto, true or false", o.Asymmetric)
	}
	if !(o.Holdout >= 0 && o.Holdout <= 50) {
		return nil, fmt.Errorf("holdout %g: it is from 0 to 50 percent", o.Holdout)
	}
	opts = append(opts, ptq.WithHoldout(o.Holdout/100), ptq.WithMinAgreement(o.MinAgreement))
	target, err := o.targetOptions()
	if err != nil {
		return nil, err
	}
	opts = append(opts, target...)
	if o.MinSQNR != 0 {
		opts = append(opts, ptq.WithMinSQNR(o.MinSQNR))
	}
	if o.AutoExclude != 0 {
		opts = append(opts, ptq.WithAutoExclude(o.AutoExclude))
	}
	bits, err := o.bitsOptions()
	return append(opts, bits...), err
}

// bitsOptions translates --bits and --bits-op.
func (o *Set) bitsOptions() (opts []ptq.Option, err error) {
	for _, text := range o.Bits {
		node, w, a, err := parseNodeBits(text)
		if err != nil {
			return nil, fmt.Errorf("bits %q: it is NODE=W/A, as in conv1=4/8", text)
		}
		opts = append(opts, ptq.WithNodeBits(node, w, a))
	}
	for _, text := range o.OpBits {
		operator, w, a, err := parseNodeBits(text)
		if err != nil {
			return nil, fmt.Errorf("bits-op %q: it is OPERATOR=W/A, as in Gemm=4/8", text)
		}
		opts = append(opts, ptq.WithOpBits(operator, w, a))
	}
	return opts, nil
}

// targetOptions translates --target and --cost.
func (o *Set) targetOptions() ([]ptq.Option, error) {
	costs := map[string]ptq.Cost{"macs": ptq.CostMACs, "size": ptq.CostSize}
	cost, ok := costs[o.Cost]
	if !ok && o.Cost != "" {
		return nil, fmt.Errorf("cost %q: it is macs or size", o.Cost)
	}
	if o.Target == "" {
		return nil, nil
	}
	number, isAgreement := strings.CutSuffix(o.Target, "%")
	number, isDB := strings.CutSuffix(number, "dB")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || isAgreement == isDB || v <= 0 || isAgreement && v > 100 {
		return nil, fmt.Errorf("target %q: it is so many dB or percent, as in 30dB or 99%%", o.Target)
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
type shiftFlag Set

func (f *shiftFlag) String() string {
	if f.Powers {
		return "scales"
	}
	return strconv.FormatBool(f.Shift)
}

func (f *shiftFlag) Type() string { return "bool" }

// Set implements [pflag.Value].
func (f *shiftFlag) Set(text string) error {
	if f.Powers = text == "scales"; f.Powers {
		f.Shift = true
		return nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is none of true, false, scales", text)
	}
	f.Shift = on
	return nil
}
