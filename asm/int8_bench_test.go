package asm

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// benchShapesS8 are convolutions of common networks; h and w are the output's.
var benchShapesS8 = []struct {
	name        string
	m, c, hw, b int // b images, one after the other
	spec        ConvSpec
}{
	{"3x3_64_64_56", 64, 64, 56, 1, square(3, 1, 1)},
	{"1x1_256_64_56", 64, 256, 56, 1, square(1, 1, 1)},
	{"3x3_256_256_14", 256, 256, 14, 1, square(3, 1, 1)},
	{"1x1_1024_2048_14s2", 2048, 1024, 7, 1, square(1, 2, 1)},
	{"dw3x3_96_56", 96, 96, 56, 1, square(3, 1, 96)},
	{"7x7s2_3_64_224", 64, 3, 112, 1, square(7, 2, 1)},
	{"3x3_16_16_32_b16", 16, 16, 32, 16, square(3, 1, 1)},
	{"3x3_64_64_8_b16", 64, 64, 8, 16, square(3, 1, 1)},
	{"fc_1024_1000", 1000, 1024, 1, 1, square(1, 1, 1)},
	{"1x1_16_96_32", 96, 16, 32, 1, square(1, 1, 1)},
	{"dw3x3s2_64_16", 64, 64, 8, 1, square(3, 2, 64)},
	{"1x1_96_24_16", 24, 96, 16, 1, square(1, 1, 1)},
	{"1x1_64_64_11", 64, 64, 11, 1, square(1, 1, 1)},
	{"10x4s2_1_64_11", 64, 1, 11, 1, ConvSpec{10, 4, 2, 2, 1, 1, 1}},
	{"dw3x3_64_11", 64, 64, 11, 1, square(3, 1, 64)},
	{"dw5x5_64_28", 64, 64, 28, 1, square(5, 1, 64)},
}

// BenchmarkConvS8 has weights that do not saturate, as narrow's quantizer makes them.
func BenchmarkConvS8(b *testing.B) {
	for _, s := range benchShapesS8 {
		b.Run(s.name, func(b *testing.B) {
			benchTiers(b, func(b *testing.B, have Features) {
				rng := rand.New(rand.NewPCG(1, 1))
				h := (s.hw-1)*s.spec.StrideH + max(s.spec.KH, s.spec.KW)
				c := convCaseS8{s.m, s.c, h, h, s.spec}
				w, bias, src := c.random(b, rng)
				c.makeSafe(w)
				f, err := packConvS8(widened(w), bias, 0, c.m, c.c, c.spec,
					pick[*tileKernelS8]("convS8", have), pick[*depthwiseKernelS8]("depthwiseS8", have))
				if err != nil {
					b.Fatal(err)
				}
				dst := Image[uint8]{Data: make([]uint8, s.hw*s.hw*s.m), H: s.hw, W: s.hw, C: s.m, RowStride: s.hw * s.m, PixStride: s.m}
				r, err := RequantByFloat(slices.Repeat([]float32{0.001}, s.m), 0, 0, 255) // as behind a Relu
				if err != nil {
					b.Fatal(err)
				}
				requantRows = pick[*requantKernels]("requantize", have)
				defer func() { requantRows = pick[*requantKernels]("requantize", active) }()
				rate := newBestRate(b)
				for b.Loop() {
					rate.time(func() {
						for range s.b {
							f.Run(dst, src, r, nil, 0, s.hw)
						}
					})
				}
				rate.report(2 * float64(len(w)) * float64(s.hw*s.hw*s.b))
			})
		})
	}
}

// benchTiers runs bench for each named set of features.
func benchTiers(b *testing.B, bench func(b *testing.B, have Features)) {
	for _, have := range runnable() {
		b.Run(have.String(), func(b *testing.B) { bench(b, have) })
	}
}

func BenchmarkU8(b *testing.B) {
	const n = 64 << 10
	rng := rand.New(rand.NewPCG(1, 1))
	x, y, dst, acc := randomU8(rng, n), randomU8(rng, n), make([]uint8, n), requantEdges(rng, n)
	requants := randomRequants(b, rng, 64)
	var table [256]uint8
	requantize := func(mode RequantMode) func(k kernel) {
		return func(k kernel) {
			args := requantArgs{dst: dst, src: acc, dstStep: 64, srcStep: 64, pixels: n / 64, channels: 64}
			requants[mode].rowsBy(k.fn.(*requantKernels), &args, 0)
		}
	}
	add := func(spec AddU8Spec) func(k kernel) {
		return func(k kernel) { k.fn.(func(dst, a, b []uint8, spec *AddU8Spec))(dst, x, y, &spec) }
	}
	for _, c := range []struct {
		name, op string
		run      func(k kernel)
	}{
		{"add float", "addU8", add(addSpecs[0])},
		{"add integer", "addU8", add(addSpecs[3])},
		{"max", "maxU8", func(k kernel) { k.fn.(func(dst, src []uint8))(dst, x) }},
		{"sum", "sumU8", func(k kernel) { k.fn.(func(acc []int32, src []uint8))(acc, x) }},
		{"lookup", "lookupU8", func(k kernel) { k.fn.(func(dst, src []uint8, table *[256]uint8))(dst, x, &table) }},
		{"requantize float", "requantize", requantize(ByFloat)},
		{"requantize multiplier", "requantize", requantize(ByMultiplier)},
		{"requantize shift", "requantize", requantize(ByShift)},
	} {
		for _, k := range kernels {
			if k.op != c.op || !active.Has(k.needs) {
				continue
			}
			b.Run(c.name+"/"+k.needs.String(), func(b *testing.B) {
				rate := newBestRate(b)
				for b.Loop() {
					rate.time(func() { c.run(k) })
				}
				rate.report(n)
			})
		}
	}
}
