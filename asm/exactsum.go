package asm

import (
	"math"
	"math/big"
	"math/bits"
)

// An exactSum adds finite float64 values without rounding, so that their order
// does not matter. Limb i holds a multiple of 2^(32*i-exactBias); limbs carry
// into each other only when room runs out.
type exactSum struct {
	limbs [exactLimbs]int64
	adds  int // since limbs were carried
}

const (
	exactBias  = 1074               // the least exponent of a float64
	exactLimbs = (2098+63)/32 + 2   // all its exponents, and room for 2^63 of the largest
	exactAdds  = math.MaxInt32 >> 1 // each adds less than 2^32 to a limb
)

// add adds v.
func (s *exactSum) add(v float64) {
	b := math.Float64bits(v)
	mantissa, exp := b&(1<<52-1), int(b>>52&0x7ff)
	if exp > 0 {
		mantissa |= 1 << 52
		exp--
	}
	hi, lo := bits.Mul64(mantissa, 1<<(exp%32))
	parts := [3]int64{int64(lo & math.MaxUint32), int64(lo >> 32), int64(hi)}
	for i, p := range parts {
		if int64(b) < 0 {
			p = -p
		}
		s.limbs[exp/32+i] += p
	}
	if s.adds++; s.adds == exactAdds {
		s.carry()
	}
}

// merge adds the sum of other.
func (s *exactSum) merge(other *exactSum) {
	s.carry()
	other.carry()
	for i, l := range other.limbs {
		s.limbs[i] += l
	}
	s.carry()
}

// carry brings all limbs but the highest to 0..2^32-1.
func (s *exactSum) carry() {
	for i := range exactLimbs - 1 {
		s.limbs[i+1] += s.limbs[i] >> 32
		s.limbs[i] &= math.MaxUint32
	}
	s.adds = 0
}

// float64 returns the sum, rounded once to nearest even.
func (s *exactSum) float64() float64 {
	s.carry()
	sum := new(big.Int)
	for i := exactLimbs - 1; i >= 0; i-- {
		sum.Lsh(sum, 32)
		sum.Add(sum, big.NewInt(s.limbs[i]))
	}
	f := new(big.Float).SetInt(sum) // as many bits as needed
	v, _ := f.SetMantExp(f, -exactBias).Float64()
	return v
}
