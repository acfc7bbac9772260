package ptq

import (
	"context"
	"errors"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
)

// ErrNoData reports that there are no inputs where some are needed.
var ErrNoData = errors.New("ptq: there is no calibration data")

// Result is a quantized network and how it came about.
type Result struct {
	Graph *graph.Graph
	Report
}

// Quantize returns the integer network for a float one, calibrated on data. It
// does not change g. It makes a [Plan] and takes the steps that [Job.Steps] lists:
//
//	equalize               balance the ranges of neighbouring layers' channels
//	calibrate              see what values the tensors take
//	insert scaling         mark where tensors become integers
//	signs                  find those that are never negative
//	normalize activations  clip the ranges and choose the scales of activations
//	normalize parameters   choose those of weights and biases
//	compensate weights     choose the integers of the weights
//	check sums             make sure that no sum can overflow
//	lower to qdq           write the scaling nodes as ONNX operators
//
// and others in their place or between them, as the options say.
func Quantize(ctx context.Context, g *graph.Graph, data dataset.Source, options ...Option) (*Result, error) {
	j, err := NewJob(g, data, options...)
	if err != nil {
		return nil, err
	}
	if err := j.Run(ctx); err != nil {
		return nil, err
	}
	return j.Result()
}
