package ptq

import (
	"context"
	"iter"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// samples is a data set in memory, one tensor for the one input.
type samples struct{ all *tensor.Tensor }

func (s samples) Len() int { return s.all.Shape()[0] }

func (s samples) Batches(n int) iter.Seq2[[]*tensor.Tensor, error] {
	return func(yield func([]*tensor.Tensor, error) bool) {
		size := s.all.Len() / s.Len()
		for at := 0; at < s.Len(); at += n {
			count := min(n, s.Len()-at)
			shape := append([]int{count}, s.all.Shape()[1:]...)
			if !yield([]*tensor.Tensor{tensor.From(s.all.F32()[at*size:(at+count)*size], shape...)}, nil) {
				return
			}
		}
	}
}

// A network whose outputs are the largest of its values needs the whole range,
// one that saturates does not.
func TestBestClip(t *testing.T) {
	x := tensor.New(tensor.Float32, 64, 1, 8, 8)
	for i := range x.F32() {
		x.F32()[i] = float32(i%61) / 61
		if i%2048 == 17 {
			x.F32()[i] = 40 + float32(i%7)
		}
	}
	build := func(last string, attrs op.Attrs, more ...*graph.Value) *graph.Graph {
		g := &graph.Graph{Opset: map[string]int{"": 13}}
		in := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{op.Unknown, 1, 8, 8}, Known: true}}
		g.Inputs = []*graph.Value{in}
		conv := g.New("conv", "Conv", nil, in, graph.NewConst("w", tensor.From([]float32{1}, 1, 1, 1, 1)))
		relu := g.New("relu", "Relu", nil, conv)
		g.Outputs = []*graph.Value{g.New("y", last, attrs, append([]*graph.Value{relu}, more...)...)}
		return g
	}
	one := graph.NewConst("one", tensor.Scalar[float32](1))
	zero := graph.NewConst("zero", tensor.Scalar[float32](0))
	for name, c := range map[string]struct {
		g     *graph.Graph
		whole bool // whether the largest values must be kept
	}{
		"largest":    {build("GlobalMaxPool", nil), true},
		"saturating": {build("Clip", nil, zero, one), false},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := NewJob(c.g, samples{x}, WithClip(Auto), WithAsymmetric(true))
			if err != nil {
				t.Fatal(err)
			}
			if err := j.take(context.Background(), calibrateStep); err != nil {
				t.Fatal(err)
			}
			before := graph.Format(j.Plan.Graph)
			rule, err := bestClip(context.Background(), j)
			if err != nil {
				t.Fatal(err)
			}
			if graph.Format(j.Plan.Graph) != before {
				t.Error("the graph was changed")
			}
			h := j.Stats.Tensors["relu"]
			if h == nil {
				h = j.Stats.Tensors["y"]
			}
			kept := rule.Threshold(h, Grid{Bits: 8})
			if _, full := h.Range(); (kept > 0.9*full) != c.whole && full > 2 {
				t.Errorf("%s keeps %g of %g", rule, kept, full)
			}
		})
	}
}
