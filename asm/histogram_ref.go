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

// histogramMagF32Generic puts x in bin floor(|x|*inv), and that much above
// p.below if x is negative.
func histogramMagF32Generic(sub []uint16, p *binning, x []float32) {
	hi, below := p.hi, int(p.below)
	var over, nan, zeros uint64
	for i, v := range x {
		abs := abs32(v)
		switch {
		case v == 0:
			zeros++
		case abs <= hi:
			bin := p.bin(abs)
			if v < 0 {
				bin += below
			}
			sub[4*bin+i&3]++
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
