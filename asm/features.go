package asm

import (
	"fmt"
	"os"
	"slices"
)

// Features is a set of processor features that kernels are written for.
type Features uint8

const (
	hasAVX2 Features = 1 << iota
	hasAVXVNNI
	hasAVX512
	hasAVX512VNNI
	hasNEON
	hasDotProd
	hasI8MM
)

// The sets that kernels need. One includes what its name builds on and nothing else:
// a processor with AVX512VNNI may lack AVXVNNI, and the other way round.
const (
	Generic    Features = 0                      // pure Go
	AVX2                = hasAVX2                // amd64: AVX2 and FMA
	AVXVNNI             = AVX2 | hasAVXVNNI      // amd64: VPDPBUSD of 256 bits
	AVX512              = AVX2 | hasAVX512       // amd64: AVX-512 F, BW, DQ and VL
	AVX512VNNI          = AVX512 | hasAVX512VNNI // amd64: VPDPBUSD of 512 bits too
	NEON                = hasNEON                // arm64: Advanced SIMD
	DotProd             = NEON | hasDotProd      // arm64: SDOT and UDOT
	I8MM                = DotProd | hasI8MM      // arm64: SMMLA, USMMLA and USDOT
)

// levels are the sets that NARROW_CPU names, in an order in which better ones come later.
var levels = []struct {
	name string
	set  Features
}{
	{"generic", Generic},
	{"avx2", AVX2},
	{"avxvnni", AVXVNNI},
	{"avx512", AVX512VNNI},
	{"neon", NEON},
	{"dotprod", DotProd},
	{"i8mm", I8MM},
}

// Has reports whether f includes all of the features needed.
func (f Features) Has(needed Features) bool { return f&needed == needed }

// String returns the name of the first set of those that NARROW_CPU names that includes
// f or, where f is more than any of them, of the last that f includes.
func (f Features) String() string {
	name := ""
	for _, l := range levels {
		if l.set.Has(f) {
			return l.name
		}
		if f.Has(l.set) {
			name = l.name
		}
	}
	return name
}

// ParseFeatures returns the set that NARROW_CPU calls name.
func ParseFeatures(name string) (Features, error) {
	var names []string
	for _, l := range levels {
		if l.name == name {
			return l.set, nil
		}
		names = append(names, l.name)
	}
	return Generic, fmt.Errorf("asm: unknown processor features %q: they are one of %v", name, names)
}

// active are the features that kernels are chosen for.
var active = capped(detect(), os.Getenv("NARROW_CPU"))

// Active returns the features that kernels are chosen for in this process.
func Active() Features { return active }

// Detected returns the features that this processor and build support, whatever
// NARROW_CPU says.
func Detected() Features { return detect() }

// capped returns what a processor has of the features that limit names: the cap never
// turns one on.
func capped(detected Features, limit string) Features {
	if limit == "" {
		return detected
	}
	f, err := ParseFeatures(limit)
	if err != nil {
		fmt.Fprintf(os.Stderr, "narrow: ignoring NARROW_CPU: %v\n", err)
		return detected
	}
	return detected & f
}

// runnable returns the named sets that the active features include.
func runnable() []Features {
	var sets []Features
	for _, l := range levels {
		if active.Has(l.set) {
			sets = append(sets, l.set)
		}
	}
	return slices.Clip(sets)
}
