package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func TestGridLayout(t *testing.T) {
	var g gridParams
	checkOffsets(t, map[string][2]uintptr{
		"lo": {unsafe.Offsetof(g.lo), 0}, "hi": {unsafe.Offsetof(g.hi), 4}, "inv": {unsafe.Offsetof(g.inv), 8},
		"scale": {unsafe.Offsetof(g.scale), 12}, "zero": {unsafe.Offsetof(g.zero), 16}, "invLow": {unsafe.Offsetof(g.invLow), 20},
	})
	var c channelParams
	checkOffsets(t, map[string][2]uintptr{
		"lo": {unsafe.Offsetof(c.lo), 0}, "hi": {unsafe.Offsetof(c.hi), 8}, "inv": {unsafe.Offsetof(c.inv), 16},
		"scale": {unsafe.Offsetof(c.scale), 24}, "zero": {unsafe.Offsetof(c.zero), 32},
		"channels": {unsafe.Offsetof(c.channels), 40}, "step": {unsafe.Offsetof(c.step), 48}, "invLow": {unsafe.Offsetof(c.invLow), 56},
	})
}

// lowest and highest integer of Q.
func bounds[Q Quantized]() (low, high Q) {
	switch p := any(&low).(type) {
	case *int8:
		*p, *any(&high).(*int8) = math.MinInt8, math.MaxInt8
	case *uint8:
		*any(&high).(*uint8) = math.MaxUint8
	case *int16:
		*p, *any(&high).(*int16) = math.MinInt16, math.MaxInt16
	case *uint16:
		*any(&high).(*uint16) = math.MaxUint16
	case *int32:
		*p, *any(&high).(*int32) = math.MinInt32, math.MaxInt32
	}
	return low, high
}

// gridFloats returns floats around the borders between the integers of a grid,
// and special ones.
func gridFloats(rng *rand.Rand, n int, p *gridParams) []float32 {
	x := someFloats(rng, n, 0.1)
	for i := range x {
		if rng.IntN(3) > 0 { // halfway between two integers, give or take an ulp
			q := float64(rng.IntN(600)-300) + 0.5
			x[i] = float32(q * float64(p.scale))
			x[i] = math.Float32frombits(math.Float32bits(x[i]) + uint32(rng.IntN(5)-2))
		}
	}
	return x
}

func channelFloats(rng *rand.Rand, n int, c channelCase) []float32 {
	return gridFloats(rng, n, &c.p.grids[0])
}

// sameBits reports whether two slices are the same, floats to the bit but for the
// bits of NaN.
func sameBits[T comparable](a, b []T) bool {
	return slices.EqualFunc(a, b, func(v, w T) bool {
		f, isFloat := any(v).(float32)
		if !isFloat {
			return v == w
		}
		g := any(w).(float32)
		return math.Float32bits(f) == math.Float32bits(g) || f != f && g != g
	})
}

func testGrids[Q Quantized](rng *rand.Rand) []Grid[Q] {
	low, high := bounds[Q]()
	var grids []Grid[Q]
	for _, scale := range []float32{1, 0.5, 0.1, 1.0 / 127, 3.7e-5, 1.9999999, 12345.678, 0x1p-60, 0x1p60, float32(rng.ExpFloat64())} {
		for _, zero := range []Q{low, high, low/2 + high/2} {
			g, err := NewGrid(scale, zero, low, high)
			if err != nil {
				panic(err)
			}
			grids = append(grids, g)
		}
	}
	narrow, err := NewGrid[Q](0.3, 1, 0, 7)
	if err != nil {
		panic(err)
	}
	return append(grids, narrow)
}

