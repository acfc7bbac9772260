package graph

import (
	"errors"
	"fmt"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// ErrGraph reports nodes and values that make no network.
var ErrGraph = errors.New("graph: not a network")

// Check returns an error that wraps [ErrGraph] or [ErrCycle] unless g is a network: every value has one producer, which
// is in g, in a graph around it, an input or a constant; every node makes something; nothing depends on itself;
// dimensions are numbers or unknown. What is true of single operators is not asked. All that takes a graph from outside calls it.
func (g *Graph) Check() error {
	if g == nil {
		return fmt.Errorf("%w: there is none", ErrGraph)
	}
	return checker{known: make(map[*Value]bool)}.graph(g)
}

// checker knows the values that may be read: what the graphs around make comes before what is within.
type checker struct {
	known map[*Value]bool
}

func (c checker) graph(g *Graph) error {
	for i, v := range g.Inputs {
		switch {
		case v == nil || v.Node != nil || v.Const != nil:
			return fmt.Errorf("%w: input %d is none", ErrGraph, i)
		case c.known[v]:
			return fmt.Errorf("%w: input %q is there twice", ErrGraph, v.Name)
		}
		if err := checkType(v); err != nil {
			return err
		}
		c.known[v] = true
	}
	for _, n := range g.Nodes {
		if err := c.makes(n); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		if err := c.reads(n); err != nil {
			return err
		}
	}
	for i, v := range g.Outputs {
		if v == nil || !c.readable(v) {
			return fmt.Errorf("%w: nothing makes output %d", ErrGraph, i)
		}
	}
	// Sort drops what no output needs, which may be a circle as well: here all is needed.
	all := &Graph{Nodes: g.Nodes}
	for _, n := range g.Nodes {
		all.Outputs = append(all.Outputs, n.Outputs...)
	}
	return all.Sort()
}

// makes checks what a node makes, and makes it known.
func (c checker) makes(n *Node) error {
	if n == nil {
		return fmt.Errorf("%w: a node is nil", ErrGraph)
	}
	if len(n.Outputs) == 0 {
		return fmt.Errorf("%w: %s makes nothing", ErrGraph, n)
	}
	for _, v := range n.Outputs {
		if v == nil {
			continue
		}
		if v.Node != n || v.Const != nil || c.known[v] {
			return fmt.Errorf("%w: %s makes %q, which has another source", ErrGraph, n, v.Name)
		}
		if err := checkType(v); err != nil {
			return err
		}
		c.known[v] = true
	}
	return nil
}

func (c checker) reads(n *Node) error {
	for i, v := range n.Inputs {
		if v != nil && !c.readable(v) {
			return fmt.Errorf("%w: nothing makes %q, input %d of %s", ErrGraph, v.Name, i, n)
		}
	}
	for _, sub := range n.Subgraphs() {
		if sub == nil {
			return fmt.Errorf("%w: a graph within %s is nil", ErrGraph, n)
		}
		if err := c.graph(sub); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) readable(v *Value) bool {
	if v.Const != nil {
		return v.Node == nil && v.Const.DType() != tensor.Undefined
	}
	return c.known[v]
}

// checkType checks what is said of a value: dimensions that are no numbers, or more elements than any tensor has.
func checkType(v *Value) error {
	least := make([]int, len(v.Type.Shape))
	for i, d := range v.Type.Shape {
		if d < op.Unknown {
			return fmt.Errorf("%w: dimension %d of %q is %d", ErrGraph, i, v.Name, d)
		}
		least[i] = max(d, 1)
	}
	if n, ok := tensor.CheckedVolume(least); !ok || n > op.MaxElements {
		return fmt.Errorf("%w: %q is said to be of shape %v, more than %d elements", ErrGraph, v.Name, v.Type.Shape, op.MaxElements)
	}
	return nil
}
