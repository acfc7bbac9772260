package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func TestBinningLayout(t *testing.T) {
	var p binning
	checkOffsets(t, map[string][2]uintptr{
		"lo": {unsafe.Offsetof(p.lo), 0}, "hi": {unsafe.Offsetof(p.hi), 4}, "inv": {unsafe.Offsetof(p.inv), 8},
		"last": {unsafe.Offsetof(p.last), 12}, "below": {unsafe.Offsetof(p.below), 16}, "spare": {unsafe.Offsetof(p.spare), 20},
		"under": {unsafe.Offsetof(p.under), 24}, "over": {unsafe.Offsetof(p.over), 32},
		"nan": {unsafe.Offsetof(p.nan), 40}, "zeros": {unsafe.Offsetof(p.zeros), 48}, "index": {unsafe.Offsetof(p.index), 64},
	})
}

// histogramResult runs a kernel and returns all it counted.
func histogramResult(fn histogramFunc, p binning, x []float32) ([]uint64, binning) {
	bins := int(p.spare)
	sub, counts := make([]uint16, 4*(bins+1)), make([]uint64, bins)
	fn(sub, &p, x)
	flushCounters(counts, sub)
	p.index = [len(p.index)]uint32{}
	return counts, p
}

func testHistogramKernel(t *testing.T, op string, reference histogramFunc, cases map[string]binning) {
	forEachKernel(t, op, func(t *testing.T, fn histogramFunc, minLen int) {
		rng := rand.New(rand.NewPCG(7, 8))
		for name, p := range cases {
			for _, n := range laneSizes {
				n -= n % minLen
				for _, share := range []float64{0, 0.3, 1} {
					for _, x := range placements(t, someFloats(rng, n, share)) {
						got, gotP := histogramResult(fn, p, x)
						want, wantP := histogramResult(reference, p, x)
						if !slices.Equal(got, want) || gotP != wantP {
							t.Fatalf("%s, n=%d: got %v %+v, want %v %+v", name, n, got, gotP, want, wantP)
						}
					}
				}
			}
		}
	})
}

// newBinning returns the parameters of a histogram on [lo, hi].
func newBinning(t *testing.T, lo, hi float32, bins int) binning {
	h, err := NewHistogram(lo, hi, bins)
	if err != nil {
		t.Fatal(err)
	}
	return h.binning
}

func TestHistogramF32(t *testing.T) {
	testHistogramKernel(t, "histogramF32", histogramF32Generic, map[string]binning{
		"around 0": newBinning(t, -2, 2, 37), "above 0": newBinning(t, 0.1, 3, 2048),
		"below 0": newBinning(t, -3, -0.1, 1), "huge": newBinning(t, -math.MaxFloat32/4, math.MaxFloat32/4, 100),
	})
}

func TestHistogramMagF32(t *testing.T) {
	symmetric, err := NewSymmetricHistogram(4, 64)
	if err != nil {
		t.Fatal(err)
	}
	testHistogramKernel(t, "histogramMagF32", histogramMagF32Generic, map[string]binning{
		"magnitude": newBinning(t, 0, 2, 37), "two sides": symmetric.binning,
	})
}

// TestHistogramBinEdges puts the floats just around every border of every bin
// through every tier, and compares their bins with the contract's formula.
func TestHistogramBinEdges(t *testing.T) {
	for _, r := range []struct {
		lo, hi float32
		bins   int
	}{{-1, 1, 2048}, {0, 1, 1000}, {-0.3, 7.7, 333}, {1e-3, 1, 4096}, {-1e-30, 3e-30, 77}, {100, 101, 255}} {
		h, err := NewHistogram(r.lo, r.hi, r.bins)
		if err != nil {
			t.Fatal(err)
		}
		var x []float32
		for i := range r.bins + 1 {
			edge := float32(float64(r.lo) + float64(i)*(float64(r.hi)-float64(r.lo))/float64(r.bins))
			v := edge
			for range 8 {
				v = math.Nextafter32(v, -inf32)
			}
			for range 17 {
				x = append(x, v)
				v = math.Nextafter32(v, inf32)
			}
		}
		for len(x)%16 != 0 {
			x = append(x, nan32)
		}
		inv := float32(float64(r.bins) / (float64(r.hi) - float64(r.lo)))
		want := make([]uint64, r.bins)
		for _, v := range x {
			if v >= r.lo && v <= r.hi && v != 0 {
				d := v - r.lo
				want[min(int(math.Floor(float64(float32(d*inv)))), r.bins-1)]++
			}
		}
		forEachKernel(t, "histogramF32", func(t *testing.T, fn histogramFunc, _ int) {
			got, _ := histogramResult(fn, h.binning, x)
			if !slices.Equal(got, want) {
				t.Errorf("[%v, %v], %d bins: counts differ", r.lo, r.hi, r.bins)
			}
		})
	}
}

