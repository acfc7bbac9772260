package engine

import "github.com/narrow-ml/narrow/asm"

// encoder returns the function that sets dst to the codes of src, which is as
// long: round half to even, saturate; NaN gives the zero point.
func (c coding) encoder() func(dst []uint8, src []float32) {
	g, err := asm.NewGrid(c.scale, c.zero, 0, 255)
	if err != nil {
		panic(err) // codingOf lets no other scales in
	}
	return g.Quantize
}
