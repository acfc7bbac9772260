package engine

import (
	"fmt"
	"time"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// StepInfo describes one step of a network's plan.
type StepInfo struct {
	Name  string        // "Conv+Relu"
	Nodes []*graph.Node // what it computes, named as in the graph; none for a conversion between layouts
	Kind  Kind
	Why   string        // why a step is float in a network that is quantized
	Ops   int           // arithmetic operations for one input
	Time  time.Duration // spent in it so far, by all goroutines, with [WithProfile]
}

// Steps describes the plan of the last run with new shapes, in the order of
// execution. Before the first run a plan is made for one input, with every free dimension 1.
func (net *Net) Steps() ([]StepInfo, error) {
	p, err := net.latest()
	if err != nil {
		return nil, err
	}
	infos := make([]StepInfo, len(p.steps))
	for i, s := range p.steps {
		infos[i] = StepInfo{Name: s.Label, Nodes: s.Nodes, Kind: s.Kind, Why: s.Why, Ops: s.Ops, Time: time.Duration(p.spent[i].Load())}
	}
	return infos, nil
}

// Program returns the program of the plan that [Net.Steps] describes.
func (net *Net) Program() (*program.Program, error) {
	p, err := net.latest()
	if err != nil {
		return nil, err
	}
	return p.program, nil
}

// ActivationBytes returns the memory that one goroutine of a run needs for
// intermediate results, for the plan of [Net.Steps].
func (net *Net) ActivationBytes() (int, error) {
	p, err := net.latest()
	if err != nil {
		return 0, err
	}
	return p.program.Arena, nil
}

// latest returns the plan made last.
func (net *Net) latest() (*plan, error) {
	if plans := *net.plans.Load(); len(plans) > 0 {
		return plans[0], nil
	}
	inputs := make([]*tensor.Tensor, len(net.graph.Inputs))
	for i, v := range net.graph.Inputs {
		t, err := smallest(v.Type)
		if err != nil {
			return nil, fmt.Errorf("engine: input %q: %w", v.Name, err)
		}
		inputs[i] = t
	}
	return net.compile(inputs)
}

// smallest returns a zero tensor of a type, with 1 for every free dimension.
func smallest(t op.Type) (*tensor.Tensor, error) {
	if !t.Known || t.DType == tensor.Undefined {
		return nil, fmt.Errorf("%w: the file does not say its shape", ErrInput)
	}
	shape := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		if shape[i] = d; d < 0 {
			shape[i] = 1
		}
	}
	if n, ok := tensor.CheckedVolume(shape); !ok || n > op.MaxElements {
		return nil, fmt.Errorf("%w: shape %v is too large", ErrInput, shape)
	}
	return tensor.New(t.DType, shape...), nil
}