// TestHistogramEveryFloat bins every seventh float32 on a range around zero.
func TestHistogramEveryFloat(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds; -short was given")
	}
	p := newBinning(t, -3, 5, 1000)
	x := make([]float32, 1<<18)
	for first := uint64(0); first < 1<<32; first += 61 * uint64(len(x)) {
		for i := range x {
			x[i] = math.Float32frombits(uint32(first) + 61*uint32(i))
		}
		want, wantP := histogramResult(histogramF32Generic, p, x)
		got, gotP := histogramResult(histogramF32, p, x)
		if !slices.Equal(got, want) || gotP != wantP {
			t.Fatalf("the %d floats from bits %#x: counts differ", len(x), first)
		}
	}
}

func TestHistogram(t *testing.T) {
	x := []float32{-1, -1.01, 0, 0.99, 1, 1.01, nan32, inf32, -inf32, float32(math.Copysign(0, -1)), -0.5}
	h, err := NewHistogram(-1, 1, 4)
	if err != nil {
		t.Fatal(err)
	}
	h.Add(x)
	check := func(name string, h *Histogram, counts []uint64, under, over, nan, zeros uint64) {
		t.Helper()
		if !slices.Equal(h.Counts(), counts) || h.Under != under || h.Over != over || h.NaN != nan || h.Zeros != zeros {
			t.Errorf("%s: %v, under %d, over %d, NaN %d, zeros %d", name, h.Counts(), h.Under, h.Over, h.NaN, h.Zeros)
		}
	}
	check("plain", h, []uint64{1, 1, 0, 2}, 2, 2, 1, 2)
	if bin, inside := h.Bin(0); bin != 2 || !inside {
		t.Errorf("0 is in bin %d, %v", bin, inside)
	}
	if _, inside := h.Bin(1.01); inside {
		t.Error("1.01 is in a bin")
	}
	h.Reset()
	check("reset", h, []uint64{0, 0, 0, 0}, 0, 0, 0, 0)

	m, err := NewMagnitudeHistogram(1, 4)
	if err != nil {
		t.Fatal(err)
	}
	m.Add(x)
	check("magnitude", m, []uint64{0, 0, 1, 3}, 0, 4, 1, 2)
	if bin, inside := m.Bin(-1); bin != 3 || !inside {
		t.Errorf("-1 is in bin %d, %v", bin, inside)
	}
}

// TestHistogramWidenAndMerge: in any order of elements, widening and merging,
// the counts are those of one histogram that had the last range from the start.
func TestHistogramWidenAndMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	const bins = 64
	widest, _ := NewSymmetricHistogram(1<<20, bins)
	var merged *Histogram
	for exp := -10; exp <= 20; exp += 5 {
		x := someFloats(rng, 3000, 0)
		for i := range x {
			x[i] = float32(math.Ldexp(rng.Float64()*2-1, exp-rng.IntN(4)))
		}
		widest.Add(x)
		h, err := NewSymmetricHistogram(float32(math.Ldexp(1, exp)), bins)
		if err != nil {
			t.Fatal(err)
		}
		h.Add(x[:1000])
		if merged != nil {
			if merged.Merge(h) == nil {
				t.Fatal("merged histograms of different ranges")
			}
			if err := merged.Widen(5); err != nil {
				t.Fatal(err)
			}
			if err := h.Merge(merged); err != nil {
				t.Fatal(err)
			}
		}
		h.Add(x[1000:])
		merged = h
	}
	if !slices.Equal(merged.Counts(), widest.Counts()) || merged.Over+widest.Over != 0 {
		t.Errorf("got %v, want %v", merged.Counts(), widest.Counts())
	}
	if err := merged.Widen(200); err == nil {
		t.Error("widened past float32")
	}
	if h, _ := NewHistogram(-1, 1, 4); h.Widen(1) == nil {
		t.Error("widened a range that does not start at 0")
	}
}

// TestHistogramCountersDoNotOverflow counts one value more often than 16 bits
// can hold, in one call and in many.
func TestHistogramCountersDoNotOverflow(t *testing.T) {
	x := make([]float32, 600_001)
	for i := range x {
		x[i] = 0.3
	}
	for _, step := range []int{1, 1023, len(x)} {
		h, _ := NewHistogram(0, 1, 10)
		for rest := x; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			h.Add(rest[:min(step, len(rest))])
		}
		if got := h.Counts()[3]; got != uint64(len(x)) {
			t.Errorf("in steps of %d: counted %d of %d", step, got, len(x))
		}
	}
}

func TestNewHistogramErrors(t *testing.T) {
	for _, r := range []struct {
		lo, hi float32
		bins   int
	}{{1, 1, 4}, {2, 1, 4}, {nan32, 1, 4}, {0, nan32, 4}, {0, inf32, 4}, {-math.MaxFloat32, math.MaxFloat32, 4}, {0, 1, 0}, {0, 1, maxBins + 1}, {0, math.SmallestNonzeroFloat32, 4}} {
		if _, err := NewHistogram(r.lo, r.hi, r.bins); err == nil {
			t.Errorf("NewHistogram(%v, %v, %d): no error", r.lo, r.hi, r.bins)
		}
	}
}

