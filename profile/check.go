package profile

import (
	"fmt"
	"slices"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// Runs says how a target computes a node.
type Runs string

// The ways.
const (
	Integer Runs = "integer"
	Float   Runs = "float"
)

// Node says how a target computes a node of a network. Nodes that code numbers as integers, constants, and what computes
// shapes and indices are not listed.
type Node struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	Runs Runs   `json:"runs"`
	Why  string `json:"why,omitempty"` // it is computed in float
	MACs int64  `json:"macs"`
}

// Problem is a rule that a network breaks.
type Problem struct {
	Where string `json:"where"` // a node, or a tensor; "" for the file
	What  string `json:"what"`
}

// Report is what a target makes of a network.
type Report struct {
	Target   string    `json:"target"`
	Problems []Problem `json:"problems"`
	Nodes    []Node    `json:"nodes"`
	Integer  float64   `json:"integer_macs"` // percent of the multiply-accumulates; 100 if there are none
}

// Err returns an error that wraps [ErrBroken] and names what is broken first, nil if nothing is.
func (r *Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	first := r.Problems[0]
	if first.Where != "" {
		first.What = fmt.Sprintf("%q: %s", first.Where, first.What)
	}
	more := ""
	if n := len(r.Problems) - 1; n > 0 {
		more = fmt.Sprintf("; and %d more (narrow check --for %s lists them)", n, r.Target)
	}
	return fmt.Errorf("%w (%s): %s%s", ErrBroken, r.Target, first.What, more)
}

// checker looks at a network with a target's eyes.
type checker struct {
	*Profile
	g      *graph.Graph
	uses   map[*graph.Value][]*graph.Node
	report *Report
	runs   map[*graph.Node]Runs
}

// Check says what a target makes of a network, of whatever tool. The network is not changed; a panic for damaged ones is an
// error.
func Check(g *graph.Graph, p *Profile) (r *Report, err error) {
	defer func() {
		if e := recover(); e != nil {
			r, err = nil, fmt.Errorf("profile: internal error: %v", e)
		}
	}()
	g = g.Clone()
	if _, err := graph.FoldConstants(g); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := g.Sort(); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := graph.Infer(g); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	c := &checker{Profile: p, g: g, uses: g.Uses(), report: &Report{Target: p.Name, Problems: []Problem{}}, runs: make(map[*graph.Node]Runs)}
	c.file()
	for _, n := range g.Nodes {
		c.node(n)
	}
	if err := c.pairs(); err != nil {
		return nil, err
	}
	c.total()
	return c.report, nil
}

func (c *checker) problem(where, format string, args ...any) {
	p := Problem{where, fmt.Sprintf(format, args...)}
	if !slices.Contains(c.report.Problems, p) {
		c.report.Problems = append(c.report.Problems, p)
	}
}

// file checks what is true of the file.
func (c *checker) file() {
	if v := c.g.Opset[""]; c.MaxOpset > 0 && v > c.MaxOpset {
		c.problem("", "the file has operator set %d, %s reads up to %d", v, c.Name, c.MaxOpset)
	}
}

// pairs checks that weights are saturation-safe.
func (c *checker) pairs() error {
	if !c.Safe {
		return nil
	}
	sums, err := graph.Saturation(c.g)
	if err != nil {
		return err
	}
	for _, n := range c.g.Nodes {
		if s := sums[n]; s.Above > 0 {
			c.problem(name(n), "%d of %d pairs of neighbouring weights sum to more than %d, which saturates on x86 without VNNI", s.Above, s.Pairs, op.PairLimit)
		}
	}
	return nil
}

// name returns what a node is called.
func name(n *graph.Node) string {
	if n.Name == "" && len(n.Outputs) > 0 && n.Outputs[0] != nil {
		return n.Outputs[0].Name
	}
	return n.Name
}

// node checks one node and says how it is computed.
func (c *checker) node(n *graph.Node) {
	t := n.TraitsWith(constantOf)
	switch {
	case t.Coding:
		c.coding(n)
		return
	case slices.Contains(t.Inputs, op.ZeroPoint):
		c.integerForm(n, &t)
		return
	case !computes(n):
		return
	}
	why := c.unit(n, &t)
	if why == "" {
		c.add(n, Integer, "")
		return
	}
	c.add(n, Float, why)
	if c.NoFloat {
		c.problem(name(n), "%s: %s computes nothing in float", why, c.Name)
	}
}

func (c *checker) add(n *graph.Node, runs Runs, why string) {
	c.runs[n] = runs
	c.report.Nodes = append(c.report.Nodes, Node{name(n), n.Op, runs, why, graph.MACs(n)})
}

// constantOf returns the tensor that stands for v if it is a constant, coded or not.
func constantOf(v *graph.Value) *tensor.Tensor {
	if !v.IsConst() && v.Node != nil && v.Node.Op == "DequantizeLinear" {
		v = v.Node.In(0)
		if v != nil && v.Node != nil && v.Node.Op == "QuantizeLinear" {
			v = v.Node.In(0)
		}
	}
	if v == nil {
		return nil
	}
	return v.Const
}

// computes reports whether a node makes numbers that integers could stand for; what is not known might.
func computes(n *graph.Node) bool {
	for _, v := range n.Outputs {
		if v != nil && (v.Type.DType.IsFloat() || v.Type.DType == 0) {
			return true
		}
	}
	return len(n.Subgraphs()) > 0
}

// total adds up the multiply-accumulates.
func (c *checker) total() {
	var all, integer int64
	for _, n := range c.report.Nodes {
		all += n.MACs
		if n.Runs == Integer {
			integer += n.MACs
		}
	}
	if c.report.Integer = 100; all > 0 {
		c.report.Integer = 100 * float64(integer) / float64(all)
	}
}
