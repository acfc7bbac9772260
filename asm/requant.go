package asm

import (
	"fmt"
	"math"
	"slices"
)

// RequantMode is the arithmetic of a [Requant].
type RequantMode uint8

// The modes. All give the same bits on every tier.
const (
	// ByFloat: q = roundHalfEven(float32(v) * scale), as ONNX Runtime does.
	ByFloat RequantMode = iota
	// ByMultiplier: q = (v*mul + 2^(shift-1)) >> shift, in 64 bits; no rounding
	// term for a shift of 0.
	ByMultiplier
	// ByShift: q = (v + 2^(n-1)) >> n; a negative n multiplies by 2^-n.
	ByShift
)

// The largest magnitude of a ByShift shift, and the largest ByMultiplier one.
const (
	MaxShift           = 31
	MaxMultiplierShift = 62
)

// Requant turns the int32 sum v of output channel c into a byte: q by its mode
// and the channel's parameters, then clamp(q + zero, lo, hi), where nothing
// wraps around on the way. Make one with [RequantByFloat],
// [RequantByMultiplier] or [RequantByShift]. It is safe for concurrent use.
type Requant struct {
	mode         RequantMode
	channels     int
	scale        []float32 // the parameters are padded to requantPad
	mul, shift   []int32
	zero, lo, hi int32
	shrinks      bool // |scale| < 1 in all channels: no product leaves int32
}

// plain reports whether kernels that make bytes at once know the arithmetic.
func (r *Requant) plain() bool { return r.mode == ByFloat && r.shrinks || r.mode == ByShift }

// requantPad is how many more parameters than channels a Requant holds.
const requantPad = 32

// RequantByFloat returns the [ByFloat] rescaling with one scale per channel.
// Scales must be finite.
func RequantByFloat(scale []float32, zero, lo, hi uint8) (*Requant, error) {
	for c, s := range scale {
		if math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) {
			return nil, fmt.Errorf("asm: requantize: scale %v of channel %d is not finite", s, c)
		}
	}
	r, err := newRequant(ByFloat, len(scale), zero, lo, hi)
	if err != nil {
		return nil, err
	}
	r.scale = padded(scale)
	r.shrinks = max(slices.Max(scale), -slices.Min(scale)) < 1
	return r, nil
}

// RequantByMultiplier returns the [ByMultiplier] rescaling with one multiplier
// and one shift (0 to [MaxMultiplierShift]) per channel.
func RequantByMultiplier(mul []int32, shift []uint8, zero, lo, hi uint8) (*Requant, error) {
	if len(mul) != len(shift) {
		return nil, fmt.Errorf("asm: requantize: %d multipliers and %d shifts", len(mul), len(shift))
	}
	r, err := newRequant(ByMultiplier, len(mul), zero, lo, hi)
	if err != nil {
		return nil, err
	}
	wide := make([]int32, len(shift))
	for c, s := range shift {
		if s > MaxMultiplierShift {
			return nil, fmt.Errorf("asm: requantize: shift %d of channel %d is above %d", s, c, MaxMultiplierShift)
		}
		wide[c] = int32(s)
	}
	r.mul, r.shift = padded(mul), padded(wide)
	return r, nil
}

// RequantByShift returns the [ByShift] rescaling with one shift per channel,
// from -30 to [MaxShift].
func RequantByShift(shift []int8, zero, lo, hi uint8) (*Requant, error) {
	r, err := newRequant(ByShift, len(shift), zero, lo, hi)
	if err != nil {
		return nil, err
	}
	mul, right := make([]int32, len(shift)), make([]int32, len(shift))
	for c, s := range shift {
		if s < -30 || s > MaxShift {
			return nil, fmt.Errorf("asm: requantize: shift %d of channel %d is not in [-30, %d]", s, c, MaxShift)
		}
		if s < 0 { // only multiplication can grow a number: then all channels multiply
			r.mode = ByMultiplier
		}
		mul[c], right[c] = 1<<max(0, -s), int32(max(0, s))
	}
	r.mul, r.shift = padded(mul), padded(right)
	return r, nil
}

func newRequant(mode RequantMode, channels int, zero, lo, hi uint8) (*Requant, error) {
	if channels == 0 || lo > hi {
		return nil, fmt.Errorf("asm: requantize: %d channels, range [%d, %d]", channels, lo, hi)
	}
	return &Requant{mode: mode, channels: channels, zero: int32(zero), lo: int32(lo), hi: int32(hi)}, nil
}

// padded copies x and appends its last element requantPad times: vectors
// from any channel on can be loaded, and the parameters of one channel serve
// requantPad elements in a row.
func padded[T any](x []T) []T {
	out := make([]T, len(x)+requantPad)
	for i := copy(out, x); i < len(out); i++ {
		out[i] = x[len(x)-1]
	}
	return out
}

// Channels returns the number of channels that r has parameters for.
func (r *Requant) Channels() int { return r.channels }

// Apply requantizes rows of r.Channels() sums: dst[i] from src[i], channel
// i mod Channels. It panics when the lengths differ or are no whole number of rows.
func (r *Requant) Apply(dst []uint8, src []int32) {
	if len(dst) != len(src) || len(src)%r.channels != 0 {
		panic(fmt.Sprintf("asm: requantize %d sums of %d channels to %d bytes", len(src), r.channels, len(dst)))
	}
	readRange(src)
	writeRange(dst)
	if len(src) == 0 {
		return
	}
	s := s8Scratches.Get().(*s8Scratch)
	defer s.release()
	pixels := len(src) / r.channels
	s.requant = requantArgs{dst: dst, src: src, dstStep: r.channels, srcStep: r.channels, pixels: pixels, channels: r.channels}
	r.rows(&s.requant, 0)
}

// requantArgs describes rows of sums to requantize. The assembly knows its layout.
type requantArgs struct {
	dst              []uint8
	src              []int32
	dstStep, srcStep int // elements from pixel to pixel
	pixels, channels int
	scale            []float32 // from the first channel on, padded
	mul, shift       []int32
	zero, lo, hi     int32
}

// requantKernels are the row functions of a tier, by mode.
type requantKernels [ByShift + 1]func(*requantArgs)

var requantRows = pick[*requantKernels]("requantize", active)

// rows requantizes a.channels channels, of which the first is channel first of r.
func (r *Requant) rows(a *requantArgs, first int) {
	r.rowsBy(requantRows, a, first)
}

func (r *Requant) rowsBy(k *requantKernels, a *requantArgs, first int) {
	r.setParams(a, first)
	k[r.mode](a)
}

// setParams fills in the parameters of r from channel first on.
func (r *Requant) setParams(a *requantArgs, first int) {
	a.zero, a.lo, a.hi = r.zero, r.lo, r.hi
	if r.mode == ByFloat {
		a.scale = r.scale[first:]
	} else {
		a.mul, a.shift = r.mul[first:], r.shift[first:]
	}
}

// applyScalar requantizes all of src by the one channel of r.
func (r *Requant) applyScalar(a *requantArgs, dst []uint8, src []int32) {
	if r.channels != 1 {
		panic(fmt.Sprintf("asm: requantize by %d channels where one is wanted", r.channels))
	}
	whole := len(src) / requantPad * requantPad
	if whole > 0 {
		*a = requantArgs{dst: dst, src: src, dstStep: requantPad, srcStep: requantPad, pixels: whole / requantPad, channels: requantPad}
		r.rows(a, 0)
	}
	if whole < len(src) {
		*a = requantArgs{dst: dst[whole:], src: src[whole:], pixels: 1, channels: len(src) - whole}
		r.rows(a, 0)
	}
}
