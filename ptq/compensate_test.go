package ptq

import (
	"math"
	"sync/atomic"
	"testing"

	"github.com/narrow-ml/narrow/graph"
)

// TestPatches compares the rows that a convolution's weights meet with its result.
func TestPatches(t *testing.T) {
	for _, groups := range []int{1, 4} {
		n, x := newNet(4, 6, 5)
		y := n.conv("conv", x, 4, 8, groups)
		n.Nodes[0].Attrs["strides"] = []int64{2, 1}
		n.Nodes[0].Attrs["pads"] = []int64{0, 1, 2, 1}
		g := n.done(y)
		data := images(t, 2, 4, 6, 5)
		want := outputs(t, g, data) // 2 x 8 x 3 x 5
		var conv *graph.Node
		for _, m := range scaled(t, g, data).net.Nodes {
			if m.Op == "Conv" {
				conv = m
			}
		}
		p := patchesOf(conv)
		w, b := weightsOf(conv), conv.Inputs[2].Node.Inputs[0].Const.F32()
		sample, place, count := 0, 0, 0
		for batch := range data.Batches(2) {
			p.each(batch[0], 0, func(x []float32) {
				for o := range 8 {
					row := x[o/(8/groups)*p.row:][:p.row]
					sum := float64(b[o])
					for k, v := range row {
						sum += float64(v) * float64(w.data[o*len(row)+k])
					}
					at := place
					if sample == 1 {
						at = (place*15 + 7919%15) / 15 % 15
					}
					if got := want[(sample*8+o)*15+at]; math.Abs(got-sum) > 1e-4 {
						t.Fatalf("groups %d, sample %d, channel %d, place %d: %g, the convolution gives %g", groups, sample, o, at, sum, got)
					}
				}
				if place++; place == 15 {
					sample, place = sample+1, 0
				}
				count++
			})
		}
		if count != 30 {
			t.Errorf("%d rows", count)
		}
	}
}

// TestCorrectBiases: the mean of every channel comes back.
func TestCorrectBiases(t *testing.T) {
	n, x := newNet(3, 8, 8)
	x = n.New("relu", "Relu", nil, n.conv("a", x, 3, 8, 1))
	g := n.done(n.conv("b", x, 8, 4, 1))
	data := images(t, 256, 3, 8, 8)
	want := outputs(t, g, data)
	meanError := func(options ...Option) float64 {
		got := outputs(t, mustQuantize(t, g, data, append(options, WithBits(4, 8), WithCompensation(false))...).Graph, data)
		var shift [4]float64
		for i := range want {
			shift[i/64%4] += (got[i] - want[i]) / float64(len(want)/4)
		}
		worst := 0.0
		for _, s := range shift {
			worst = math.Max(worst, math.Abs(s))
		}
		return worst
	}
	before, after := meanError(), meanError(WithBiasCorrection(true))
	if after > before/2 {
		t.Errorf("largest mean error %g, corrected %g", before, after)
	}
}

func TestCompensationHelps(t *testing.T) {
	g, data := residualNet(), images(t, 256, 3, 8, 8)
	want := outputs(t, g, data)
	for _, bits := range []int{3, 4, 6} {
		plain := mustQuantize(t, g, data, WithBits(bits, 8), WithCompensation(false))
		better := mustQuantize(t, g, data, WithBits(bits, 8))
		a, b := ratio(want, outputs(t, plain.Graph, data)), ratio(want, outputs(t, better.Graph, data))
		if b < a+1 {
			t.Errorf("%d bits: %.1f dB, compensated %.1f", bits, a, b)
		}
	}
}

// TestSideBySideThreads: 0 stands for all processors, not for none.
func TestSideBySideThreads(t *testing.T) {
	for _, threads := range []int{0, 1, 3, 100} {
		var seen [7]atomic.Int32
		if err := sideBySide(threads, len(seen), func(_, i int) error { seen[i].Add(1); return nil }); err != nil {
			t.Fatal(err)
		}
		for i := range seen {
			if n := seen[i].Load(); n != 1 {
				t.Errorf("%d threads: %d was done %d times", threads, i, n)
			}
		}
		if err := sideBySide(threads, 1, func(int, int) error { panic("broken") }); err == nil {
			t.Errorf("%d threads: a panic is no error", threads)
		}
	}
}
