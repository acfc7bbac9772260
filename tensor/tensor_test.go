package tensor

import (
	"errors"
	"math"
	"testing"
)

func TestHalfRoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		h := Half(i)
		f := h.Float32()
		if f != f {
			if g := HalfFrom(f); g.Float32() == g.Float32() {
				t.Fatalf("%#x: NaN became %v", i, g.Float32())
			}
			continue
		}
		if got := HalfFrom(f); got != h {
			t.Fatalf("%#x -> %v -> %#x", i, f, got)
		}
	}
}

func TestHalfRounding(t *testing.T) {
	for _, c := range []struct{ in, want float32 }{
		{1 + 1.0/2048, 1},                  // tie to even
		{1 + 3.0/2048, 1 + 2.0/1024},       // tie to even, up
		{65519, 65504},                     // below the tie with 65536
		{65520, float32(math.Inf(1))},      // at the tie
		{1.0 / (1 << 25), 0},               // tie with zero
		{1.5 / (1 << 25), 1.0 / (1 << 24)}, // above it
		{-2.5, -2.5},
	} {
		if got := HalfFrom(c.in).Float32(); got != c.want {
			t.Errorf("HalfFrom(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestBHalf(t *testing.T) {
	for _, f := range []float32{0, 1, -3.5, 1e38, float32(math.Inf(-1))} {
		got := BHalfFrom(f).Float32()
		if math.Abs(float64(got-f)) > math.Abs(float64(f))/256 {
			t.Errorf("BHalfFrom(%v) = %v", f, got)
		}
	}
}

func TestReshape(t *testing.T) {
	x := From([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	y, err := x.Reshape(3, 2)
	if err != nil || y.F32()[5] != 6 {
		t.Fatal(y, err)
	}
	if _, err := x.Reshape(4); !errors.Is(err, ErrShape) {
		t.Fatalf("got %v", err)
	}
}

func TestCheckedVolume(t *testing.T) {
	for _, s := range [][]int{{-1}, {math.MaxInt, 2}, {math.MaxInt / 2, 3}} {
		if _, ok := CheckedVolume(s); ok {
			t.Errorf("%v is accepted", s)
		}
	}
	if n, ok := CheckedVolume([]int{1 << 20, 0, 3}); !ok || n != 0 {
		t.Error(n, ok)
	}
}
