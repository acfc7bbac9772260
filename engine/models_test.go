package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/narrow-ml/narrow/engine"
	"github.com/narrow-ml/narrow/tensor"
)

// TestGolden compares all shared models with outputs made by ONNX Runtime.
func TestGolden(t *testing.T) {
	for _, m := range sharedModels {
		t.Run(m.name, func(t *testing.T) {
			want := array(t, "golden/"+m.name+"_fp32_out.npy")
			got := run(t, compile(t, m.graph(t)), m.inputs(t, want.Shape()[0]))
			if d := relativeError(got.F32(), want.F32()); d > 1e-4 {
				t.Errorf("relative error %g", d)
			}
		})
	}
}

// relativeError is the largest difference, relative to the largest number of
// its row of outputs.
func relativeError(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var diff, top float64
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff, top = max(diff, d), max(top, math.Abs(float64(want[i])))
	}
	return diff / top
}

// TestInvariance checks that threads and batch do not change a bit.
func TestInvariance(t *testing.T) {
	for _, m := range sharedModels {
		t.Run(m.name, func(t *testing.T) {
			g := m.graph(t)
			x := m.inputs(t, 0)
			x = x.Rows(0, min(21, x.Shape()[0]))
			want := run(t, compile(t, g, engine.WithThreads(1)), x)
			for _, threads := range []int{1, 2, 5} {
				net := compile(t, g, engine.WithThreads(threads))
				for _, batch := range []int{1, 2, 3, 21} {
					for at := 0; at < x.Shape()[0]; at += batch {
						end := min(at+batch, x.Shape()[0])
						got := run(t, net, x.Rows(at, end))
						if !bytes.Equal(got.Bytes(), want.Rows(at, end).Bytes()) {
							t.Fatalf("%d threads, samples %d to %d: other bits", threads, at, end)
						}
					}
				}
			}
		})
	}
}

func BenchmarkModels(b *testing.B) {
	for _, m := range sharedModels {
		g := m.graph(b)
		for _, batch := range []int{1, 16} {
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/batch%d/threads%d", m.name, batch, threads), func(b *testing.B) {
					benchmarkNet(b, compile(b, g, engine.WithThreads(threads)), m, batch)
				})
			}
		}
	}
}

func benchmarkNet(b *testing.B, net *engine.Net, m sharedModel, batch int) {
	x := m.inputs(b, 16)
	for x.Shape()[0] < batch {
		b.Skip("too few inputs")
	}
	ins := []*tensor.Tensor{x.Rows(0, batch)}
	outs := []*tensor.Tensor{run(b, net, ins[0])}
	b.ReportAllocs()
	for b.Loop() {
		if err := net.RunInto(context.Background(), outs, ins); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "images/s")
}
