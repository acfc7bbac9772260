package ptq

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narrow-ml/narrow/dataset"
	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/tensor"
)

// correlatedMoments returns the second moments of places whose elements are correlated.
func correlatedMoments(r *rand.Rand, d, places int) []float32 {
	c := make([]float32, d*d)
	x := make([]float64, d)
	for range places {
		common := r.NormFloat64()
		for i := range x {
			x[i] = (r.NormFloat64() + 2*common) * float64(1+i%5)
		}
		for i, v := range x {
			for j, w := range x {
				c[i*d+j] += float32(v * w / float64(places))
			}
		}
	}
	return c
}

// resultError is e*C*transpose(e) by the definition.
func resultError(c []float32, e []float64) float64 {
	d, sum := len(e), 0.0
	for i, v := range e {
		for j, w := range e {
			sum += v * w * float64(c[i*d+j])
		}
	}
	return sum
}

// TestBlockRounder holds values to the grids of their blocks, and the error of the results to a part of that of rounding to nearest.
func TestBlockRounder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ d, block, bits int }{{64, 16, 4}, {96, 32, 3}, {80, 32, 4}, {70, 70, 4}, {130, 128, 8}} {
		q := &weightQuantizer{WeightOptions: WeightOptions{Bits: c.bits, Block: c.block}}
		moments := correlatedMoments(r, c.d, 4*c.d)
		blocks := make([]int, c.d)
		for i := range blocks {
			blocks[i] = i / c.block
		}
		const rows = 5
		weights := make([]float32, rows*c.d)
		for i := range weights {
			weights[i] = float32(r.NormFloat64())
		}
		rounder, err := newBlockRounder(slices.Clone(moments), blocks)
		if err != nil {
			t.Fatal(err)
		}
		b := rounder.round(weights, rows, q.fitBy)
		own, plain := 0.0, 0.0
		e := make([]float64, c.d)
		for o := range rows {
			for k, block := range rounder.blocks {
				l := b.levels[o*len(rounder.blocks)+k]
				for i := block[0]; i < block[1]; i++ {
					v := b.values[o*c.d+i]
					if v != float32(l.Round(float64(v))) {
						t.Fatalf("%+v: %v is on no level of its block", c, v)
					}
					if blocks[rounder.order[i]] != blocks[rounder.order[block[0]]] {
						t.Fatalf("%+v: a block has weights of two", c)
					}
					e[rounder.order[i]] = float64(v - weights[o*c.d+rounder.order[i]])
				}
			}
			own += resultError(moments, e)
			for from := 0; from < c.d; from += c.block {
				x := weights[o*c.d+from : o*c.d+min(from+c.block, c.d)]
				l := q.fit(x)
				for i, v := range x {
					e[from+i] = l.Round(float64(v)) - float64(v)
				}
			}
			plain += resultError(moments, e)
		}
		if gain := 10 * math.Log10(plain/own); gain < 3 {
			t.Errorf("%+v: compensation gains %.1f dB, want 3", c, gain)
		}
	}
}

// TestCompensatedBlocks quantizes matrices and convolutions by what they meet: better than without on inputs held back, the
// same with any number of threads, and not at all where the inputs tell nothing.
func TestCompensatedBlocks(t *testing.T) {
	n, x := newNet(8, 6, 6)
	y := n.New("relu", "Relu", nil, n.conv("conv", x, 8, 32, 1))
	y = n.New("relu2", "Relu", nil, n.conv("grouped", y, 32, 64, 2))
	y = n.New("relu3", "Relu", nil, n.conv("depthwise", y, 64, 64, 64))
	y = n.New("pool", "GlobalAveragePool", nil, y)
	y = n.New("flat", "Flatten", nil, y)
	g := n.done(n.gemm("fc", y, 64, 40))
	data := correlatedData(t, 48, 8, 6, 6)
	for _, block := range []int{0, 16} {
		o := WeightOptions{Bits: 4, Block: block, Form: WeightsQDQ}
		plain, err := QuantizeWeights(context.Background(), g, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Data, o.Threads = data, 1
		one, err := QuantizeWeights(context.Background(), g, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Threads = 3
		three, err := QuantizeWeights(context.Background(), g, o)
		if err != nil {
			t.Fatal(err)
		}
		if one.Compensated != 4 || one.Measured == nil || one.Measured.Inputs != 6 {
			t.Fatalf("block %d: %d tensors compensated, measured %+v", block, one.Compensated, one.Measured)
		}
		before, after := heldRatio(t, g, plain.Graph, data), heldRatio(t, g, one.Graph, data)
		if after < before+2 {
			t.Errorf("block %d: %.1f dB compensated, %.1f dB without", block, after, before)
		}
		if math.Abs(after-one.Measured.SQNR) > 0.1 {
			t.Errorf("block %d: says %.2f dB, is %.2f dB", block, one.Measured.SQNR, after)
		}
		if !slices.Equal(constants(one.Graph), constants(three.Graph)) {
			t.Errorf("block %d: the result depends on the number of threads", block)
		}
	}
}

// correlatedData are inputs whose channels follow one another.
func correlatedData(t *testing.T, count int, shape ...int) dataset.Source {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 8))
	inner := tensor.Volume(shape[1:])
	x := make([]float32, count*tensor.Volume(shape))
	for s := range count * inner {
		common := r.NormFloat64()
		for c := range shape[0] {
			x[(s/inner*shape[0]+c)*inner+s%inner] = float32(r.NormFloat64() + 2*common)
		}
	}
	data, err := dataset.FromTensors(tensor.From(x, append([]int{count}, shape...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// heldRatio is the ratio on the inputs that are held back.
func heldRatio(t *testing.T, g, quantized *graph.Graph, data dataset.Source) float64 {
	t.Helper()
	_, held := heldBack(data)
	judge, err := newJudge(context.Background(), g, held, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := judge.measure(context.Background(), quantized, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m.SQNR
}

func constants(g *graph.Graph) []byte {
	var all []byte
	for _, v := range g.Values() {
		if v.IsConst() {
			all = append(all, v.Const.Bytes()...)
		}
	}
	return all
}
