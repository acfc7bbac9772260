package engine_test

import (
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/internal/qdq"
	"github.com/narrow-ml/narrow/tensor"
)

// literally computes g node by node with the reference kernels.
func literally(t *testing.T, g *graph.Graph, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	known := map[*graph.Value]*tensor.Tensor{g.Inputs[0]: x}
	for _, n := range g.Nodes {
		o, err := op.Lookup(n.Domain, n.Op)
		if err != nil {
			t.Fatal(err)
		}
		c := &op.Call{Attrs: n.Attrs, Version: g.Opset[n.Domain], Out: make([]*tensor.Tensor, len(n.Outputs))}
		for _, v := range n.Inputs {
			in := known[v]
			if v.IsConst() {
				in = v.Const
			}
			c.In = append(c.In, in)
		}
		if err := o.Run(c); err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		for i, v := range n.Outputs {
			known[v] = c.Out[i]
		}
	}
	return known[g.Outputs[0]]
}

// TestFloatSteps compares the fast ways of float networks with the reference kernels, for a batch at once and
// sample by sample.
func TestFloatSteps(t *testing.T) {
	for name, build := range qdq.FloatCases {
		t.Run(name, func(t *testing.T) {
			q, x := qdq.New(7, false, 8, 9, 7)
			g := q.Done(build(q, x.Node.In(0).Node.In(0)))
			if err := g.Sort(); err != nil { // without the quantization that New puts first
				t.Fatal(err)
			}
			input := qdq.RandomInput(3, 3, 8, 9, 7)
			want := literally(t, g, input)
			for _, threads := range []int{1, 3} {
				got := run(t, compile(t, g, engine.WithThreads(threads)), input)
				if err := compareTensors(got, want, true); err != nil {
					t.Errorf("%d threads: %v", threads, err)
				}
			}
		})
	}
}