// testSweepKernel runs a sweep on data from every place a slice can lie, with
// each set of parameters: fn must do what reference does.
func testSweepKernel[D comparable, S, P any](t *testing.T, minLen int, params []P, source func(rng *rand.Rand, n int, p P) []S, fn, reference func(dst []D, src []S, p P)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range laneSizes {
		n -= n % minLen
		sources, targets, want := placements(t, make([]S, n)), placements(t, make([]D, n)), make([]D, n)
		for _, p := range params {
			data := source(rng, n, p)
			reference(want, data, p)
			for i, src := range sources {
				copy(src, data)
				dst := targets[(i*5+1)%len(targets)]
				if fn(dst, src, p); !sameBits(dst, want) {
					t.Fatalf("%+v, n=%d: %v: got %v, want %v", p, n, src, dst, want)
				}
			}
		}
	}
}

// channelCase is a [ChannelGrid] and the channel to start with.
type channelCase struct {
	p     *channelParams
	first int
}

func channelCases[Q Quantized](t *testing.T) []channelCase {
	rng := rand.New(rand.NewPCG(13, 14))
	var cases []channelCase
	for _, channels := range []int{1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 100} {
		g, _ := randomChannelGrid[Q](t, rng, channels)
		cases = append(cases, channelCase{&g.params, rng.IntN(channels)})
	}
	return cases
}

func testQuantize[Q Quantized](t *testing.T, name string) {
	var grids []*gridParams
	for _, g := range testGrids[Q](rand.New(rand.NewPCG(1, 2))) {
		grids = append(grids, &g.params)
	}
	forEachKernel(t, "quantizeF32"+name, func(t *testing.T, fn func([]Q, []float32, *gridParams), minLen int) {
		testSweepKernel(t, minLen, grids, gridFloats, fn, quantizeGeneric[Q])
	})
	forEachKernel(t, "quantizeChannelsF32"+name, func(t *testing.T, fn func([]Q, []float32, *channelParams, int), minLen int) {
		testSweepKernel(t, minLen, channelCases[Q](t), channelFloats,
			func(dst []Q, x []float32, c channelCase) { fn(dst, x, c.p, c.first) },
			func(dst []Q, x []float32, c channelCase) { quantizeChannelsGeneric(dst, x, c.p, c.first) })
	})
}

func randomChannelGrid[Q Quantized](t *testing.T, rng *rand.Rand, channels int) (*ChannelGrid[Q], []Grid[Q]) {
	t.Helper()
	low, high := bounds[Q]()
	scale, zero, grids := make([]float32, channels), make([]Q, channels), make([]Grid[Q], channels)
	for c := range scale {
		scale[c], zero[c] = float32(rng.ExpFloat64()+1e-3), Q(rng.Int32N(100))
		grids[c], _ = NewGrid(scale[c], zero[c], low, high)
	}
	g, err := NewChannelGrid(scale, zero, low, high)
	if err != nil {
		t.Fatal(err)
	}
	return g, grids
}

func testDequantize[Q Quantized](t *testing.T, name string) {
	var grids []*gridParams
	for _, g := range testGrids[Q](rand.New(rand.NewPCG(1, 2))) {
		grids = append(grids, &g.params)
	}
	forEachKernel(t, "dequantize"+name+"F32", func(t *testing.T, fn func([]float32, []Q, *gridParams), minLen int) {
		testSweepKernel(t, minLen, grids, randomIntegers[Q], fn, dequantizeGeneric[Q])
	})
	forEachKernel(t, "dequantizeChannels"+name+"F32", func(t *testing.T, fn func([]float32, []Q, *channelParams, int), minLen int) {
		testSweepKernel(t, minLen, channelCases[Q](t), randomIntegers[Q],
			func(dst []float32, q []Q, c channelCase) { fn(dst, q, c.p, c.first) },
			func(dst []float32, q []Q, c channelCase) { dequantizeChannelsGeneric(dst, q, c.p, c.first) })
	})
}

func randomIntegers[Q Quantized, P any](rng *rand.Rand, n int, _ P) []Q {
	q := make([]Q, n)
	for i := range q {
		q[i] = Q(rng.Uint32())
	}
	return q
}

