// Package asm holds the numeric kernels of narrow: statistics, histograms,
// quantization sweeps, and float and integer matrix products and
// convolutions.
//
// Public functions take and return slices and hide instruction sets. Each
// operation has a pure-Go reference written from the contract in the doc
// comment of its public function, and may have faster versions for a set of
// processor [Features].
// The list of them all is in kernels.go (and kernels_amd64.go,
// kernels_arm64.go); it drives dispatch, tests and benchmarks alike.
//
// Of an operation's kernels the best whose features the processor has is chosen
// once, at start. The environment variable NARROW_CPU caps the features (generic, avx2,
// avxvnni, avx512, neon, dotprod, i8mm); the build tag purego leaves assembly out.
package asm
