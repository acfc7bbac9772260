package ptq

import (
	"context"
	"errors"
	"fmt"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
)

// ErrOrder reports a step that was taken before what it needs was there.
var ErrOrder = errors.New("ptq: a step is out of order")

// Facts are what is known of a network, or done to it, by now.
type Facts uint

// What steps need and give.
const (
	Ranges     Facts = 1 << iota // the histogram of every place
	Integers                     // scaling nodes where tensors become integers
	Scales                       // the scales of activations
	Parameters                   // the scales of weights and biases
	Rounded                      // the integers of weights
	Lowered                      // a network of ONNX operators
)

var factNames = []string{"ranges", "scaling nodes", "scales of activations", "scales of weights", "rounded weights", "a finished network"}

// Step is one step of quantizing a network.
type Step struct {
	Name  string
	Needs Facts // what must be there before
	Gives Facts // what is there then
	Data  bool  // whether it reads data
	run   func(ctx context.Context, j *Job) error
}

// Run takes the step. It returns an error that wraps [ErrOrder] if something is missing that it needs.
func (s Step) Run(ctx context.Context, j *Job) error {
	if s.Data && j.data == nil {
		return fmt.Errorf("%w: %s needs data", ErrOrder, s.Name)
	}
	for i, name := range factNames {
		if missing := s.Needs &^ j.done; missing>>i&1 == 1 {
			return fmt.Errorf("%w: %s needs %s", ErrOrder, s.Name, name)
		}
	}
	if err := guarded(func() error { return s.run(ctx, j) }); err != nil {
		return err
	}
	j.done |= s.Gives
	return nil
}

// guarded calls f and makes an error of a panic: none crosses the package.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("ptq: internal error: %v", r)
		}
	}()
	return f()
}

// Job is a network on its way to integers.
type Job struct {
	Plan  *Plan
	Stats *Statistics // what calibration saw; nil before

	c        *config
	data     dataset.Source
	held     *holdout  // nil before calibration
	sample   *sample   // what is measured on; nil before
	observer *observer // runs the float network; nil before calibration
	norm     *trained  // of the first BatchNormalization; nil if there is none
	search   *Search   // nil if there was none
	net      *network  // the plan's network with scaling nodes
	report   *Report
	done     Facts
}

// NewJob prepares and plans; nothing is read of data, which may be nil if options bring statistics.
func NewJob(g *graph.Graph, data dataset.Source, options ...Option) (*Job, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	p, err := c.newPlan(g)
	if err != nil {
		return nil, err
	}
	p.network = fingerprint(p.Graph)
	j, err := c.newJob(p, data)
	if err == nil {
		j.norm = p.firstNorm(g)
	}
	return j, err
}

func (c *config) newJob(p *Plan, data dataset.Source) (*Job, error) {
	j := &Job{Plan: p, c: c, data: data, report: new(Report)}
	switch {
	case c.stats != nil:
		if err := c.stats.check(p); err != nil {
			return nil, err
		}
		j.Stats, j.done = c.stats, Ranges
	case data == nil:
		return nil, ErrNoData
	}
	if data == nil && (c.clip == Auto || c.targeted()) {
		return nil, fmt.Errorf("%w: what tries several choices does so on inputs", ErrNoData)
	}
	return j, nil
}

// Steps returns the steps that the options of the job say, in order, without calibration if that is done
// already. Taken all, one after the other, they do what [Quantize] does.
func (j *Job) Steps() []Step {
	var steps []Step
	if j.done&Ranges == 0 {
		if j.c.equalize {
			steps = append(steps, factorsStep, equalizeStep)
		}
		steps = append(steps, calibrateStep)
	}
	if j.data != nil && j.Plan.amplified == nil {
		steps = append(steps, amplifiedStep)
	}
	if j.data != nil && j.Plan.precious == nil && !j.c.noRound {
		steps = append(steps, judgeStoredStep)
	}
	if j.c.clip == Auto {
		steps = append(steps, bestClipStep)
	}
	if j.c.targeted() {
		steps = append(steps, searchStep)
	}
	steps = append(steps, j.scaling()...)
	if j.c.limited() {
		steps = append(steps, excludeCostlyStep)
	}
	steps = append(steps, describeStep)
	steps = append(steps, j.lowering()...)
	if j.c.profile != nil {
		steps = append(steps, targetStep)
	}
	if j.data != nil && j.c.measure {
		steps = append(steps, measureStep)
	}
	return steps
}

// scaling returns the steps that end the plan with what calibration saw, and lay the grids.
func (j *Job) scaling() []Step { return append([]Step{separateStep}, j.grids()...) }