func TestQuantizeS8(t *testing.T)  { testQuantize[int8](t, "S8") }
func TestQuantizeU8(t *testing.T)  { testQuantize[uint8](t, "U8") }
func TestQuantizeS16(t *testing.T) { testQuantize[int16](t, "S16") }
func TestQuantizeU16(t *testing.T) { testQuantize[uint16](t, "U16") }

func TestDequantizeS8(t *testing.T)  { testDequantize[int8](t, "S8") }
func TestDequantizeU8(t *testing.T)  { testDequantize[uint8](t, "U8") }
func TestDequantizeS16(t *testing.T) { testDequantize[int16](t, "S16") }
func TestDequantizeU16(t *testing.T) { testDequantize[uint16](t, "U16") }
func TestDequantizeS32(t *testing.T) { testDequantize[int32](t, "S32") }

func TestQuantizeDequantize(t *testing.T)     { testQuantizeDequantize[int8](t, "") }
func TestQuantizeDequantizeWide(t *testing.T) { testQuantizeDequantize[uint16](t, "Wide") }

func testQuantizeDequantize[Q Quantized](t *testing.T, width string) {
	var grids []*gridParams
	for _, g := range testGrids[Q](rand.New(rand.NewPCG(1, 2))) {
		grids = append(grids, &g.params)
	}
	forEachKernel(t, "quantizeDequantize"+width+"F32", func(t *testing.T, fn func(dst, x []float32, p *gridParams), minLen int) {
		testSweepKernel(t, minLen, grids, gridFloats, fn, quantizeDequantizeGeneric)
		testSweepKernel(t, minLen, grids, gridFloats,
			func(dst, x []float32, p *gridParams) { // in place
				copy(dst, x)
				fn(dst, dst, p)
			}, quantizeDequantizeGeneric)
	})
	forEachKernel(t, "quantizeDequantize"+width+"ChannelsF32", func(t *testing.T, fn func(dst, x []float32, p *channelParams, first int), minLen int) {
		testSweepKernel(t, minLen, channelCases[Q](t), channelFloats,
			func(dst, x []float32, c channelCase) {
				copy(dst, x)
				fn(dst, dst, c.p, c.first)
			},
			func(dst, x []float32, c channelCase) { quantizeDequantizeChannelsGeneric(dst, x, c.p, c.first) })
	})
}

// TestQuotientBesideMidpoints tries the float32 beside the midpoints of the
// integers of 8 bits, where the nearest could be missed, for a sample of all
// significands of a scale.
func TestQuotientBesideMidpoints(t *testing.T) {
	const midpoints = 256
	x, y, want := make([]float32, 6*midpoints), make([]float32, 6*midpoints), make([]float32, 6*midpoints)
	for significand := uint32(0); significand < 1<<23; significand += 4099 {
		scale := math.Float32frombits(0x3f800000 | significand)
		g, err := NewGrid[uint8](scale, 0, 0, 255)
		if err != nil {
			t.Fatal(err)
		}
		for i := range midpoints {
			middle := math.Float32bits(float32((float64(i) + 0.5) * float64(scale)))
			for d := range 6 {
				x[6*i+d] = math.Float32frombits(middle + uint32(d) - 3)
			}
		}
		g.QuantizeDequantize(y, x)
		if quantizeDequantizeGeneric(want, x, &g.params); !sameBits(y, want) {
			t.Fatalf("scale %v: not the same integers", scale)
		}
	}
}

