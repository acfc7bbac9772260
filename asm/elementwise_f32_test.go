package asm

import (
	"math"
	"math/rand/v2"
	"testing"
)

// lengths are sizes around the vectors of all tiers.
func lengths() []int {
	var n []int
	for i := range 18 {
		n = append(n, i)
	}
	return append(n, 31, 32, 33, 47, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1031)
}

// hardF32 returns n numbers, some of them NaN, infinite, zero or denormal.
func hardF32(rng *rand.Rand, n int) []float32 {
	special := []float32{float32(math.NaN()), posInfF32, negInfF32, 0, float32(math.Copysign(0, -1)), 1e-40, math.MaxFloat32, -math.MaxFloat32}
	x := randomF32(rng, n)
	for i := range x {
		if rng.IntN(8) == 0 {
			x[i] = special[rng.IntN(len(special))]
		}
	}
	return x
}

// same reports whether two numbers are equal or both NaN.
func same(a, b float32) bool { return a == b || a != a && b != b }

func TestBinaryF32(t *testing.T) {
	for op, ref := range map[string]binaryKernel{
		"addF32": addF32Generic, "subF32": subF32Generic, "mulF32": mulF32Generic,
		"divF32": divF32Generic, "maxF32": maxF32Generic, "minF32": minF32Generic,
	} {
		t.Run(op, func(t *testing.T) {
			forEachKernel(t, op, func(t *testing.T, fn binaryKernel, _ int) {
				rng := rand.New(rand.NewPCG(1, 2))
				for _, n := range lengths() {
					a, aStart := guardedCopies(t, hardF32(rng, n))
					b, bStart := guardedCopies(t, hardF32(rng, n))
					want := make([]float32, n)
					ref(want, a, b)
					got, gotStart := guarded[float32](t, n)
					fn(got, a, b)
					fn(gotStart, aStart, bStart)
					fn(aStart, aStart, bStart) // in place
					for i := range want {
						if !same(got[i], want[i]) || !same(gotStart[i], want[i]) || !same(aStart[i], want[i]) {
							t.Fatalf("n=%d: element %d of %v, %v: got %v, %v, in place %v, want %v", n, i, a[i], b[i], got[i], gotStart[i], aStart[i], want[i])
						}
					}
				}
			})
		})
	}
}

// TestMapF32 compares each function of one number with its reference on
// special values, every length and in place. tolerance is in units of the last place.
func TestMapF32(t *testing.T) {
	for _, c := range []struct {
		op        string
		ref       mapKernel
		p, q      float32
		tolerance float64
	}{
		{"affineF32", affineF32Generic, 1.25, -0.5, 4}, // the product cancels to an eighth at most often
		{"clampF32", clampF32Generic, 0, posInfF32, 0},
		{"clampF32", clampF32Generic, 0, 6, 0},
		{"clampF32", clampF32Generic, negInfF32, posInfF32, 0},
		{"leakyReluF32", leakyReluF32Generic, 0.1, 0, 0},
		{"expF32", expF32Generic, 0, 0, 2},
		{"sigmoidF32", sigmoidF32Generic, 0, 0, 4},
		{"tanhF32", tanhF32Generic, 0, 0, 4},
		{"erfF32", erfF32Generic, 0, 0, 4},
		{"geluF32", geluF32Generic, 0, 0, 8},
		{"hardSwishF32", hardSwishF32Generic, 0, 0, 8},
	} {
		t.Run(c.op, func(t *testing.T) {
			forEachKernel(t, c.op, func(t *testing.T, fn mapKernel, _ int) {
				rng := rand.New(rand.NewPCG(3, 4))
				for _, n := range lengths() {
					x, xStart := guardedCopies(t, hardF32(rng, n))
					want := make([]float32, n)
					c.ref(want, x, c.p, c.q)
					got, _ := guarded[float32](t, n)
					fn(got, x, c.p, c.q)
					fn(xStart, xStart, c.p, c.q)
					for i := range want {
						near := math.Abs(float64(got[i]-want[i])) <= c.tolerance*max(ulp(want[i]), 0x1p-26)
						if !same(got[i], want[i]) && !near || !same(got[i], xStart[i]) {
							t.Fatalf("n=%d: f(%v) = %v, in place %v, want %v", n, x[i], got[i], xStart[i], want[i])
						}
					}
				}
			})
		})
	}
}

// ulp returns the distance from |x| to the next float32.
func ulp(x float32) float64 {
	bits := math.Float32bits(x) &^ (1 << 31)
	return float64(math.Float32frombits(bits+1)) - float64(math.Float32frombits(bits))
}

// TestMathF32Accuracy holds the documented bounds over all exponents: every
// 4099th float32.
func TestMathF32Accuracy(t *testing.T) {
	for _, c := range []struct {
		op    string
		f     func(float64) float64
		bound float64
	}{
		{"expF32", math.Exp, 2},
		{"sigmoidF32", func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, 4},
		{"tanhF32", math.Tanh, 4},
		{"erfF32", math.Erf, 4},
	} {
		t.Run(c.op, func(t *testing.T) {
			forEachKernel(t, c.op, func(t *testing.T, fn mapKernel, _ int) {
				var x []float32
				for bits := uint64(0); bits < 1<<32; bits += 4099 {
					if v := math.Float32frombits(uint32(bits)); v == v {
						x = append(x, v)
					}
				}
				got := make([]float32, len(x))
				fn(got, x, 0, 0)
				worst, at := 0.0, float32(0)
				for i, v := range x {
					want := c.f(float64(v))
					rounded := float32(want)
					if rounded == got[i] || want > 0 && want < 0x1p-126 && got[i] == 0 {
						continue
					}
					if e := math.Abs(float64(got[i])-want) / ulp(rounded); !(e <= worst) {
						worst, at = e, v
					}
				}
				t.Logf("worst error %.2f ulp, at %v", worst, at)
				if !(worst <= c.bound) {
					t.Errorf("f(%v) is off by %v ulp", at, worst)
				}
			})
		})
	}
}

