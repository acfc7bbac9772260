package graph

import (
	"errors"
	"testing"

	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// TestCheck breaks a network in every way that Check knows.
func TestCheck(t *testing.T) {
	make := func() *Graph {
		x := &Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 4}, Known: true}}
		g := &Graph{Inputs: []*Value{x}, Opset: map[string]int{"": 13}}
		y := g.New("relu", "Relu", nil, x)
		g.Outputs = []*Value{g.New("add", "Add", nil, y, NewConst("c", tensor.Scalar(float32(1))))}
		return g
	}
	if err := make().Check(); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(g *Graph){
		"a nil input":            func(g *Graph) { g.Inputs[0] = nil },
		"an input twice":         func(g *Graph) { g.Inputs = append(g.Inputs, g.Inputs[0]) },
		"an input that is made":  func(g *Graph) { g.Inputs = append(g.Inputs, g.Outputs[0]) },
		"a constant input":       func(g *Graph) { g.Inputs[0].Const = tensor.Scalar(float32(1)) },
		"a nil node":             func(g *Graph) { g.Nodes[0] = nil },
		"a node twice":           func(g *Graph) { g.Nodes = append(g.Nodes, g.Nodes[0]) },
		"no outputs":             func(g *Graph) { g.Nodes[0].Outputs = nil },
		"another producer":       func(g *Graph) { g.Nodes[0].Outputs[0].Node = g.Nodes[1] },
		"a made constant":        func(g *Graph) { g.Nodes[0].Outputs[0].Const = tensor.Scalar(float32(1)) },
		"a missing producer":     func(g *Graph) { g.Nodes = g.Nodes[1:] },
		"a value from nowhere":   func(g *Graph) { g.Nodes[1].Inputs[1] = &Value{Name: "nowhere"} },
		"a nil output":           func(g *Graph) { g.Outputs = append(g.Outputs, nil) },
		"an output from nowhere": func(g *Graph) { g.Outputs[0] = &Value{Name: "nowhere"} },
		"a dimension of -2":      func(g *Graph) { g.Inputs[0].Type.Shape[1] = -2 },
		"more than fits":         func(g *Graph) { g.Nodes[0].Outputs[0].Type.Shape = []int{1 << 20, 1 << 20} },
		"a nil graph within":     func(g *Graph) { g.Nodes[0].Attrs = op.Attrs{"body": (*Graph)(nil)} },
		"a broken graph within":  func(g *Graph) { g.Nodes[0].Attrs = op.Attrs{"body": &Graph{Outputs: []*Value{nil}}} },
		"a circle":               func(g *Graph) { g.Nodes[0].Inputs[0] = g.Outputs[0] },
		"a circle nobody reads":  func(g *Graph) { v := g.New("self", "Relu", nil, nil); v.Node.Inputs[0] = v },
	} {
		g := make()
		damage(g)
		if err := g.Check(); !errors.Is(err, ErrGraph) && !errors.Is(err, ErrCycle) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := (*Graph)(nil).Check(); !errors.Is(err, ErrGraph) {
		t.Errorf("no graph: error %v", err)
	}
}