// TestQuantizeEveryFloat compares the active tier with the contract on every
// 127th float32, for scales whose reciprocal is awkward.
func TestQuantizeEveryFloat(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds; -short was given")
	}
	x, got, want := make([]float32, 1<<16), make([]int16, 1<<16), make([]int16, 1<<16)
	for _, scale := range []float32{math.Nextafter32(1, 0), math.Nextafter32(1, 2), 1.0 / 3, 0.0123} {
		g, err := NewGrid[int16](scale, 3, math.MinInt16, math.MaxInt16)
		if err != nil {
			t.Fatal(err)
		}
		for first := uint64(0); first < 1<<32; first += 509 * uint64(len(x)) {
			for i := range x {
				x[i] = math.Float32frombits(uint32(first) + 509*uint32(i))
			}
			g.Quantize(got, x)
			if quantizeGeneric(want, x, &g.params); !slices.Equal(got, want) {
				t.Fatalf("scale %v, from bits %#x: differs", scale, first)
			}
		}
	}
}

func TestGridByHand(t *testing.T) {
	g, err := NewGrid[uint8](0.5, 10, 0, 255)
	if err != nil {
		t.Fatal(err)
	}
	x := []float32{0, 0.25, 0.75, -0.25, -5, -100, nan32, inf32, -inf32, 122.4, 1000}
	q, y := make([]uint8, len(x)), make([]float32, len(x))
	g.Quantize(q, x)
	if want := []uint8{10, 10, 12, 10, 0, 0, 10, 255, 0, 255, 255}; !slices.Equal(q, want) {
		t.Errorf("quantized %v, want %v", q, want)
	}
	g.Dequantize(y, q)
	if want := []float32{0, 0, 1, 0, -5, -5, 0, 122.5, -5, 122.5, 122.5}; !slices.Equal(y, want) {
		t.Errorf("dequantized %v, want %v", y, want)
	}
	if g.QuantizeDequantize(x, x); !slices.Equal(x, y) {
		t.Errorf("both %v, want %v", x, y)
	}
	s, err := NewGrid[int32](0.5, 0, math.MinInt32, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	bias := make([]int32, 3)
	if s.Quantize(bias, []float32{1e30, -1e30, 3}); !slices.Equal(bias, []int32{math.MaxInt32, math.MinInt32, 6}) {
		t.Errorf("int32: %v", bias)
	}
}

// TestNarrowGridOfInt32: integers kept as int32 that have 16 bits or fewer are swept by
// the assembly, to the reference's bits.
func TestNarrowGridOfInt32(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for _, ends := range [][2]int32{{-128, 127}, {0, 255}, {math.MinInt16, math.MaxInt16}, {0, math.MaxUint16}, {1 << 30, 1<<30 + 7}} {
		for _, zero := range []int32{ends[0], ends[1], ends[0] + (ends[1]-ends[0])/3} {
			g, err := NewGrid(0.037, zero, ends[0], ends[1])
			if err != nil {
				t.Fatal(err)
			}
			x := gridFloats(rng, 512, &g.params)
			for i := range x {
				if i%3 == 0 {
					x[i] *= 200
				}
			}
			got, want := make([]float32, len(x)), make([]float32, len(x))
			quantizeDequantizeGeneric(want, x, &g.params)
			if g.QuantizeDequantize(got, x); !sameBits(got, want) {
				t.Errorf("%v, zero point %d: %v became %v, want %v", ends, zero, x, got, want)
			}
		}
	}
}

// TestExtremeScales: outside the range that the assembly takes, the contract
// holds as well.
func TestExtremeScales(t *testing.T) {
	for _, scale := range []float32{math.SmallestNonzeroFloat32, 1e-40, 0x1p-61, 0x1p61, math.MaxFloat32} {
		g, err := NewGrid[int8](scale, 0, -128, 127)
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 32)
		for i := range x {
			x[i] = float32(i-16) * scale
		}
		q := make([]int8, len(x))
		g.Quantize(q, x)
		for i := range q {
			if want := int8(i - 16); q[i] != want && !math.IsInf(float64(x[i]), 0) {
				t.Errorf("scale %v: %v became %d, want %d", scale, x[i], q[i], want)
			}
		}
	}
}

