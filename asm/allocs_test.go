package asm

import "testing"

// checkNoAllocation fails if calls of run allocate, but for what a sync.Pool
// that a garbage collection emptied makes anew.
func checkNoAllocation(t *testing.T, name string, run func()) {
	t.Helper()
	if raceDetector {
		t.Skip("a sync.Pool forgets at random under the race detector")
	}
	run() // fills the pools
	if n := testing.AllocsPerRun(20, run); n >= 1 {
		t.Errorf("%s: %v allocations in a call", name, n)
	}
}

func TestStatisticsAndSweepsDoNotAllocate(t *testing.T) {
	x, y, q := make([]float32, 1000), make([]float32, 1000), make([]int8, 1000)
	h, err := NewSymmetricHistogram(1, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGrid[int8](0.1, 0, -128, 127)
	if err != nil {
		t.Fatal(err)
	}
	channels, err := NewChannelGrid([]float32{1, 2, 3, 4, 5}, []int8(nil), -128, 127)
	if err != nil {
		t.Fatal(err)
	}
	sums, candidates := make([]float64, 2), []Grid[int8]{g, g}
	checkNoAllocation(t, "sweeps", func() {
		MinMaxF32(x)
		StatsF32(x)
		h.Add(x)
		h.Counts()
		g.Quantize(q, x)
		g.Dequantize(y, q)
		g.QuantizeDequantize(y, x)
		channels.Quantize(q, x, 1)
		channels.Dequantize(y, q, 20)
		channels.QuantizeDequantize(y, x, 1)
		AddErrors(sums, x, candidates, 2)
	})
}
