package asm

import (
	"testing"
)

// convShape is a convolution to measure. Padding is in the source.
type convShape struct {
	name  string
	c, m  int
	h, w  int // of the output
	batch int
	spec  ConvSpec
}

// convShapes are layers of ResNet-50, and small ones of the networks for
// CIFAR-10, keyword spotting and visual wake words.
var convShapes = []convShape{
	{"3x3_64-64_56x56", 64, 64, 56, 56, 1, conv(3, 1, 1, 1)},
	{"1x1_256-64_56x56", 256, 64, 56, 56, 1, conv(1, 1, 1, 1)},
	{"3x3_256-256_14x14", 256, 256, 14, 14, 1, conv(3, 1, 1, 1)},
	{"1x1_1024-2048_14x14_stride2", 1024, 2048, 7, 7, 1, conv(1, 2, 1, 1)},
	{"depthwise_3x3_96_56x56", 96, 96, 56, 56, 1, conv(3, 1, 1, 96)},
	{"7x7_3-64_224x224_stride2", 3, 64, 112, 112, 1, conv(7, 2, 1, 1)},
	{"3x3_16-16_32x32_batch16", 16, 16, 32, 32, 16, conv(3, 1, 1, 1)},
	{"3x3_64-64_8x8_batch16", 64, 64, 8, 8, 16, conv(3, 1, 1, 1)},
	{"3x3_3-16_32x32_batch16", 3, 16, 32, 32, 16, conv(3, 1, 1, 1)},
	{"3x3_32-32_16x16_batch16", 32, 32, 16, 16, 16, conv(3, 1, 1, 1)},
	{"1x1_96-24_8x8_batch16", 96, 24, 8, 8, 16, conv(1, 1, 1, 1)},
	{"10x4_1-64_25x5_stride2_batch16", 1, 64, 25, 5, 16, ConvSpec{10, 4, 2, 2, 1, 1, 1}},
	{"depthwise_3x3_64_25x5_batch16", 64, 64, 25, 5, 16, conv(3, 1, 1, 64)},
	{"1x1_64-64_25x5_batch16", 64, 64, 25, 5, 16, conv(1, 1, 1, 1)},
	{"depthwise_3x3_16_14x14", 16, 16, 14, 14, 1, conv(3, 1, 1, 16)},
	{"depthwise_3x3_32_7x14", 32, 32, 7, 14, 1, conv(3, 1, 1, 32)},
	{"depthwise_3x3_8_48x48", 8, 8, 48, 48, 1, conv(3, 1, 1, 8)},
	{"depthwise_3x3_128_12x12_stride2", 128, 128, 6, 6, 1, conv(3, 2, 1, 128)},
	{"3x3_512-512_4x4", 512, 512, 4, 4, 1, conv(3, 1, 1, 1)},
	{"1x1_1024-256_14x14", 1024, 256, 14, 14, 1, conv(1, 1, 1, 1)},
	{"1x1_512-2048_7x7", 512, 2048, 7, 7, 1, conv(1, 1, 1, 1)},
	{"1x1_512-1000_1x1", 512, 1000, 1, 1, 1, conv(1, 1, 1, 1)},
}

// BenchmarkConvF32 measures one thread's GOP/s (two operations for each
// multiplication) on every shape and set of features.
func BenchmarkConvF32(b *testing.B) {
	for _, s := range convShapes {
		b.Run(s.name, func(b *testing.B) {
			for _, k := range kernels {
				if k.op == "tileF32" && active.Has(k.needs) {
					b.Run(k.needs.String(), func(b *testing.B) {
						benchConvF32(b, s, k.needs)
					})
				}
			}
		})
	}
}

func benchConvF32(b *testing.B, s convShape, have Features) {
	h, w := (s.h-1)*s.spec.StrideH+s.spec.KH, (s.w-1)*s.spec.StrideW+s.spec.KW
	weights := s.m * s.c / s.spec.Groups * s.spec.KH * s.spec.KW
	f := packConvF32(have, make([]float32, weights), make([]float32, s.m), s.m, s.c, s.spec)
	var src, dst []Image[float32]
	for range s.batch {
		src = append(src, Image[float32]{aligned[float32](h * w * s.c), h, w, s.c, w * s.c, s.c})
		dst = append(dst, Image[float32]{aligned[float32](s.h * s.w * s.m), s.h, s.w, s.m, s.w * s.m, s.m})
	}
	r := newBestRate(b)
	for b.Loop() {
		r.time(func() {
			for i := range src {
				f.Run(dst[i], src[i], nil, 0, posInfF32, 0, s.h)
			}
		})
	}
	r.report(2 * float64(weights*s.h*s.w*s.batch))
}
