package asm

import "math"

func addU8Generic(dst, a, b []uint8, s *AddU8Spec) {
	if s.Mode == ByFloat {
		addU8FloatGeneric(dst, a, b, s)
		return
	}
	za, zb, zero := int32(s.ZeroA), int32(s.ZeroB), int32(s.Zero)
	lo, hi, odd := int32(s.Lo), int32(s.Hi), int32(min(s.Shift, 1))
	below := int32(1)<<s.Shift>>1 - odd // just under a half
	for i := range dst {
		v := (int32(a[i])-za)*s.MulA + (int32(b[i])-zb)*s.MulB
		q := (v + below + v>>s.Shift&odd) >> s.Shift // a tie goes up from an odd number only
		dst[i] = uint8(min(max(q+zero, lo), hi))
	}
}

func addU8FloatGeneric(dst, a, b []uint8, s *AddU8Spec) {
	za, zb, zero := int32(s.ZeroA), int32(s.ZeroB), int32(s.Zero)
	lo, hi := int32(s.Lo), int32(s.Hi)
	for i := range dst {
		x := float32(float32(int32(a[i])-za)*s.ScaleA) + float32(float32(int32(b[i])-zb)*s.ScaleB)
		if s.Divisor != 0 {
			x /= s.Divisor
		}
		q := int32(math.RoundToEven(float64(x)))
		dst[i] = uint8(min(max(q+zero, lo), hi))
	}
}