func TestChannelGridOrders(t *testing.T) {
	g, err := NewChannelGrid([]float32{1, 2, 4}, []int8{0, 1, 2}, -128, 127)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 3*20*2)
	for i := range x {
		x[i] = 8
	}
	for _, inner := range []int{1, 20} {
		q, y := make([]int8, len(x)), make([]float32, len(x))
		g.Quantize(q, x, inner)
		for i, v := range q {
			if want := []int8{8, 5, 4}[i/inner%3]; v != want {
				t.Fatalf("inner %d: element %d is %d, want %d", inner, i, v, want)
			}
		}
		if g.Dequantize(y, q, inner); !slices.Equal(y, x) {
			t.Errorf("inner %d: dequantized %v", inner, y)
		}
		if g.QuantizeDequantize(y, x, inner); !slices.Equal(y, x) {
			t.Errorf("inner %d: both %v", inner, y)
		}
	}
}

func TestNewGridErrors(t *testing.T) {
	for _, scale := range []float32{0, -1, nan32, inf32} {
		if _, err := NewGrid[int8](scale, 0, -128, 127); err == nil {
			t.Errorf("scale %v: no error", scale)
		}
	}
	if _, err := NewGrid[int8](1, 5, -4, 3); err == nil {
		t.Error("zero point outside the grid: no error")
	}
	if _, err := NewChannelGrid([]float32{1, 2}, []int8{0}, -128, 127); err == nil {
		t.Error("one zero point for two scales: no error")
	}
	if _, err := NewChannelGrid[int8](nil, nil, -128, 127); err == nil {
		t.Error("no channel: no error")
	}
}

func TestAddErrors(t *testing.T) {
	for op, power := range map[string]float64{"errorAbsF32": 1, "errorSquareF32": 2, "errorFourthF32": 4} {
		forEachKernel(t, op, func(t *testing.T, fn errorFunc, minLen int) {
			var grids []*gridParams
			for _, g := range testGrids[int8](rand.New(rand.NewPCG(1, 2))) {
				grids = append(grids, &g.params)
			}
			rng := rand.New(rand.NewPCG(23, 24))
			for _, n := range laneSizes {
				n -= n % minLen
				for _, x := range placements(t, someFloats(rng, n, 0)) {
					for _, p := range grids {
						got := [16]float64{1, 2, 3}
						want := got
						fn(&got, x, p)
						if addErrorGeneric(&want, x, p, power); got != want {
							t.Fatalf("%+v, n=%d: got %v, want %v", p, n, got, want)
						}
					}
				}
			}
		})
	}
}

func TestAddErrorsManyCandidates(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	x := someFloats(rng, 10_007, 0)
	var candidates []Grid[int8]
	for i := range 70 {
		g, err := NewGrid[int8](float32(i+1)*1e-3, 0, -128, 127)
		if err != nil {
			t.Fatal(err)
		}
		candidates = append(candidates, g)
	}
	for _, power := range []float64{1, 2, 2.5, 4} {
		sums := make([]float64, len(candidates))
		AddErrors(sums, x, candidates, power)
		for i, g := range candidates {
			y := make([]float32, len(x))
			g.QuantizeDequantize(y, x)
			want := 0.0
			for j := range x {
				want += math.Pow(math.Abs(float64(x[j]-y[j])), power)
			}
			if math.Abs(sums[i]-want) > 1e-12*want {
				t.Errorf("power %v, candidate %d: %v, want %v", power, i, sums[i], want)
			}
		}
	}
}

