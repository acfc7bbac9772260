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
		t.Run(k.tier.String(), func(t *testing.T) {
			if k.tier > active || !sameArch(k.tier, active) {
				t.Skipf("this processor or NARROW_CPU stops at %s", active)
			}
			test(t, k.fn.(F), max(k.minLen, 1))
		})
	}
}

// TestRequiredTier asserts that the tier CI asked for is the one that runs.
func TestRequiredTier(t *testing.T) {
	want := os.Getenv("NARROW_REQUIRE_CPU")
	if want == "" {
		t.Skip("NARROW_REQUIRE_CPU is not set")
	}
	if got := Active().String(); got != want {
		t.Fatalf("active tier is %s, want %s (detected %s)", got, want, Detected())
	}
}

// TestEveryOperationHasAReference guards the list of kernels.
func TestEveryOperationHasAReference(t *testing.T) {
	for _, k := range kernels {
		if pickKernel(k.op, Generic).tier != Generic {
			t.Errorf("%s has no generic kernel", k.op)
		}
	}
}