// TestGeluF32Accuracy holds the documented bound from -30 to 30.
func TestGeluF32Accuracy(t *testing.T) {
	x := make([]float32, 600001)
	for i := range x {
		x[i] = float32(i-300000) / 10000
	}
	forEachKernel(t, "geluF32", func(t *testing.T, fn mapKernel, _ int) {
		got := make([]float32, len(x))
		fn(got, x, 0, 0)
		for i, v := range x {
			want := float64(v) / 2 * math.Erfc(-float64(v)/math.Sqrt2)
			if e := math.Abs(float64(got[i]) - want); !(e <= max(0x1p-23, 2*ulp(float32(want)))) {
				t.Fatalf("f(%v) = %v, not %v", v, got[i], want)
			}
		}
	})
}

// TestMapF32SameBits checks that AVX2 and AVX-512 agree to the bit.
func TestMapF32SameBits(t *testing.T) {
	if !active.Has(AVX512) {
		t.Skip("needs AVX-512")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	x := hardF32(rng, 10007)
	for i := range x {
		x[i] *= float32(math.Exp2(float64(rng.IntN(16) - 8)))
	}
	a, b := make([]float32, len(x)), make([]float32, len(x))
	for _, op := range []string{"affineF32", "expF32", "sigmoidF32", "tanhF32", "erfF32", "geluF32", "hardSwishF32"} {
		pick[mapKernel](op, AVX2)(a, x, 0.3, 0.7)
		pick[mapKernel](op, AVX512)(b, x, 0.3, 0.7)
		for i := range x {
			if !same(a[i], b[i]) {
				t.Fatalf("%s(%v): %v with AVX2, %v with AVX-512", op, x[i], a[i], b[i])
			}
		}
	}
}

func TestChannelAffineF32(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, c := range []int{1, 3, 16, 33} {
		x, scale, shift := randomF32(rng, 5*c), randomF32(rng, c), randomF32(rng, c)
		got := make([]float32, len(x))
		ChannelAffineF32(got, x, scale, shift)
		for i, v := range x {
			want := float64(v)*float64(scale[i%c]) + float64(shift[i%c])
			if math.Abs(float64(got[i])-want) > 1e-6 {
				t.Fatalf("c=%d: element %d is %v, want %v", c, i, got[i], want)
			}
		}
	}
}

func TestSoftmaxF32(t *testing.T) {
	x := []float32{1, 2, 3, 1000, 999, 998, negInfF32, 0, negInfF32, float32(math.NaN()), 0, 0}
	SoftmaxF32(x, x, 3)
	want := []float64{0.09003057, 0.24472847, 0.66524096, 0.66524096, 0.24472847, 0.09003057, 0, 1, 0}
	for i, w := range want {
		if !(math.Abs(float64(x[i])-w) < 1e-6) {
			t.Errorf("element %d is %v, want %v", i, x[i], w)
		}
	}
	for i := 9; i < 12; i++ {
		if x[i] == x[i] {
			t.Errorf("element %d of a row with NaN is %v", i, x[i])
		}
	}
}

func TestSumsF32(t *testing.T) {
	for op, ref := range map[string]func(x []float32) float32{
		"sumF32":        sumF32Generic,
		"sumSquaresF32": func(x []float32) float32 { return sumSquaresF32Generic(x, 0.25) },
	} {
		t.Run(op, func(t *testing.T) {
			forEachKernel(t, op, func(t *testing.T, fn any, _ int) {
				rng := rand.New(rand.NewPCG(9, 10))
				for _, n := range lengths() {
					x, y := guardedCopies(t, randomF32(rng, n))
					for _, x := range [][]float32{x, y} {
						var got float32
						switch fn := fn.(type) {
						case func([]float32) float32:
							got = fn(x)
						case func([]float32, float32) float32:
							got = fn(x, 0.25)
						}
						if want := ref(x); got != want {
							t.Fatalf("n=%d: %v, want %v", n, got, want)
						}
					}
				}
			})
		})
	}
}

// BenchmarkMapF32 measures Gelem/s on 16 Ki elements.
func BenchmarkMapF32(b *testing.B) {
	x, dst := randomF32(rand.New(rand.NewPCG(1, 1)), 16<<10), make([]float32, 16<<10)
	ops := map[string]bool{}
	for _, k := range f32Generic {
		switch k.fn.(type) {
		case mapKernel, binaryKernel:
			ops[k.op] = true
		}
	}
	for _, k := range kernels {
		if !ops[k.op] || !active.Has(k.needs) {
			continue
		}
		b.Run(k.op+"/"+k.needs.String(), func(b *testing.B) {
			b.SetBytes(int64(8 * len(x)))
			r := newBestRate(b)
			for b.Loop() {
				switch fn := k.fn.(type) {
				case mapKernel:
					r.time(func() { fn(dst, x, 0, 1) })
				case binaryKernel:
					r.time(func() { fn(dst, x, x) })
				}
			}
			r.report(float64(len(x)))
		})
	}
}
