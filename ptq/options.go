package ptq

import (
	"errors"
	"fmt"
	"math"

	"github.com/narrow-ml/narrow/profile"
)

// Option changes how [Quantize] works.
type Option func(*config)

type config struct {
	clip            Clip
	places          Places
	weightBits      int
	actBits         int
	bits            []bitsRule
	perChannel      bool
	signs           bool
	equalize        bool
	noRound         bool
	compensate      bool
	correctBias     bool
	shift           bool
	powers          bool // with shift: scales are powers of two themselves
	qoperator       bool
	safe            bool
	zeros           ZeroPoints
	exclude         []string
	excludeOps      []string
	minSQNR         float64 // in dB, under which a node is left in float
	holdout         float64 // share of the inputs that are held back
	measure         bool
	targetSQNR      float64 // that a search is to reach
	targetAgreement float64
	labels          []int   // classes of the inputs, in their order
	mostDrop        float64 // of the share of inputs whose class is right, in points; negative for none that is asked for
	cost            Cost
	leastSQNR       float64          // of the outputs, in dB
	leastAgreement  float64          // of classes, in percent
	profile         *profile.Profile // of the target; nil for none
	batch, threads  int
	weightReports   bool
	stage           func(step string, number, of int)
	progress        func(done int)
	stats           *Statistics
}

// bitsRule gives bits to nodes, by name or by operator.
type bitsRule struct {
	nodes, op string // one of them is ""
	bits      [2]int
}

func newConfig(options []Option) (*config, error) {
	c := defaults()
	c.take(options)
	if p := c.profile; p != nil { // what it wants comes before what options say
		c = defaults()
		c.follow(p)
		c.take(options)
	}
	c.threads = workersFor(c.threads)
	return c, c.check()
}

func defaults() *config {
	return &config{clip: MSE, weightBits: 8, actBits: 8, perChannel: true, signs: true, equalize: true, compensate: true, safe: true, batch: 16, minSQNR: math.Inf(-1), holdout: 0.1, measure: true, mostDrop: -1, leastSQNR: math.Inf(-1), targetSQNR: math.Inf(-1)}
}

func (c *config) take(options []Option) {
	for _, o := range options {
		if o != nil {
			o(c)
		}
	}
}

// WithClip sets the rule that clips activations: by default [MSE].
func WithClip(rule Clip) Option { return func(c *config) { c.clip = rule } }

// WithBits sets the bits of weights (2 to 8) and activations (4 to 8, or 16):
// by default 8 and 8.
func WithBits(weights, activations int) Option {
	return func(c *config) { c.weightBits, c.actBits = weights, activations }
}

// WithNodeBits sets the bits of a node's weights and of its result. The name may have wildcards, as
// for [WithExclude]; a node's own name goes before that, and both before [WithOpBits].
func WithNodeBits(node string, weights, activations int) Option {
	return func(c *config) { c.bits = append(c.bits, bitsRule{nodes: node, bits: [2]int{weights, activations}}) }
}

// WithOpBits does the same for all nodes of an operator, like Gemm.
func WithOpBits(operator string, weights, activations int) Option {
	return func(c *config) { c.bits = append(c.bits, bitsRule{op: operator, bits: [2]int{weights, activations}}) }
}

// WithPerChannel chooses between one scale for each output channel of the
// weights, the default, and one for the tensor.
func WithPerChannel(on bool) Option { return func(c *config) { c.perChannel = on } }

// WithSigns chooses whether tensors that are never negative are unsigned: by
// default they are.
func WithSigns(on bool) Option { return func(c *config) { c.signs = on } }

// WithEqualize chooses whether channels are balanced between layers: by
// default they are.
func WithEqualize(on bool) Option { return func(c *config) { c.equalize = on } }

// WithNoRound leaves out all rounding and clipping: the network computes in
// float what the integers would be.
func WithNoRound(on bool) Option { return func(c *config) { c.noRound = on } }

// WithBiasCorrection takes the shift of each channel's mean that rounding weights to
// nearest causes out of the biases. Compensation does so anyway.
func WithBiasCorrection(on bool) Option { return func(c *config) { c.correctBias = on } }

// WithShift makes every rescaling in the network a shift of bits.
func WithShift(on bool) Option { return func(c *config) { c.shift = on } }

// WithPowers makes every scale a power of two, as some accelerators need it, and with that every rescaling
// a shift of bits; [WithShift] alone lets all scales have one mantissa and loses less.
func WithPowers(on bool) Option { return func(c *config) { c.shift, c.powers = c.shift || on, on } }

// WithCompensation chooses between weights rounded so that their errors cancel,
// which is the default, and weights rounded to nearest, which takes less time.
func WithCompensation(on bool) Option { return func(c *config) { c.compensate = on } }

// WithQOperator writes operators on integers (QLinearConv and the like) in place of
// QuantizeLinear and DequantizeLinear around those on floats.
func WithQOperator(on bool) Option { return func(c *config) { c.qoperator = on } }

// WithSaturationSafe chooses whether the magnitudes of 8-bit weights of neighbouring input channels sum
// to at most [op.PairLimit], so that the file means the same on machines that add two products in 16 bits
// (x86 without VNNI): by default they do. It costs about 0.2 dB.
func WithSaturationSafe(on bool) Option { return func(c *config) { c.safe = on } }

