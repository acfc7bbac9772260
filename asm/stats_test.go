package asm

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// laneSizes are lengths around every vector width.
var laneSizes = func() []int {
	var n []int
	for i := range 18 {
		n = append(n, i)
	}
	return append(n, 31, 32, 33, 47, 48, 63, 64, 65, 95, 96, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1031)
}()

var (
	inf32 = float32(math.Inf(1))
	nan32 = float32(math.NaN())
)

// specials are the float32 values that kernels get wrong.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, inf32, -inf32, nan32, math.Float32frombits(0xffffffff),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.Float32frombits(0x007fffff), math.Float32frombits(0x00800000),
	math.MaxFloat32, -math.MaxFloat32, 0.5, 1.5, 2.5, -0.5, -1.5, 127, 127.5, 128, -128, -128.5, 255, 255.5, 32767.5, -32768.5, 65535.5, 1 << 31, -(1 << 31), 1 << 32,
}

// someFloats returns n values, about the given share of them special.
func someFloats(rng *rand.Rand, n int, special float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()))
		if rng.Float64() < special {
			x[i] = specials[rng.IntN(len(specials))]
		}
	}
	return x
}

// placements returns copies of x at both guard pages and at every offset from
// a vector's alignment.
func placements[T any](t testing.TB, x []T) [][]T {
	atEnd, atStart := guardedCopies(t, x)
	all := [][]T{atEnd, atStart}
	for shift := range 16 {
		b := make([]T, len(x)+16)[shift : shift+len(x)]
		copy(b, x)
		all = append(all, b)
	}
	return all
}

func TestMinMaxF32(t *testing.T) {
	forEachKernel(t, "minMaxF32", func(t *testing.T, fn func([]float32) (float32, float32, int), minLen int) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, n := range laneSizes {
			n -= n % minLen
			for _, share := range []float64{0, 0.1, 1} {
				for _, x := range placements(t, someFloats(rng, n, share)) {
					lo, hi, nan := fn(x)
					wantLo, wantHi, wantNaN := minMaxF32Generic(x)
					if lo != wantLo || hi != wantHi || nan != wantNaN {
						t.Fatalf("n=%d: got %v %v %d, want %v %v %d", n, lo, hi, nan, wantLo, wantHi, wantNaN)
					}
				}
			}
		}
	})
}

func TestMinMaxF32Whole(t *testing.T) {
	x := []float32{3, nan32, -2, inf32}
	if lo, hi, nan := MinMaxF32(x); lo != -2 || hi != inf32 || nan != 1 {
		t.Errorf("got %v %v %d", lo, hi, nan)
	}
	if lo, hi, nan := MinMaxF32(nil); lo != inf32 || hi != -inf32 || nan != 0 {
		t.Errorf("of nothing: got %v %v %d", lo, hi, nan)
	}
}

func TestMomentsF32(t *testing.T) {
	forEachKernel(t, "momentsF32", func(t *testing.T, fn func(*moments, []float32), minLen int) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, n := range laneSizes {
			n -= n % minLen
			for _, share := range []float64{0, 0.1, 1} {
				for _, x := range placements(t, someFloats(rng, n, share)) {
					got, want := newMoments(), newMoments()
					for range 2 { // the second time adds to the first
						fn(&got, x)
						momentsF32Generic(&want, x)
					}
					if a, b := got.stats(2*n), want.stats(2*n); a != b {
						t.Fatalf("n=%d: got %+v, want %+v", n, a, b)
					}
				}
			}
		}
	})
}

func TestStatsF32(t *testing.T) {
	x := []float32{1, -3, 0, float32(math.Copysign(0, -1)), nan32, inf32, -inf32, 4}
	want := Stats{Count: 8, NaN: 1, Inf: 2, Zeros: 2, Min: -3, Max: 4, Sum: 2, SumSq: 26}
	got := StatsF32(x)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.Mean() != 0.4 || math.Abs(got.Variance()-(26.0/5-0.16)) > 1e-15 || got.MaxAbs() != 4 {
		t.Errorf("mean %v, variance %v, max %v", got.Mean(), got.Variance(), got.MaxAbs())
	}
	if s := StatsF32(nil); s.Count != 0 || s.MaxAbs() != 0 || !math.IsNaN(s.Mean()) {
		t.Errorf("of nothing: %+v", s)
	}
}

func TestMomentsLayout(t *testing.T) {
	var m moments
	checkOffsets(t, map[string][2]uintptr{
		"sum": {unsafe.Offsetof(m.sum), 0}, "sumSq": {unsafe.Offsetof(m.sumSq), 128},
		"lo": {unsafe.Offsetof(m.lo), 256}, "hi": {unsafe.Offsetof(m.hi), 320},
		"nan": {unsafe.Offsetof(m.nan), 384}, "zeros": {unsafe.Offsetof(m.zeros), 448}, "finite": {unsafe.Offsetof(m.finite), 512},
	})
}

// skipWithoutAssembly skips a test of what only assembly depends on.
func skipWithoutAssembly(t *testing.T) {
	t.Helper()
	if len(archKernels) == 0 {
		t.Skip("no assembly in this build")
	}
}

// checkOffsets compares the offsets of a struct's fields with those that the
// generator takes them to have.
func checkOffsets(t *testing.T, fields map[string][2]uintptr) {
	t.Helper()
	skipWithoutAssembly(t)
	for name, o := range fields {
		if o[0] != o[1] {
			t.Errorf("%s is at offset %d, the kernels take it to be at %d", name, o[0], o[1])
		}
	}
}
