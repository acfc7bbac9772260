package asm

import "math"

// histogramF32Generic puts x in bin floor((x-lo)*inv) of [lo, hi].
func histogramF32Generic(sub []uint16, p *binning, x []float32) {
	lo, hi := p.lo, p.hi
	var under, over, nan, zeros uint64
	for i, v := range x {
		switch {
		case v == 0:
			zeros++
		case v >= lo && v <= hi:
			sub[4*p.bin(v)+i&3]++
		case v < lo:
			under++
		case v > hi:
			over++
		default:
			nan++
		}
	}
	p.under += under
	p.over += over
	p.nan += nan
	p.zeros += zeros
}

// histogramMagF32Generic puts x in bin m = floor(|x|*inv), counted from offset:
// upwards, and if sign is set downwards for negative x.
func histogramMagF32Generic(sub []uint16, p *binning, x []float32) {
	hi := p.hi
	var over, nan, zeros uint64
	for i, v := range x {
		abs := abs32(v)
		switch {
		case v == 0:
			zeros++
		case abs <= hi:
			m := p.last
			if t := abs * p.inv; t < float32(p.last) {
				m = uint32(t)
			}
			if v < 0 {
				m ^= p.sign // -1-m
			}
			sub[4*(m+p.offset)+uint32(i&3)]++
		case abs > hi:
			over++
		default:
			nan++
		}
	}
	p.over += over
	p.nan += nan
	p.zeros += zeros
}

func abs32(x float32) float32 {
	return math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
}
