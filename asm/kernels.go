package asm

import (
	"fmt"
	"slices"
)

// A kernel is one implementation of an operation for processors with some features.
// Adding a kernel is adding a row to a table that is joined here: dispatch, tests
// and benchmarks read the list.
type kernel struct {
	op     string // the operation: "minMaxF32"
	needs  Features
	minLen int // the least length (elements) the assembly takes; the public function handles shorter input by the reference
	fn     any // the function; all kernels of one operation have the same type
}

// kernels lists every implementation in this build: the references, a table for
// each group of operations, then those of this architecture, likewise. Of an operation's
// rows a later one is faster, where it runs.
var kernels = slices.Concat(
	statsGeneric,
	f32Generic,
	int8Generic,
	archKernels,
)

// pick returns the best implementation of op for the features.
func pick[F any](op string, have Features) F {
	k := pickKernel(op, have)
	fn, ok := k.fn.(F)
	if !ok {
		panic(fmt.Sprintf("asm: kernel %s/%s has type %T", op, k.needs, k.fn))
	}
	return fn
}

// pickKernel returns the last row of op whose needs are among the features.
func pickKernel(op string, have Features) kernel {
	for _, k := range slices.Backward(kernels) {
		if k.op == op && have.Has(k.needs) {
			return k
		}
	}
	panic("asm: no kernel for " + op)
}
