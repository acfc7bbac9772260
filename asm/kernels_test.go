package asm

import (
	"os"
	"testing"
)

// forEachKernel runs test for every implementation of op that this processor
// can run, the reference included.
func forEachKernel[F any](t *testing.T, op string, test func(t *testing.T, fn F, minLen int)) {
	t.Helper()
	for _, k := range kernels {
		if k.op != op {
			continue
		}
		t.Run(k.needs.String(), func(t *testing.T) {
			if !active.Has(k.needs) {
				t.Skipf("this processor or NARROW_CPU stops at %s", active)
			}
			test(t, k.fn.(F), max(k.minLen, 1))
		})
	}
}

// TestRequiredTier asserts that the features CI asked for are those that run.
func TestRequiredTier(t *testing.T) {
	want := os.Getenv("NARROW_REQUIRE_CPU")
	if want == "" {
		t.Skip("NARROW_REQUIRE_CPU is not set")
	}
	if got := Active().String(); got != want {
		t.Fatalf("features are %s, want %s (detected %s)", got, want, Detected())
	}
}

// TestEveryOperationHasAReference guards the list of kernels.
func TestEveryOperationHasAReference(t *testing.T) {
	for _, k := range kernels {
		if pickKernel(k.op, Generic).needs != Generic {
			t.Errorf("%s has no generic kernel", k.op)
		}
	}
}

// TestPickTakesWhatRuns asks for kernels for every set of features, whether a processor
// with it exists or not.
func TestPickTakesWhatRuns(t *testing.T) {
	for have := range 1 << 7 {
		have := Features(have)
		for _, k := range kernels {
			got := pickKernel(k.op, have)
			if !have.Has(got.needs) {
				t.Errorf("%s: %07b picked for %07b", k.op, got.needs, have)
			}
			if have.Has(k.needs) && k.needs.Has(got.needs) && k.needs != got.needs {
				t.Errorf("%s: %07b picked for %07b, which has %07b", k.op, got.needs, have, k.needs)
			}
		}
	}
}

func TestFeatures(t *testing.T) {
	for _, l := range levels {
		if got, err := ParseFeatures(l.name); err != nil || got != l.set || got.String() != l.name {
			t.Errorf("%s: %v, %v", l.name, got, err)
		}
	}
	if _, err := ParseFeatures("sse2"); err == nil {
		t.Error("sse2 is no set of features")
	}
	for _, c := range []struct {
		detected Features
		limit    string
		want     Features
		name     string
	}{
		{AVX512VNNI | AVXVNNI, "", AVX512VNNI | AVXVNNI, "avx512"},
		{AVX512VNNI | AVXVNNI, "avx512", AVX512VNNI, "avx512"},
		{AVX512VNNI | AVXVNNI, "avxvnni", AVXVNNI, "avxvnni"},
		{AVX512VNNI, "avxvnni", AVX2, "avx2"}, // AVX-512 VNNI does not include AVX-VNNI
		{AVXVNNI, "avx512", AVX2, "avx2"},
		{AVX512, "", AVX512, "avx512"},
		{AVX2, "neon", Generic, "generic"},
		{DotProd, "i8mm", DotProd, "dotprod"},
		{AVX2, "no such", AVX2, "avx2"},
	} {
		if got := capped(c.detected, c.limit); got != c.want || got.String() != c.name {
			t.Errorf("%07b capped at %q: %07b, called %v", c.detected, c.limit, got, got)
		}
	}
}
