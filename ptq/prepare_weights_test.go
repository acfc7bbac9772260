package ptq

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/tensor"
)

func TestPrepareRefusesWeightsThatAreNotFinite(t *testing.T) {
	for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		g := &graph.Graph{Opset: map[string]int{"": 13}}
		x := &graph.Value{Name: "x", Type: op.Type{DType: tensor.Float32, Shape: []int{1, 2, 4, 4}, Known: true}}
		g.Inputs = []*graph.Value{x}
		w := tensor.From([]float32{1, 2, float32(bad), 4}, 2, 2, 1, 1)
		g.Outputs = []*graph.Value{g.New("conv1", "Conv", nil, x, graph.NewConst("w", w))}
		err := Prepare(g, 13)
		if !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), `"conv1"`) || !strings.Contains(err.Error(), `"w"`) {
			t.Errorf("weights with %v: %v", bad, err)
		}
	}
}
