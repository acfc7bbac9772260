package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestPoolKernelsF32(t *testing.T) {
	for op, ref := range map[string]poolKernel{"poolMaxF32": poolMaxF32Generic, "poolSumF32": poolSumF32Generic} {
		t.Run(op, func(t *testing.T) {
			forEachKernel(t, op, func(t *testing.T, fn poolKernel, _ int) {
				rng := rand.New(rand.NewPCG(1, 2))
				for _, c := range lengths() {
					for _, w := range [][2]int{{1, 1}, {2, 2}, {3, 5}, {0, 0}} {
						rows, cols := w[0], w[1]
						colStep := c + 3
						rowStep := cols*colStep + 1
						src, srcStart := guardedCopies(t, hardF32(rng, max((rows-1)*rowStep+(cols-1)*colStep+c, 0)))
						want := make([]float32, c)
						ref(want, src, rows, cols, rowStep, colStep, 0.25)
						dst, dstStart := guarded[float32](t, c)
						fn(dst, src, rows, cols, rowStep, colStep, 0.25)
						fn(dstStart, srcStart, rows, cols, rowStep, colStep, 0.25)
						for j := range want {
							if !same(dst[j], want[j]) || !same(dstStart[j], want[j]) {
								t.Fatalf("%dx%d window, %d channels: channel %d is %v and %v, want %v", rows, cols, c, j, dst[j], dstStart[j], want[j])
							}
						}
					}
				}
			})
		})
	}
}

// TestPoolF32 compares pools with a walk over the padded window of each output.
func TestPoolF32(t *testing.T) {
	for _, c := range []struct {
		h, w, c int
		spec    PoolSpec
		oh, ow  int
	}{
		{8, 8, 16, PoolSpec{2, 2, 2, 2, 1, 1, 0, 0}, 4, 4},
		{7, 9, 5, PoolSpec{3, 3, 2, 2, 1, 1, 1, 1}, 4, 5},
		{7, 9, 5, PoolSpec{3, 2, 1, 3, 2, 3, 2, 1}, 7, 3},
		{3, 3, 1, PoolSpec{5, 5, 1, 1, 1, 1, 2, 2}, 3, 3},
		{4, 4, 3, PoolSpec{2, 2, 4, 4, 1, 1, 3, 3}, 2, 2}, // the first window is all but one padding
	} {
		rng := rand.New(rand.NewPCG(3, 4))
		src := Image[float32]{randomF32(rng, c.h*(c.w*c.c+2)), c.h, c.w, c.c, c.w*c.c + 2, c.c}
		newDst := func() Image[float32] {
			return Image[float32]{make([]float32, c.oh*c.ow*c.c), c.oh, c.ow, c.c, c.ow * c.c, c.c}
		}
		largest, mean, padded := newDst(), newDst(), newDst()
		for y := range c.oh { // a row at a time, as threads would
			MaxPoolF32(largest, src, c.spec, y, y+1)
			AveragePoolF32(mean, src, c.spec, false, y, y+1)
			AveragePoolF32(padded, src, c.spec, true, y, y+1)
		}
		for y := range c.oh {
			for x := range c.ow {
				for j := range c.c {
					var sum, count float64
					most := math.Inf(-1)
					for ky := range c.spec.KH {
						for kx := range c.spec.KW {
							sy, sx := y*c.spec.StrideH-c.spec.PadTop+ky*c.spec.DilationH, x*c.spec.StrideW-c.spec.PadLeft+kx*c.spec.DilationW
							if sy < 0 || sx < 0 || sy >= c.h || sx >= c.w {
								continue
							}
							v := float64(src.At(sy, sx, j))
							sum, count, most = sum+v, count+1, max(most, v)
						}
					}
					name := fmt.Sprintf("%+v at (%d,%d,%d)", c.spec, y, x, j)
					for _, r := range []struct {
						kind      string
						got, want float64
					}{
						{"max", float64(largest.At(y, x, j)), most},
						{"mean", float64(mean.At(y, x, j)), sum / max(count, 1)},
						{"padded mean", float64(padded.At(y, x, j)), sum / float64(c.spec.KH*c.spec.KW)},
					} {
						if r.got != r.want && !(math.Abs(r.got-r.want) < 1e-6) {
							t.Fatalf("%s: %s is %v, want %v", name, r.kind, r.got, r.want)
						}
					}
				}
			}
		}
	}
}

func TestGlobalAveragePoolF32(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const c = 19
	src := Image[float32]{randomF32(rng, 8*8*c), 8, 8, c, 8 * c, c}
	dst := make([]float32, c)
	GlobalAveragePoolF32(dst, src)
	for j, got := range dst {
		var sum float64
		for i := range 64 {
			sum += float64(src.Data[i*c+j])
		}
		if math.Abs(float64(got)-sum/64) > 1e-6 {
			t.Errorf("channel %d is %v, want %v", j, got, sum/64)
		}
	}
}

// BenchmarkPoolF32 measures Gelem/s of the source.
func BenchmarkPoolF32(b *testing.B) {
	src := Image[float32]{aligned[float32](56 * 56 * 64), 56, 56, 64, 56 * 64, 64}
	dst := Image[float32]{aligned[float32](28 * 28 * 64), 28, 28, 64, 28 * 64, 64}
	two := PoolSpec{2, 2, 2, 2, 1, 1, 0, 0}
	for name, run := range map[string]func(){
		"max2x2":     func() { MaxPoolF32(dst, src, two, 0, 28) },
		"average2x2": func() { AveragePoolF32(dst, src, two, false, 0, 28) },
		"global":     func() { GlobalAveragePoolF32(dst.Data[:64], src) },
	} {
		b.Run(name, func(b *testing.B) {
			r := newBestRate(b)
			for b.Loop() {
				r.time(run)
			}
			r.report(float64(len(src.Data)))
		})
	}
}
