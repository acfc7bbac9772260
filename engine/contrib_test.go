package engine_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/graph/op"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

// TestContrib reads files with operators that ONNX Runtime's optimizer writes: they compute what they are defined to.
func TestContrib(t *testing.T) {
	x := tensor.From([]float32{-1, 0.5, 2, 3}, 1, 1, 2, 2)
	rows := tensor.From([]float32{-1, 0.5, 2, 3}, 2, 2)
	w := graph.NewConst("w", tensor.From([]float32{2}, 1, 1, 1, 1))
	bias := graph.NewConst("bias", tensor.From([]float32{0.5, -0.5}, 2))
	ones := graph.NewConst("ones", tensor.From([]float32{1, 1}, 2))
	gelu := func(v float64) float64 { return v / 2 * (1 + math.Erf(v/math.Sqrt2)) }
	fast := func(v float64) float64 { return v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))) }
	norm := func(a, b float64) [2]float64 {
		d := (a - b) / 2
		k := 1 / math.Sqrt(d*d+1e-12)
		return [2]float64{d * k, -d * k}
	}
	n1, n2 := norm(-2+0.5, 1-0.5), norm(4+0.5, 6-0.5)
	for k, c := range []struct {
		operator string
		attrs    op.Attrs
		x        *tensor.Tensor
		more     []*graph.Value
		want     []float64
	}{
		{"FusedConv", op.Attrs{"activation": "Relu"}, x, []*graph.Value{w}, []float64{0, 1, 4, 6}},
		{"FusedConv", op.Attrs{"activation": "Clip", "activation_params": []float32{-1, 5}}, x, []*graph.Value{w}, []float64{-1, 1, 4, 5}},
		{"FusedConv", op.Attrs{"activation": "LeakyRelu", "activation_params": []float32{0.1}}, x, []*graph.Value{w}, []float64{-0.2, 1, 4, 6}},
		{"FusedGemm", op.Attrs{"activation": "Relu", "transB": int64(1)}, rows, []*graph.Value{graph.NewConst("m", tensor.From([]float32{1, 0, 0, 2}, 2, 2)), bias}, []float64{0, 0.5, 2.5, 5.5}},
		{"FusedMatMul", op.Attrs{"transA": int64(1), "alpha": float32(2)}, rows, []*graph.Value{graph.NewConst("m", tensor.From([]float32{1, 0, 0, 1}, 2, 2))}, []float64{-2, 4, 1, 6}},
		{"BiasGelu", nil, rows, []*graph.Value{bias}, []float64{gelu(-0.5), gelu(0), gelu(2.5), gelu(2.5)}},
		{"FastGelu", nil, rows, []*graph.Value{bias}, []float64{fast(-0.5), fast(0), fast(2.5), fast(2.5)}},
		{"QuickGelu", op.Attrs{"alpha": float32(1)}, rows, nil, []float64{-1 / (1 + math.E), 0.5 / (1 + math.Exp(-0.5)), 2 / (1 + math.Exp(-2)), 3 / (1 + math.Exp(-3))}},
		{"SkipLayerNormalization", op.Attrs{"epsilon": float32(1e-12)}, rows, []*graph.Value{graph.NewConst("skip", rows), ones, nil, bias}, []float64{n1[0], n1[1], n2[0], n2[1]}},
		{"SkipLayerNormalization", nil, rows, []*graph.Value{graph.NewConst("skip", rows), ones, nil, bias}, []float64{n1[0], n1[1], n2[0], n2[1]}},
	} {
		g := &graph.Graph{Opset: map[string]int{"": 17 - 4*(k%2), "com.microsoft": 1}}
		in := typed("x", tensor.Float32, c.x.Shape()...)
		g.Inputs = []*graph.Value{in}
		y := g.New("y", c.operator, c.attrs, append([]*graph.Value{in}, c.more...)...)
		y.Node.Domain = "com.microsoft"
		g.Outputs = []*graph.Value{y}
		var b bytes.Buffer
		if err := onnx.Write(&b, g); err != nil {
			t.Fatal(err)
		}
		read, err := onnx.Read(b.Bytes())
		if err != nil {
			t.Errorf("%s: %v", c.operator, err)
			continue
		}
		got := run(t, compile(t, read), c.x).Float64s()
		for i, want := range c.want {
			if math.Abs(got[i]-want) > 1e-5 {
				t.Errorf("%s %v gives %v, want %v", c.operator, c.attrs, got, c.want)
				break
			}
		}
	}
}
