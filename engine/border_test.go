package engine_test

import (
	"context"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

// TestHugeBorder runs windows so far apart that the image with its border would take terabytes: it is not laid out.
func TestHugeBorder(t *testing.T) {
	const far = 900_000
	list := func(v int64) []int64 { return []int64{v, v} }
	attrs := op.Attrs{"dilations": list(far), "pads": append(list(far), list(far)...)}
	for _, operator := range []string{"Conv", "MaxPool"} {
		a := op.Attrs{"kernel_shape": list(3)}
		for k, v := range attrs {
			a[k] = v
		}
		g := &graph.Graph{Opset: map[string]int{"": 17}}
		x := typed("x", tensor.Float32, -1, 1, 4, 4)
		g.Inputs = []*graph.Value{x}
		in := []*graph.Value{x}
		if operator == "Conv" {
			w := tensor.New(tensor.Float32, 1, 1, 3, 3)
			w.F32()[4] = 2 // only the middle meets the image
			in = append(in, graph.NewConst("w", w))
		}
		g.Outputs = []*graph.Value{g.New("y", operator, a, in...)}
		data := tensor.New(tensor.Float32, 1, 1, 4, 4)
		data.F32()[5] = 3
		out, err := compile(t, g).Run(context.Background(), data)
		if err != nil {
			t.Errorf("%s: %v", operator, err)
			continue
		}
		if got := out[0].F32()[5]; got != 3 && got != 6 {
			t.Errorf("%s gives %v", operator, out[0].F32())
		}
	}
}
