package engine

import (
	"fmt"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/program"
	"github.com/narrow-ml/narrow/tensor"
)

// checkOperators returns an error for a node that cannot be run, also in a subgraph.
func checkOperators(g *graph.Graph) error {
	for _, n := range g.Nodes {
		if _, err := op.Lookup(n.Domain, n.Op); err != nil {
			return fmt.Errorf("engine: %s: %w", n, err)
		}
		for _, sub := range n.Subgraphs() {
			if err := checkOperators(sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// bodyOf returns the network for a body of control flow, made when it is first asked for.
func (net *Net) bodyOf(b *program.Body) (*Net, error) {
	net.inside.Lock()
	defer net.inside.Unlock()
	if inner := net.bodies[b.Of]; inner != nil {
		return inner, nil
	}
	options := []Option{WithThreads(net.threads), WithRequant(net.requant)}
	if net.float {
		options = append(options, WithFloat())
	}
	inner, err := Compile(b.Graph, options...)
	if err == nil {
		net.bodies[b.Of] = inner
	}
	return inner, err
}

// boundBody is a body's network with the places of what it captures.
type boundBody struct {
	net   *Net
	reads []*program.Tensor
}

// bodies returns the networks of a node's bodies by the attribute's name, nil for a node without.
func (b *binder) bodies(a *program.Reference) (map[string]boundBody, error) {
	if len(a.Bodies) == 0 {
		return nil, nil
	}
	bound := make(map[string]boundBody)
	for name, body := range a.Bodies {
		inner, err := b.net.bodyOf(body)
		if err != nil {
			return nil, err
		}
		bound[name] = boundBody{inner, body.Captured}
	}
	return bound, nil
}

// runBodies makes a call run the bodies.
func runBodies(oc *op.Call, c *call, bodies map[string]boundBody) {
	oc.Body = func(name string, inputs []*tensor.Tensor) ([]*tensor.Tensor, error) {
		b, ok := bodies[name]
		if !ok {
			return nil, fmt.Errorf("%w: it has no graph %q", op.ErrAttr, name)
		}
		given := append([]*tensor.Tensor(nil), inputs...)
		for _, t := range b.reads {
			given = append(given, c.plain(t))
		}
		return b.net.Run(c.ctx, given...)
	}
	oc.BodyTypes = func(name string, inputs []op.Type) []op.Type {
		b := bodies[name]
		for _, t := range b.reads {
			inputs = append(inputs, op.TypeOf(c.plain(t)))
		}
		if b.net == nil || len(inputs) != len(b.net.graph.Inputs) {
			return nil
		}
		types, err := program.Infer(b.net.graph, inputs)
		if err != nil {
			return nil
		}
		return types
	}
}
