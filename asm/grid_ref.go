package asm

import "math"

// round returns the integer for x.
func (p *gridParams) round(x float32) int32 {
	if x != x {
		return p.zero
	}
	q := math.RoundToEven(float64(x/p.scale)) + float64(p.zero)
	return int32(min(max(q, float64(p.low)), float64(p.high)))
}

// value returns what the integer q stands for.
func (p *gridParams) value(q int32) float32 { return float32(float32(q-p.zero) * p.scale) }

func quantizeGeneric[Q Quantized](dst []Q, x []float32, p *gridParams) {
	for i, v := range x {
		dst[i] = Q(p.round(v))
	}
}

func dequantizeGeneric[Q Quantized](dst []float32, q []Q, p *gridParams) {
	for i, v := range q {
		dst[i] = p.value(int32(v))
	}
}

func quantizeDequantizeGeneric(dst, x []float32, p *gridParams) {
	for i, v := range x {
		dst[i] = p.value(p.round(v))
	}
}

// next returns the grid of channel c, and the channel after it.
func (p *channelParams) next(c int) (*gridParams, int) {
	if c+1 == p.channels {
		return &p.grids[c], 0
	}
	return &p.grids[c], c + 1
}

func quantizeChannelsGeneric[Q Quantized](dst []Q, x []float32, p *channelParams, first int) {
	var g *gridParams
	for i, v := range x {
		g, first = p.next(first)
		dst[i] = Q(g.round(v))
	}
}

func dequantizeChannelsGeneric[Q Quantized](dst []float32, q []Q, p *channelParams, first int) {
	var g *gridParams
	for i, v := range q {
		g, first = p.next(first)
		dst[i] = g.value(int32(v))
	}
}

func quantizeDequantizeChannelsGeneric(dst, x []float32, p *channelParams, first int) {
	var g *gridParams
	for i, v := range x {
		g, first = p.next(first)
		dst[i] = g.value(g.round(v))
	}
}

// addErrorGeneric adds |x - quantized x|^power to sum.
func addErrorGeneric(sum *[16]float64, x []float32, p *gridParams, power float64) {
	for i, v := range x {
		d := math.Abs(float64(v - p.value(p.round(v))))
		switch power {
		case 1:
		case 2:
			d = float64(d * d)
		case 4:
			d = float64(d * d)
			d = float64(d * d)
		default:
			d = math.Pow(d, power)
		}
		sum[i&15] += d
	}
}

func errorAbsF32Generic(sum *[16]float64, x []float32, p *gridParams) { addErrorGeneric(sum, x, p, 1) }

func errorSquareF32Generic(sum *[16]float64, x []float32, p *gridParams) {
	addErrorGeneric(sum, x, p, 2)
}

func errorFourthF32Generic(sum *[16]float64, x []float32, p *gridParams) {
	addErrorGeneric(sum, x, p, 4)
}