// grids returns the steps that lay the grids for the plan as it is.
func (j *Job) grids() []Step {
	steps := []Step{insertStep}
	if j.c.signs {
		steps = append(steps, signStep)
	}
	if j.c.shift {
		return append(steps, shiftStep, parametersStep)
	}
	return append(steps, activationsStep, parametersStep)
}

// lowering returns the steps that round the weights and write the network in ONNX operators.
func (j *Job) lowering() []Step {
	if j.c.noRound {
		return []Step{unroundedStep}
	}
	steps := []Step{roundStep}
	switch {
	case j.c.compensate && j.data != nil:
		steps = []Step{compensateStep}
	case j.c.correctBias && j.data != nil:
		steps = []Step{correctStep}
	}
	if steps = append(steps, sumsStep, storeStep); j.c.qoperator {
		return append(steps, qoperatorStep)
	}
	return append(steps, qdqStep)
}

// Calibrate takes the steps of the job up to the one that sees what values the tensors take.
func (j *Job) Calibrate(ctx context.Context) error {
	for _, s := range j.Steps() {
		if j.done&Ranges != 0 {
			return nil
		}
		if err := s.Run(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// Run takes all steps of the job.
func (j *Job) Run(ctx context.Context) error {
	steps := j.Steps()
	for i, s := range steps {
		if j.c.stage != nil {
			j.c.stage(s.Name, i+1, len(steps))
		}
		if err := s.Run(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// Fork returns a job with other options on the same network, balanced as it is, and with the same
// statistics: nothing is calibrated again. The first must be calibrated and may go on.
func (j *Job) Fork(options ...Option) (*Job, error) {
	if j.done&Ranges == 0 {
		return nil, fmt.Errorf("%w: a fork needs ranges", ErrOrder)
	}
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	p, err := c.planPrepared(j.Plan.Graph)
	if err != nil {
		return nil, err
	}
	p.learn(j.Plan.learnt, c)
	c.stats = j.Stats
	fork, err := c.newJob(p, j.data)
	if err == nil {
		fork.report.Equalization, fork.held, fork.sample = j.report.Equalization, j.held, j.sample
	}
	return fork, err
}

// take takes some steps.
func (j *Job) take(ctx context.Context, steps ...Step) error {
	for _, s := range steps {
		if err := s.Run(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// Result returns the integer network, once all steps are taken.
func (j *Job) Result() (*Result, error) {
	if j.done&Lowered == 0 {
		return nil, fmt.Errorf("%w: the network is not finished", ErrOrder)
	}
	return &Result{Graph: j.net.Graph, Report: *j.report}, nil
}

// trial returns a job on the same plan, with the same statistics, for steps whose result is not kept.
func (j *Job) trial() *Job {
	return &Job{Plan: j.Plan, Stats: j.Stats, c: j.c, data: j.data, held: j.held, sample: j.sample, observer: j.observer, report: new(Report), done: Ranges}
}

// The steps.
var (
	// equalizeStep balances the ranges of neighbouring layers' channels.
	equalizeStep = Step{Name: "equalize", Data: true, run: func(ctx context.Context, j *Job) (err error) {
		scheme := Scheme{j.c.perChannel, j.c.weightBits, j.c.actBits}
		j.report.Equalization, err = equalize(ctx, j.Plan.Graph, j.data, scheme, j.c.threads)
		return err
	}}
	// factorsStep balances the channels of what layers read behind chains in float.
	factorsStep = Step{Name: "channel factors", Data: true, run: scaleChannels}
	// calibrateStep sees what values the tensors take.
	calibrateStep = Step{Name: "calibrate", Data: true, Gives: Ranges, run: func(ctx context.Context, j *Job) (err error) {
		j.held = newHoldout(j.Plan.Graph, j.c.holdout)
		if j.observer, err = j.Plan.newObserver(j.c.threads); err != nil {
			return err
		}
		if j.Stats, err = j.observer.observe(ctx, j.data, j.held, j.c); err != nil {
			return err
		}
		j.warn()
		return nil
	}}
	// amplifiedStep leaves in float what would be rounded before logarithms and the like.
	amplifiedStep = Step{Name: "amplified chains", Data: true, run: leaveAmplified}
	// judgeStoredStep finds weights that storing them on 8 bits would cost too much.
	judgeStoredStep = Step{Name: "judge stored weights", Data: true, Needs: Ranges, run: judgeStored}
	// separateStep leaves parts that need scales of their own apart.
	separateStep = Step{Name: "separate", Needs: Ranges, run: func(_ context.Context, j *Job) error {
		j.Plan.separate(j.Stats)
		return nil
	}}
	// bestClipStep takes the clipping rule that does the outputs least harm.
	bestClipStep = Step{Name: "best clip", Data: true, Needs: Ranges, run: func(ctx context.Context, j *Job) error {
		rule, err := bestClip(ctx, j)
		j.Plan.clip(rule)
		return err
	}}
	// insertStep marks where tensors become integers.
	insertStep = Step{Name: "insert scaling", Needs: Ranges, Gives: Integers, run: func(_ context.Context, j *Job) (err error) {
		j.leaveUnseen()
		j.net, err = j.Plan.insertScaling()
		return err
	}}
	// signStep finds the tensors that are never negative.
	signStep = Step{Name: "signs", Needs: Ranges | Integers, run: func(_ context.Context, j *Job) error {
		signMap(j.net, j.Stats)
		return nil
	}}
	// activationsStep clips the ranges and chooses the scales of activations.
	activationsStep = Step{Name: "normalize activations", Needs: Ranges | Integers, Gives: Scales, run: func(_ context.Context, j *Job) error {
		return normalizeActivations(j.net, j.Stats, j.c.threads)
	}}
	// shiftStep does the same for a network without multiplications.
	shiftStep = Step{Name: "single shift", Needs: Ranges | Integers, Gives: Scales, run: func(_ context.Context, j *Job) error {
		return singleShift(j.net, j.Stats, j.c.powers)
	}}
	// parametersStep chooses the scales of weights and biases.
	parametersStep = Step{Name: "normalize parameters", Needs: Scales, Gives: Parameters, run: func(_ context.Context, j *Job) (err error) {
		j.report.Raised, err = normalizeParameters(j.net.Graph, j.c.channels, j.c.shift, j.c.safe)
		return err
	}}
	// excludeCostlyStep leaves nodes in float that would lose too much, until there are none.
	excludeCostlyStep = Step{Name: "exclude costly", Needs: Parameters, run: excludeCostly}
	// describeStep tells how every activation becomes integers.
	describeStep = Step{Name: "describe", Needs: Scales, run: func(_ context.Context, j *Job) error {
		j.report.describe(j)
		if j.c.weightReports {
			return j.report.describeWeights(j.net)
		}
		return nil
	}}
	// compensateStep chooses the integers of the weights so that their errors cancel.
	compensateStep = Step{Name: "compensate weights", Data: true, Needs: Parameters, Gives: Rounded, run: func(ctx context.Context, j *Job) (err error) {
		j.report.Nearest, err = compensateWeights(ctx, j)
		return err
	}}
	// correctStep rounds them to nearest and takes the mean error out of the biases.
	correctStep = Step{Name: "correct biases", Data: true, Needs: Parameters, Gives: Rounded, run: func(ctx context.Context, j *Job) (err error) {
		j.report.Nearest, err = correctBiases(ctx, j)
		return err
	}}
	// roundStep rounds them to nearest.
	roundStep = Step{Name: "round weights", Needs: Parameters, Gives: Rounded, run: func(_ context.Context, j *Job) error {
		roundWeights(j.net.Graph)
		return nil
	}}
	// sumsStep makes sure that no sum of products can overflow.
	sumsStep = Step{Name: "check sums", Needs: Rounded, run: func(_ context.Context, j *Job) error {
		return checkSums(j.net.Graph)
	}}
	// storeStep writes the weights of what has no integer form on 8 bits.
	storeStep = Step{Name: "store weights", Needs: Rounded, run: storeWeights}
	// qdqStep writes the scaling nodes as QuantizeLinear and DequantizeLinear.
	qdqStep = Step{Name: "lower to qdq", Needs: Rounded, Gives: Lowered, run: func(_ context.Context, j *Job) error {
		if err := j.upgrade(); err != nil {
			return err
		}
		j.c.storeAs(j.net)
		return lowerQDQ(j.net.Graph, j.c.floatBias())
	}}
	// qoperatorStep writes operators on integers.
	qoperatorStep = Step{Name: "lower to qoperator", Needs: Rounded, Gives: Lowered, run: func(_ context.Context, j *Job) error {
		if err := j.upgrade(); err != nil {
			return err
		}
		storeUnsigned(j.net)
		if err := lowerQDQ(j.net.Graph, false); err != nil {
			return err
		}
		return toQOperator(j.net.Graph)
	}}
	// unroundedStep writes the network without rounding.
	unroundedStep = Step{Name: "lower unrounded", Needs: Parameters, Gives: Lowered, run: func(_ context.Context, j *Job) error {
		return lowerUnrounded(j.net.Graph)
	}}
)

// wideOpset is the first version of the operator set that has 16-bit integers.
const wideOpset = 21

// upgrade brings the network to the version of the operator set that its integers need.
func (j *Job) upgrade() error {
	if !j.Plan.wide() {
		return nil
	}
	if err := onnx.Upgrade(j.net.Graph, wideOpset); err != nil {
		return fmt.Errorf("ptq: 16-bit integers need it: %w", err)
	}
	return nil
}
