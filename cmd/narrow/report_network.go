package main

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/ptq"
	"github.com/narrow-ml/narrow/report"
)

// network returns the nodes of g as they were quantized, with what each costs at the outputs.
func (f *quantizeFlags) network(cmd *cobra.Command, path string, g *graph.Graph, q *ptq.Result, sample dataset.Source) ([]report.Node, error) {
	settled := f.settled(q)
	opts, err := chosen(&settled)
	if err != nil {
		return nil, err
	}
	plan, err := ptq.NewPlan(g, opts...)
	if err != nil {
		return nil, err
	}
	effects, err := ptq.FindSensitivity(cmd.Context(), g, sample, append(opts, ptq.WithBatch(f.run.batch), ptq.WithThreads(f.run.threads))...)
	if err != nil {
		return nil, err
	}
	weights, results := make(map[string]*ptq.Sensitivity), make(map[string]*ptq.Sensitivity)
	for _, e := range effects {
		if e.Weights {
			weights[e.Name] = e
		} else {
			results[e.Name] = e
		}
	}
	again := commandLine(cmd, path)
	at := make(map[*graph.Node]int)
	nodes := make([]report.Node, len(plan.Graph.Nodes))
	for i, n := range plan.Graph.Nodes {
		at[n] = i
		why := q.Float[n.Name]
		node := report.Node{Name: n.Name, Op: n.Op, Integer: why == "", Why: why, MACs: graph.MACs(n), Weights: math.NaN(), Result: math.NaN()}
		if e := weights[n.Name]; e != nil {
			node.Weights = e.SQNR
		}
		for _, v := range n.Inputs {
			if v != nil && v.Node != nil {
				node.Inputs = append(node.Inputs, at[v.Node])
			}
		}
		for k, v := range n.Outputs {
			if v == nil {
				continue
			}
			if e := results[v.Name]; e != nil {
				node.Result = e.SQNR
			}
			if k == 0 && v.Type.Known {
				node.Shape = dimsText(v.Type.Shape)
			}
		}
		if node.Integer && node.Effect() < shownCost {
			node.Exclude = fmt.Sprintf("%s --exclude=%s", again, report.Quote(n.Name))
		}
		nodes[i] = node
	}
	return nodes, nil
}

// shownCost is the effect of a node in dB under which a report tells how to leave it in float.
const shownCost = 34
