package asm

import "math"

func momentsF32Generic(m *moments, x []float32) {
	for i, v := range x {
		l := i & 15
		switch {
		case v != v:
			m.nan[l]++
			continue
		case abs32(v) > math.MaxFloat32:
			continue
		case v == 0:
			m.zeros[l]++
		}
		m.finite[l]++
		d := float64(v)
		m.sum[l] += d
		m.sumSq[l] += float64(d * d)
		m.lo[l] = min(m.lo[l], v)
		m.hi[l] = max(m.hi[l], v)
	}
}