// floatsOf reads float32 values from a fuzzer's bytes.
func floatsOf(data []byte) []float32 {
	x := make([]float32, len(data)/4)
	for i := range x {
		x[i] = math.Float32frombits(uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24)
	}
	return x
}

// FuzzStatistics compares statistics and histogram with their
// references on any floats and range.
func FuzzStatistics(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"), float32(-1), float32(1), 16)
	f.Add(make([]byte, 300), float32(0), float32(1e-30), 2048)
	f.Fuzz(func(t *testing.T, data []byte, lo, hi float32, bins int) {
		x := floatsOf(data)
		want := newMoments()
		momentsF32Generic(&want, x)
		if got := StatsF32(x); got != want.stats(len(x)) {
			t.Errorf("statistics: got %+v, want %+v", got, want.stats(len(x)))
		}
		h, err := NewHistogram(lo, hi, bins)
		if err != nil || bins > 1<<12 {
			return
		}
		got, gotP := histogramResult(histogramF32, h.binning, x[:len(x)&^15])
		ref, refP := histogramResult(histogramF32Generic, h.binning, x[:len(x)&^15])
		if !slices.Equal(got, ref) || gotP != refP {
			t.Errorf("histogram: got %v %+v, want %v %+v", got, gotP, ref, refP)
		}
	})
}

// benchSizes are float32 counts that fit in L2, in L3, and in neither.
var benchSizes = []struct {
	name string
	n    int
}{{"256KiB", 1 << 16}, {"4MiB", 1 << 20}, {"64MiB", 1 << 24}}

// benchKernels runs fn for every tier of op and every size. It reports GB/s of
// bytes, the bytes read and written for each element, and Gelem/s.
func benchKernels(b *testing.B, op string, bytes int, prepare func(k kernel, n int) (run func())) {
	for _, k := range kernels {
		if k.op != op || !active.Has(k.needs) {
			continue
		}
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%s", k.needs, size.name), func(b *testing.B) {
				run := prepare(k, size.n)
				run() // has the system give out the pages
				b.SetBytes(int64(bytes * size.n))
				r := newBestRate(b)
				for b.Loop() {
					r.time(run)
				}
				r.reportAs("Gelem/s", float64(size.n))
			})
		}
	}
}

// normalFloats returns n floats, the first 2^18 of them again and again.
func normalFloats(b *testing.B, n int, relu bool) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	x := benchSlice[float32](b, n)
	for i := range x[:min(n, 1<<18)] {
		x[i] = float32(rng.NormFloat64())
		if relu {
			x[i] = max(x[i], 0)
		}
	}
	for i := 1 << 18; i < n; i *= 2 {
		copy(x[i:], x[:i])
	}
	return x
}

func BenchmarkMinMaxF32(b *testing.B) {
	benchKernels(b, "minMaxF32", 4, func(k kernel, n int) func() {
		x, fn := normalFloats(b, n, false), k.fn.(func([]float32) (float32, float32, int))
		return func() { fn(x) }
	})
}

func BenchmarkStatsF32(b *testing.B) {
	benchKernels(b, "momentsF32", 4, func(k kernel, n int) func() {
		x, fn := normalFloats(b, n, false), k.fn.(func(*moments, []float32))
		m := newMoments()
		return func() { fn(&m, x) }
	})
}

func benchHistogram(b *testing.B, lo float32, relu bool) {
	benchKernels(b, "histogramF32", 4, func(k kernel, n int) func() {
		x := normalFloats(b, n, relu)
		h, err := NewHistogram(lo, 6, 2048)
		if err != nil {
			b.Fatal(err)
		}
		h.kernel = k.fn.(histogramFunc)
		return func() { h.Add(x) }
	})
}

func BenchmarkHistogramF32(b *testing.B)     { benchHistogram(b, -6, false) }
func BenchmarkHistogramF32Relu(b *testing.B) { benchHistogram(b, 0, true) }

// BenchmarkHistogramPlainGo is the loop one would write without this package.
func BenchmarkHistogramPlainGo(b *testing.B) {
	for _, d := range []struct {
		name string
		lo   float32
		relu bool
	}{{"normal", -6, false}, {"relu", 0, true}} {
		for _, size := range benchSizes {
			b.Run(d.name+"/"+size.name, func(b *testing.B) {
				x, counts := normalFloats(b, size.n, d.relu), make([]uint64, 2048)
				lo, hi, inv := d.lo, float32(6), 2048/(6-d.lo)
				r := newBestRate(b)
				for b.Loop() {
					r.time(func() {
						for _, v := range x {
							if v >= lo && v < hi {
								counts[int((v-lo)*inv)]++
							}
						}
					})
				}
				r.reportAs("Gelem/s", float64(size.n))
			})
		}
	}
}
