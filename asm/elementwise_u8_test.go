package asm

import (
	"math/rand/v2"
	"testing"
)

var sizesU8 = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 1031}

func randomU8(rng *rand.Rand, n int) []uint8 {
	out := make([]uint8, n)
	for i := range out {
		out[i] = uint8(rng.IntN(256))
	}
	return out
}

var addSpecs = []AddU8Spec{
	{ZeroA: 3, ZeroB: 250, ScaleA: 0.5, ScaleB: 0.25, Zero: 128, Hi: 255},
	{ZeroA: 128, ZeroB: 0, ScaleA: 1.7, ScaleB: -0.3, Zero: 0, Lo: 20, Hi: 90},
	{ZeroA: 11, ZeroB: 130, ScaleA: 0.0371, ScaleB: -0.02213, Divisor: 0.01774, Zero: 100, Lo: 4, Hi: 251},
	{ScaleA: 1 << 19, ScaleB: -(1 << 19), Hi: 255},
	{Mode: ByMultiplier, ZeroA: 3, ZeroB: 250, MulA: MaxAddMultiplier, MulB: MaxAddMultiplier, Shift: 21, Zero: 128, Hi: 255},
	{Mode: ByMultiplier, ZeroB: 255, MulA: MaxAddMultiplier, MulB: -MaxAddMultiplier, Shift: 30, Zero: 7, Lo: 3, Hi: 200},
	{Mode: ByShift, ZeroA: 9, ZeroB: 1, MulA: 1, MulB: 4, Shift: 2, Zero: 0, Hi: 127},
	{Mode: ByShift, MulA: 1, MulB: 1, Hi: 255},
	{Mode: ByMultiplier, MulA: 1 << 20, MulB: 1 << 20, Zero: 255, Hi: 255},
}

func TestAddU8(t *testing.T) {
	forEachKernel(t, "addU8", func(t *testing.T, fn func(dst, a, b []uint8, spec *AddU8Spec), _ int) {
		rng := rand.New(rand.NewPCG(1, 3))
		for _, spec := range addSpecs {
			if err := spec.Check(); err != nil {
				t.Fatal(err)
			}
			for _, n := range sizesU8 {
				a, b, want := randomU8(rng, n), randomU8(rng, n), make([]uint8, n)
				addU8Generic(want, a, b, &spec)
				aEnd, aStart := guardedCopies(t, a)
				bEnd, bStart := guardedCopies(t, b)
				dEnd, dStart := guarded[uint8](t, n)
				fn(dEnd, aEnd, bEnd, &spec)
				fn(dStart, aStart, bStart, &spec)
				fn(aEnd, aEnd, bEnd, &spec)
				if string(dEnd) != string(want) || string(dStart) != string(want) || string(aEnd) != string(want) {
					t.Fatalf("n=%d, %+v: got %v, want %v", n, spec, dEnd, want)
				}
			}
		}
	})
}

func TestAddU8Check(t *testing.T) {
	for _, spec := range []AddU8Spec{
		{Lo: 2, Hi: 1},
		{ScaleA: 1 << 20},
		{Mode: ByShift, MulA: MaxAddMultiplier + 1},
		{Mode: ByMultiplier, MulB: -1 << 31},
		{Mode: ByMultiplier, Shift: MaxAddShift + 1},
	} {
		if spec.Check() == nil {
			t.Errorf("%+v: no error", spec)
		}
	}
}

func TestMulU8(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for _, r := range randomRequants(t, rng, 1) {
		for _, n := range append(sizesU8, 5000) {
			a, b, got, want := randomU8(rng, n), randomU8(rng, n), make([]uint8, n), make([]uint8, n)
			MulU8(got, a, b, 4, 128, r)
			for i := range want {
				requantOne(r, want[i:i+1], []int32{(int32(a[i]) - 4) * (int32(b[i]) - 128)})
			}
			if string(got) != string(want) {
				t.Fatalf("n=%d: got %v, want %v", n, got, want)
			}
		}
	}
}