// FuzzGrid compares the sweeps with their references for any floats, scale and
// zero point.
func FuzzGrid(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), float32(0.1), int8(3))
	f.Add(make([]byte, 300), float32(1e30), int8(-128))
	f.Fuzz(func(t *testing.T, data []byte, scale float32, zero int8) {
		g, err := NewGrid(scale, zero, -128, 127)
		if err != nil {
			return
		}
		x := floatsOf(data)
		q, wantQ := make([]int8, len(x)), make([]int8, len(x))
		g.Quantize(q, x)
		if quantizeGeneric(wantQ, x, &g.params); !slices.Equal(q, wantQ) {
			t.Errorf("quantized %v, want %v", q, wantQ)
		}
		y, want := make([]float32, len(x)), make([]float32, len(x))
		g.QuantizeDequantize(y, x)
		if quantizeDequantizeGeneric(want, x, &g.params); !sameBits(y, want) {
			t.Errorf("both %v, want %v", y, want)
		}
		if g.Dequantize(y, q); !sameBits(y, want) {
			t.Errorf("dequantized %v, want %v", y, want)
		}
	})
}

func newBenchGrid[Q Quantized](scale float32) *Grid[Q] {
	low, high := bounds[Q]()
	g, err := NewGrid(scale, 0, low, high)
	if err != nil {
		panic(err)
	}
	return &g
}

func BenchmarkQuantizeF32S8(b *testing.B) {
	benchKernels(b, "quantizeF32S8", 5, func(k kernel, n int) func() {
		x, q, g := normalFloats(b, n, false), benchSlice[int8](b, n), newBenchGrid[int8](0.037)
		fn := k.fn.(func([]int8, []float32, *gridParams))
		return func() { fn(q, x, &g.params) }
	})
}

func BenchmarkQuantizeF32S16(b *testing.B) {
	benchKernels(b, "quantizeF32S16", 6, func(k kernel, n int) func() {
		x, q, g := normalFloats(b, n, false), benchSlice[int16](b, n), newBenchGrid[int16](0.037)
		fn := k.fn.(func([]int16, []float32, *gridParams))
		return func() { fn(q, x, &g.params) }
	})
}

func BenchmarkQuantizeChannelsF32S8(b *testing.B) {
	scale := make([]float32, 64)
	for c := range scale {
		scale[c] = float32(c+1) * 1e-3
	}
	g, err := NewChannelGrid(scale, []int8(nil), -128, 127)
	if err != nil {
		b.Fatal(err)
	}
	benchKernels(b, "quantizeChannelsF32S8", 5, func(k kernel, n int) func() {
		x, q := normalFloats(b, n, false), benchSlice[int8](b, n)
		fn := k.fn.(func([]int8, []float32, *channelParams, int))
		return func() { fn(q, x, &g.params, 0) }
	})
}

func BenchmarkDequantizeS8F32(b *testing.B) {
	benchKernels(b, "dequantizeS8F32", 5, func(k kernel, n int) func() {
		x, q, g := benchSlice[float32](b, n), benchSlice[int8](b, n), newBenchGrid[int8](0.037)
		fn := k.fn.(func([]float32, []int8, *gridParams))
		return func() { fn(x, q, &g.params) }
	})
}

func BenchmarkQuantizeDequantizeF32(b *testing.B) {
	benchKernels(b, "quantizeDequantizeF32", 8, func(k kernel, n int) func() {
		x, y, g := normalFloats(b, n, false), benchSlice[float32](b, n), newBenchGrid[int8](0.037)
		fn := k.fn.(func(dst, x []float32, p *gridParams))
		return func() { fn(y, x, &g.params) }
	})
}

func BenchmarkErrorSquareF32(b *testing.B) {
	benchKernels(b, "errorSquareF32", 4, func(k kernel, n int) func() {
		x, g, fn := normalFloats(b, n, false), newBenchGrid[int8](0.037), k.fn.(errorFunc)
		var sum [16]float64
		return func() { fn(&sum, x, &g.params) }
	})
}

func ExampleGrid() {
	g, err := NewGrid[int8](0.5, 0, -128, 127)
	if err != nil {
		fmt.Println(err)
		return
	}
	q := make([]int8, 4)
	g.Quantize(q, []float32{1, -0.6, 0.25, 1000})
	fmt.Println(q)
	// Output: [2 -1 0 127]
}
