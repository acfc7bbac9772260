package ptq

import (
	"context"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// outlierNet multiplies, by two matrices, what a Gelu gives, of which one channel is far larger than all others.
func outlierNet(size float32) *graph.Graph {
	const d, h = 32, 256
	n, x := newNet(64, d)
	w, b := n.constant("up_w", 0.17, d, h), n.constant("up_b", 0.1, h)
	b.Const.F32()[77] = size
	y := n.New("gelu", "Gelu", nil, n.New("biased", "Add", nil, n.New("up", "MatMul", nil, x, w), b))
	n.Opset[""] = 20
	a := n.New("down", "MatMul", nil, y, n.constant("down_w", 0.06, h, d))
	c := n.New("side", "MatMul", nil, y, n.constant("side_w", 0.06, h, d))
	return n.done(n.New("tanh", "Tanh", nil, a), c)
}

// TestOutlierChannelsAreApart: a channel that is far too large is multiplied in float, and the result is the same.
func TestOutlierChannelsAreApart(t *testing.T) {
	data := images(t, 96, 64, 32)
	want := outputs(t, outlierNet(100), data)
	apart := func(p *Plan) (count int) {
		for _, np := range p.Nodes {
			if np.Float.Code == Outliers {
				count++
				if index := np.Node.In(0).Node.In(1).Const; len(tensor.Data[int64](index)) != 1 || tensor.Data[int64](index)[0] != 77 {
					t.Errorf("%s has channels %v", np.Node.Name, tensor.Data[int64](index))
				}
			}
		}
		return count
	}
	for _, c := range []struct {
		size    float32
		options []Option
		apart   int
		least   float64
	}{{100, nil, 2, 30}, {0, nil, 0, 30}, {100, []Option{WithPlaces(PlacesAll)}, 0, 0}, {100, []Option{WithNoRound(true)}, 2, 90}} {
		job, err := NewJob(outlierNet(c.size), data, c.options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := job.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := apart(job.Plan); n != c.apart {
			t.Errorf("size %g: %d products are apart, want %d:\n%s", c.size, n, c.apart, job.Plan)
		}
		r, err := job.Result()
		if err != nil {
			t.Fatal(err)
		}
		if c.size == 100 {
			if db := ratio(want, outputs(t, r.Graph, data)); db < c.least {
				t.Errorf("%.1f dB, at least %g are wanted", db, c.least)
			}
		}
		if f, err := job.Fork(WithPlaces(PlacesAll)); err != nil || apart(f.Plan) != c.apart {
			t.Errorf("a fork has %d products apart, %v", apart(f.Plan), err)
		}
		for _, np := range job.Plan.Nodes {
			if np.kind == op.Affine && np.Float.Code == Outliers {
				t.Errorf("%s is on integers", np.Node.Name)
			}
		}
	}
}

// TestChannelsOfGemmApart: taking channels out of a Gemm changes nothing, however its weights lie.
func TestChannelsOfGemmApart(t *testing.T) {
	for _, transposed := range []int64{0, 1} {
		build := func() *graph.Graph {
			n, x := newNet(6)
			shape := []int{6, 4}
			if transposed == 1 {
				shape = []int{4, 6}
			}
			return n.done(n.New("y", "Gemm", op.Attrs{"transB": transposed}, x, n.constant("w", 1, shape...), n.constant("b", 1, 4)))
		}
		g, data := build(), images(t, 16, 6)
		l := newLayer(g.Nodes[0])
		s := &scaledInput{value: g.Inputs[0], layers: []*layer{l}, axis: 1, apart: map[int]bool{1: true, 4: true}}
		s.scale(g, []float64{2, 1, 3, 0.5, 1, 1})
		if err := g.Sort(); err != nil {
			t.Fatal(err)
		}
		if err := graph.Infer(g); err != nil {
			t.Fatal(err)
		}
		if len(s.left) != 1 || g.Outputs[0].Name != "y" {
			t.Errorf("%d products in float, output %q", len(s.left), g.Outputs[0].Name)
		}
		if db := ratio(outputs(t, build(), data), outputs(t, g, data)); db < 110 {
			t.Errorf("transB=%d: %.1f dB", transposed, db)
		}
	}
}
