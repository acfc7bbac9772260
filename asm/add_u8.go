package asm

import "fmt"

// AddU8Spec says how two 8-bit tensors a and b become y = clamp(Zero + q, Lo, Hi):
//
//	ByFloat:                 q = roundHalfEven((float32(float32(a-ZeroA)*ScaleA) + float32(float32(b-ZeroB)*ScaleB)) / Divisor)
//	ByMultiplier or ByShift: q = roundHalfEven(((a-ZeroA)*MulA + (b-ZeroB)*MulB) / 2^Shift), in 32-bit integers
//
// The products are rounded to float32 before they are added, and so is their
// sum before it is divided; a Divisor of 0 is taken as 1. A ByShift addition is
// one by multipliers that are powers of two. Its shift is small, often 1, and a
// tie as frequent: rounding all of them up would shift the whole tensor. A negative ScaleB or MulB subtracts.
type AddU8Spec struct {
	Mode           RequantMode
	ZeroA, ZeroB   uint8
	ScaleA, ScaleB float32
	MulA, MulB     int32 // magnitude at most MaxAddMultiplier
	Shift          uint8 // at most MaxAddShift; 0 rounds nothing
	Zero, Lo, Hi   uint8
	Divisor        float32 // positive, or 0
}

// The bounds of an addition's integers, such that 32 bits hold every sum.
const (
	MaxAddMultiplier = 1 << 21
	MaxAddShift      = 30
)

// Check reports parameters out of range.
func (s *AddU8Spec) Check() error {
	abs := func(x float32) float32 { return max(x, -x) }
	limit := float32(1 << 20)
	if s.Divisor != 0 {
		limit *= s.Divisor
	}
	switch {
	case s.Lo > s.Hi:
		return fmt.Errorf("asm: add: range [%d, %d]", s.Lo, s.Hi)
	case s.Mode == ByFloat && !(abs(s.ScaleA) < limit && abs(s.ScaleB) < limit && s.Divisor >= 0): // sums stay within int32
		return fmt.Errorf("asm: add: scales %v and %v", s.ScaleA, s.ScaleB)
	case s.Mode != ByFloat && (max(s.MulA, s.MulB) > MaxAddMultiplier || min(s.MulA, s.MulB) < -MaxAddMultiplier || s.Shift > MaxAddShift):
		return fmt.Errorf("asm: add: multipliers %d and %d, shift %d", s.MulA, s.MulB, s.Shift)
	}
	return nil
}

// Residual is a tensor that is added elementwise to a convolution's requantized
// output: the output is the A of the addition, the tensor the B.
type Residual struct {
	Image Image[uint8] // of the shape of the output, which it must not overlap
	Add   AddU8Spec
}

// AddU8 sets dst[i] to the sum of a[i] and b[i] as spec (which must pass its
// Check) says. The lengths are equal; dst may be a or b.
func AddU8(dst, a, b []uint8, spec *AddU8Spec) {
	if len(a) != len(dst) || len(b) != len(dst) {
		panic(fmt.Sprintf("asm: add %d and %d bytes to %d", len(a), len(b), len(dst)))
	}
	readRange(a)
	readRange(b)
	writeRange(dst)
	addU8(dst, a, b, spec)
}

var addU8 = pick[func(dst, a, b []uint8, spec *AddU8Spec)]("addU8", active)

// MulU8 sets dst[i] to r, of one channel, applied to (a[i]-zeroA)*(b[i]-zeroB). The lengths are
// equal; dst may be a or b.
func MulU8(dst, a, b []uint8, zeroA, zeroB uint8, r *Requant) {
	if len(a) != len(dst) || len(b) != len(dst) {
		panic(fmt.Sprintf("asm: multiply %d and %d bytes to %d", len(a), len(b), len(dst)))
	}
	readRange(a)
	readRange(b)
	writeRange(dst)
	s := s8Scratches.Get().(*s8Scratch)
	defer s.release()
	for len(dst) > 0 {
		n := min(len(dst), len(s.acc))
		for i := range n {
			s.acc[i] = (int32(a[i]) - int32(zeroA)) * (int32(b[i]) - int32(zeroB))
		}
		r.applyScalar(&s.requant, dst[:n], s.acc[:n])
		dst, a, b = dst[n:], a[n:], b[n:]
	}
}
