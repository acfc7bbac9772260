package engine

import "math"

// encode sets dst to the codes of src: round half to even, saturate; NaN gives
// the zero point.
func (c coding) encode(dst []uint8, src []float32) {
	zero := float64(c.zero)
	for i, x := range src {
		q := math.RoundToEven(float64(x/c.scale)) + zero
		switch {
		case q >= 255:
			dst[i] = 255
		case q >= 0:
			dst[i] = uint8(q)
		case q < 0:
			dst[i] = 0
		default: // NaN
			dst[i] = c.zero
		}
	}
}
