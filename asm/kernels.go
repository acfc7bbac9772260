package asm

import (
	"fmt"
	"slices"
)

// A kernel is one implementation of an operation for one tier. Adding a
// kernel is adding a row to a table that is joined here: dispatch, tests and
// benchmarks read the list.
type kernel struct {
	op     string // the operation: "minMaxF32"
	tier   Tier
	minLen int // the least length (elements) the assembly takes; the public function handles shorter input by the reference
	fn     any // the function; all kernels of one operation have the same type
}

// kernels lists every implementation in this build: the references, a table for
// each group of operations, then those of this architecture, likewise.
var kernels = slices.Concat(
	statsGeneric,
	f32Generic,
	int8Generic,
	archKernels,
)

// pick returns the implementation of op for the highest tier at or below
// limit.
func pick[F any](op string, limit Tier) F {
	k := pickKernel(op, limit)
	fn, ok := k.fn.(F)
	if !ok {
		panic(fmt.Sprintf("asm: kernel %s/%s has type %T", op, k.tier, k.fn))
	}
	return fn
}

// pickKernel returns the row of op for the highest tier at or below limit.
func pickKernel(op string, limit Tier) kernel {
	var best kernel
	for _, k := range kernels {
		if k.op == op && k.tier <= limit && sameArch(k.tier, limit) && (best.fn == nil || k.tier > best.tier) {
			best = k
		}
	}
	if best.fn == nil {
		panic("asm: no kernel for " + op)
	}
	return best
}