func TestMaxU8(t *testing.T) {
	forEachKernel(t, "maxU8", func(t *testing.T, fn func(dst, src []uint8), _ int) {
		rng := rand.New(rand.NewPCG(1, 5))
		for _, n := range sizesU8 {
			a, b := randomU8(rng, n), randomU8(rng, n)
			aEnd, aStart := guardedCopies(t, a)
			bEnd, bStart := guardedCopies(t, b)
			maxU8Generic(a, b)
			fn(aEnd, bEnd)
			fn(aStart, bStart)
			if string(aEnd) != string(a) || string(aStart) != string(a) {
				t.Fatalf("n=%d: got %v, want %v", n, aEnd, a)
			}
		}
	})
}

func TestSumU8(t *testing.T) {
	forEachKernel(t, "sumU8", func(t *testing.T, fn func(acc []int32, src []uint8), _ int) {
		rng := rand.New(rand.NewPCG(1, 6))
		for _, n := range sizesU8 {
			acc, b := requantEdges(rng, n), randomU8(rng, n)
			aEnd, aStart := guardedCopies(t, acc)
			bEnd, bStart := guardedCopies(t, b)
			sumU8Generic(acc, b)
			fn(aEnd, bEnd)
			fn(aStart, bStart)
			for i := range acc {
				if aEnd[i] != acc[i] || aStart[i] != acc[i] {
					t.Fatalf("n=%d: element %d differs", n, i)
				}
			}
		}
	})
}

func TestLookupU8(t *testing.T) {
	forEachKernel(t, "lookupU8", func(t *testing.T, fn func(dst, src []uint8, table *[256]uint8), _ int) {
		rng := rand.New(rand.NewPCG(1, 7))
		table := [256]uint8(randomU8(rng, 256))
		for _, n := range sizesU8 {
			src, want := randomU8(rng, n), make([]uint8, n)
			lookupU8Generic(want, src, &table)
			end, start := guardedCopies(t, src)
			fn(end, end, &table)
			fn(start, start, &table)
			if string(end) != string(want) || string(start) != string(want) {
				t.Fatalf("n=%d: got %v, want %v", n, end, want)
			}
		}
	})
}

func TestMaxPoolU8(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for _, spec := range []ConvSpec{square(2, 2, 1), square(3, 2, 1), {3, 2, 1, 2, 2, 1, 1}} {
		for _, channels := range []int{1, 16, 33} {
			src := Image[uint8]{Data: randomU8(rng, 9*11*channels), H: 9, W: 11, C: channels, RowStride: 11 * channels, PixStride: channels}
			oh, ow := spec.OutSize(9, 11)
			dst := Image[uint8]{Data: make([]uint8, oh*ow*channels), H: oh, W: ow, C: channels, RowStride: ow * channels, PixStride: channels}
			MaxPoolU8(dst, src, spec, 0, 1)
			MaxPoolU8(dst, src, spec, 1, oh)
			for y := range oh {
				for x := range ow {
					for c := range channels {
						want := uint8(0)
						for ky := range spec.KH {
							for kx := range spec.KW {
								want = max(want, src.At(y*spec.StrideH+ky*spec.DilationH, x*spec.StrideW+kx*spec.DilationW, c))
							}
						}
						if got := dst.At(y, x, c); got != want {
							t.Fatalf("%+v at (%d, %d, %d): got %d, want %d", spec, y, x, c, got, want)
						}
					}
				}
			}
		}
	}
}

func TestGlobalAvgPoolU8(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for _, channels := range []int{1, 10, 64, 1500} {
		src := Image[uint8]{Data: randomU8(rng, 7*8*channels), H: 7, W: 8, C: channels, RowStride: 8 * channels, PixStride: channels}
		for _, r := range randomRequants(t, rng, channels) {
			got, want, sums := make([]uint8, channels), make([]uint8, channels), make([]int32, channels)
			GlobalAvgPoolU8(got, src, 33, r)
			for i, v := range src.Data {
				sums[i%channels] += int32(v) - 33
			}
			requantOne(r, want, sums)
			if string(got) != string(want) {
				t.Fatalf("%d channels: got %v, want %v", channels, got, want)
			}
		}
	}
}
