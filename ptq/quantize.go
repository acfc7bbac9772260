package ptq

import (
	"context"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
)

// Result is a quantized network and how it came about.
type Result struct {
	Graph *graph.Graph
	Report
}

// Quantize returns the integer network for a float one, calibrated on data. It
// does not change g. The steps, each of which can be called alone:
//
//	Prepare               fold and fuse what the file has apart
//	Equalize              balance the ranges of neighbouring layers' channels
//	InsertScaling         mark where tensors become integers
//	Calibrate             see what values the tensors take
//	SignMap               find those that are never negative
//	NormalizeActivations  clip the ranges and choose the scales of activations
//	NormalizeParameters   choose those of weights and biases
//	CompensateWeights     choose the integers of the weights (or RoundWeights)
//	LowerQDQ              write the scaling nodes as ONNX operators
//
// SingleShift takes the place of NormalizeActivations for a network without
// multiplications, LowerUnrounded that of the last two for one without rounding.
func Quantize(ctx context.Context, g *graph.Graph, data dataset.Source, options ...Option) (*Result, error) {
	c := newConfig(options)
	err := c.check(g)
	if err != nil {
		return nil, err
	}
	float := g
	g = g.Clone()
	if err := Prepare(g, c.opset()); err != nil {
		return nil, err
	}
	stats, report, err := c.calibrated(ctx, g, data)
	if err != nil {
		return nil, err
	}
	if c.signs {
		SignMap(g, stats)
	}
	scale := NormalizeActivations
	if c.shift {
		scale = SingleShift
	}
	rule := c.clip
	if rule == Auto {
		if rule, err = BestClip(ctx, g, stats, data, scale, c.zeroPoints(), c.perChannel, c.shift, c.threads); err != nil {
			return nil, err
		}
	}
	if err := scale(g, stats, rule, c.zeroPoints()); err != nil {
		return nil, err
	}
	if report.Raised, err = NormalizeParameters(g, c.perChannel, c.shift); err != nil {
		return nil, err
	}
	if costly := costly(g, stats, c.minSQNR); len(costly) > 0 {
		return Quantize(ctx, float, data, append(options, leaveCostly(costly))...)
	}
	report.describe(g, stats)
	if err := c.lower(ctx, g, data, report); err != nil {
		return nil, err
	}
	return &Result{Graph: g, Report: *report}, nil
}

// calibrated takes a prepared network to the one whose ranges are known.
func (c *config) calibrated(ctx context.Context, g *graph.Graph, data dataset.Source) (*Statistics, *Report, error) {
	report := newReport(g, c)
	if c.stats != nil {
		if err := c.stats.check(g); err != nil {
			return nil, nil, err
		}
		InsertScaling(g, c.bitsOf, c.excluded)
		return c.stats, report, nil
	}
	var err error
	if c.equalize {
		if report.Equalization, err = Equalize(ctx, g, data, Scheme{c.perChannel, c.weightBits, c.actBits}, c.threads); err != nil {
			return nil, nil, err
		}
	}
	InsertScaling(g, c.bitsOf, c.excluded)
	stats, err := Calibrate(ctx, g, data, c.batch, c.threads, c.progress)
	return stats, report, err
}

// lower rounds the weights and replaces the scaling nodes.
func (c *config) lower(ctx context.Context, g *graph.Graph, data dataset.Source, report *Report) (err error) {
	switch {
	case c.noRound:
		return LowerUnrounded(g)
	case c.compensate && data != nil:
		report.Nearest, err = CompensateWeights(ctx, g, data, c.threads)
	case c.correctBias && data != nil:
		report.Nearest, err = CorrectBiases(ctx, g, data, c.threads)
	default:
		RoundWeights(g)
	}
	if err != nil {
		return err
	}
	if err := CheckSums(g); err != nil {
		return err
	}
	if !c.qoperator {
		return LowerQDQ(g)
	}
	storeUnsigned(g)
	if err := LowerQDQ(g); err != nil {
		return err
	}
	return ToQOperator(g)
}