// WithAsymmetric gives every activation a zero point, [ZeroPointsAll], or the network's inputs
// alone, [ZeroPointsInput]. By default it is [ZeroPointsAuto], but ZeroPointsInput with shifts
// only (see [WithShift]) and without unsigned integers (see [WithSigns]): what runs such
// networks has little use for zero points.
func WithAsymmetric(on bool) Option {
	return func(c *config) {
		switch {
		case on:
			c.zeros = ZeroPointsAll
		case c.zeros != ZeroPointsNone:
			c.zeros = ZeroPointsInput
		}
	}
}

// zeroPoints returns which activations get a zero point.
func (c *config) zeroPoints() ZeroPoints {
	if c.zeros == ZeroPointsAuto && (c.shift || !c.signs) {
		return ZeroPointsInput
	}
	return c.zeros
}

// placesToTake returns what is worth integers: with shifts only, which are for hardware without floats, everything.
func (c *config) placesToTake() Places {
	if c.shift && c.places == PlacesAuto {
		return PlacesAll
	}
	return c.places
}

// WithExclude leaves the named nodes in float; names are those of [Plan]. In a name * stands for any
// characters but a slash, ** for any at all, ? for one.
func WithExclude(nodes ...string) Option {
	return func(c *config) { c.exclude = append(c.exclude, nodes...) }
}

// WithExcludeOp leaves all nodes of these operators in float.
func WithExcludeOp(operators ...string) Option {
	return func(c *config) { c.excludeOps = append(c.excludeOps, operators...) }
}

// WithAutoExclude leaves nodes in float whose own signal-to-noise ratio would be under so
// many dB.
func WithAutoExclude(db float64) Option { return func(c *config) { c.minSQNR = db } }

// WithHoldout sets the share of the inputs, by default a tenth and of the first 32 a quarter, that is held back from the
// ranges for the result to be measured on; at most 64 inputs. With 0 it is measured on the first inputs.
func WithHoldout(share float64) Option { return func(c *config) { c.holdout = share } }

// WithMeasure chooses whether the result is measured: by default it is.
func WithMeasure(on bool) Option { return func(c *config) { c.measure = on } }

// WithTarget leaves nodes in float and takes other clipping rules and zero points until every output, and every part
// of one, has so many dB on the inputs held back, at the least cost that is found; [ErrTarget] if there is no such choice.
func WithTarget(db float64) Option { return func(c *config) { c.targetSQNR = db } }

// WithTargetAgreement does the same until so many percent of the classes are those of the float network.
func WithTargetAgreement(percent float64) Option {
	return func(c *config) { c.targetAgreement = percent }
}

// WithMaxDrop does the same until at most so many points are lost of the percentage of inputs whose class is right,
// among the first 256; labels has the class of every input, in the order of the data.
func WithMaxDrop(points float64, labels []int) Option {
	return func(c *config) { c.mostDrop, c.labels = points, labels }
}

// WithCost sets what [WithTarget] keeps low: by default [CostMACs].
func WithCost(cost Cost) Option { return func(c *config) { c.cost = cost } }

func (c *config) targeted() bool {
	return !math.IsInf(c.targetSQNR, -1) || c.targetAgreement > 0 || c.mostDrop >= 0
}

// WithMinSQNR makes it an error, [ErrBelow], if an output or a part of one comes under so many dB.
func WithMinSQNR(db float64) Option { return func(c *config) { c.leastSQNR = db } }

// WithMinAgreement makes it an error if less than so many percent of the classes are those of the float network.
func WithMinAgreement(percent float64) Option {
	return func(c *config) { c.leastAgreement = percent }
}

// WithBatch sets how many inputs calibration runs at once: by default 16.
func WithBatch(n int) Option { return func(c *config) { c.batch = n } }

// WithThreads sets the number of threads: by default, and for 0, that of the
// processors.
func WithThreads(n int) Option { return func(c *config) { c.threads = n } }

// WithProgress has f called with the number of inputs that calibration has done.
func WithProgress(f func(done int)) Option { return func(c *config) { c.progress = f } }

// WithStage has f called when a step of [Job.Run] begins: with its name, its number from 1 on, and how many there are.
func WithStage(f func(step string, number, of int)) Option { return func(c *config) { c.stage = f } }

// WithStatistics has ranges chosen from what [Collect] gathered before, of the
// same network, in place of calibrating. Channels are not equalized then, which the
// statistics could not know of. The data may be nil; without it weights are rounded to nearest.
func WithStatistics(s *Statistics) Option { return func(c *config) { c.stats = s } }

// check returns what is wrong with the options whatever the network.
func (c *config) check() error {
	bits := [][2]int{{c.weightBits, c.actBits}}
	for _, r := range c.bits {
		bits = append(bits, r.bits)
	}
	for _, b := range bits {
		if b[0] < 2 || b[0] > 8 || (b[1] < 4 || b[1] > 8) && b[1] != 16 {
			return fmt.Errorf("ptq: %d-bit weights with %d-bit activations: weights have 2 to 8 bits, activations 4 to 8 or 16", b[0], b[1])
		}
	}
	if !(c.holdout >= 0 && c.holdout <= 0.5) {
		return fmt.Errorf("ptq: a share of %g to hold back: it is from 0 to 0.5", c.holdout)
	}
	if math.IsNaN(c.mostDrop) || c.mostDrop > 100 {
		return fmt.Errorf("ptq: a drop of %g points: it is from 0 to 100", c.mostDrop)
	}
	if c.batch < 1 {
		return fmt.Errorf("ptq: batch of %d inputs", c.batch)
	}
	if c.noRound && c.qoperator {
		return errors.New("ptq: a network without rounding has no integers for operators on integers: write it as qdq")
	}
	if err := c.contradiction(); err != nil {
		return err
	}
	return c.clip.check()
}
