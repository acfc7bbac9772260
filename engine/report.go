package engine

import (
	"time"

	"github.com/narrow-ml/narrow/graph"
)

// StepInfo describes one step of a network's plan.
type StepInfo struct {
	Name  string        // "Conv+Relu"
	Nodes []*graph.Node // what it computes; none for a conversion
	Kind  Kind
	Why   string        // why a step is float in a network that is quantized
	Ops   int           // arithmetic operations for one input
	Time  time.Duration // spent in it so far, by all goroutines, with [WithProfile]
}

// Steps describes the plan that was made last, in the order of execution; nil
// before the first run.
func (net *Net) Steps() []StepInfo {
	plans := *net.plans.Load()
	if len(plans) == 0 {
		return nil
	}
	p := plans[0]
	infos := make([]StepInfo, len(p.steps))
	for i, s := range p.steps {
		infos[i] = StepInfo{Name: s.name, Nodes: s.nodes, Kind: s.kind, Why: s.why, Ops: s.ops, Time: time.Duration(p.spent[i].Load())}
	}
	return infos
}
