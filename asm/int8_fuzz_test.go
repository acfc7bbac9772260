package asm

import (
	"math/rand/v2"
	"testing"
)

// FuzzConvS8 compares convolutions of any geometry, on every tier, with their definition, and
// their requantized bytes with the references'.
func FuzzConvS8(f *testing.F) {
	for i, c := range convCasesS8 {
		f.Add(uint64(i), uint8(c.m), uint8(c.c), uint8(c.h), uint8(c.w), uint8(c.spec.KH), uint8(c.spec.KW),
			uint8(c.spec.StrideH), uint8(c.spec.StrideW), uint8(c.spec.DilationH), uint8(c.spec.DilationW), uint8(c.spec.Groups))
	}
	f.Fuzz(func(t *testing.T, seed uint64, m, c, h, w, kh, kw, sh, sw, dh, dw, groups uint8) {
		spec := ConvSpec{int(kh) % 12, int(kw) % 12, int(sh) % 5, int(sw) % 5, int(dh) % 4, int(dw) % 4, int(groups)}
		cc := convCaseS8{int(m), int(c), int(h) % 24, int(w) % 80, spec}
		oh, ow := 0, 0
		if spec.valid(cc.m, cc.c) {
			oh, ow = spec.OutSize(cc.h, cc.w)
		}
		if work := oh * ow * cc.m * cc.c / max(1, spec.Groups) * spec.KH * spec.KW; work == 0 || work > 1<<20 {
			t.Skip("no output, or too much work")
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		weights, bias, src := cc.random(t, rng)
		if seed%2 == 1 {
			cc.makeSafe(weights)
		}
		zero := uint8(rng.IntN(256))
		want := naiveConvS8(cc, widened(weights), bias, zero, src)
		requants := randomRequants(t, rng, cc.m)
		for _, have := range runnable() {
			conv, err := packConvS8(widened(weights), bias, zero, cc.m, cc.c, spec,
				pick[*tileKernelS8]("convS8", have), pick[*depthwiseKernelS8]("depthwiseS8", have))
			if err != nil {
				t.Fatal(err)
			}
			got := blank[int32, int32](want, 0)
			conv.RunS32(got, src, 0, oh)
			sameImage(t, got, want)
			for _, r := range requants {
				bytes, wantBytes := blank[int32, uint8](want, 0), blank[int32, uint8](want, 0)
				conv.Run(bytes, src, r, nil, 0, oh)
				for i := 0; i < len(want.Data); i += cc.m {
					requantOne(r, wantBytes.Data[i:i+cc.m], want.Data[i:i+cc.m])
				}
				sameImage(t, bytes, wantBytes)
			}
		}
	})
}
