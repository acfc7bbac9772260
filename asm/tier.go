package asm

import (
	"fmt"
	"os"
)

// Tier is a set of processor features that kernels are written for. Within
// one architecture a higher tier includes every lower one, so capping the
// tier turns off all that builds on it.
type Tier uint8

// The tiers, lowest first within each architecture.
const (
	Generic Tier = iota // pure Go
	AVX2                // amd64: AVX2 and FMA
	AVX512              // amd64: AVX-512 F, BW, DQ, VL and VNNI
	NEON                // arm64: Advanced SIMD
	DotProd             // arm64: SDOT and UDOT
	I8MM                // arm64: SMMLA, USMMLA and USDOT
)

var tierNames = [...]string{
	Generic: "generic",
	AVX2:    "avx2",
	AVX512:  "avx512",
	NEON:    "neon",
	DotProd: "dotprod",
	I8MM:    "i8mm",
}

// String returns the tier's name as NARROW_CPU spells it.
func (t Tier) String() string {
	if int(t) < len(tierNames) {
		return tierNames[t]
	}
	return fmt.Sprintf("Tier(%d)", uint8(t))
}

// ParseTier returns the tier with the given name.
func ParseTier(name string) (Tier, error) {
	for t, n := range tierNames {
		if n == name {
			return Tier(t), nil
		}
	}
	return Generic, fmt.Errorf("asm: unknown CPU tier %q: it is one of %v", name, tierNames)
}

// active is the tier that kernels are chosen for.
var active = chooseTier(detectTier(), os.Getenv("NARROW_CPU"))

// Active returns the tier that kernels are chosen for in this process.
func Active() Tier { return active }

// Detected returns the highest tier that this processor and build support,
// whatever NARROW_CPU says.
func Detected() Tier { return detectTier() }

// chooseTier caps what the processor has at the tier asked for. An unknown
// name, or a tier of another architecture, falls back to Generic when it names
// none that the processor has: the cap must never turn a feature on.
func chooseTier(detected Tier, limit string) Tier {
	if limit == "" {
		return detected
	}
	t, err := ParseTier(limit)
	if err != nil {
		fmt.Fprintf(os.Stderr, "narrow: ignoring NARROW_CPU: %v\n", err)
		return detected
	}
	if t >= detected {
		return detected
	}
	if !sameArch(t, detected) {
		return Generic
	}
	return t
}

// sameArch reports whether two tiers belong to one architecture; Generic
// belongs to all.
func sameArch(a, b Tier) bool {
	return a == Generic || b == Generic || (a >= NEON) == (b >= NEON)
}
