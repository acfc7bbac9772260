package asm

var winogradGeneric = winogradKernels{winogradInputGeneric, winogradOutputGeneric}

// winogradInputGeneric transforms first along the columns, then along the rows.
func winogradInputGeneric(a *winogradArgs) {
	for i := range a.tiles {
		for j := range a.channels {
			at := func(y, x int) float32 { return a.src[a.srcPos+y*a.row+(2*i+x)*a.pix+j] }
			for x := range 4 {
				var v [4]float32
				for y := range v {
					switch x {
					case 0:
						v[y] = at(y, 0) - at(y, 2)
					case 1:
						v[y] = at(y, 1) + at(y, 2)
					case 2:
						v[y] = at(y, 2) - at(y, 1)
					case 3:
						v[y] = at(y, 1) - at(y, 3)
					}
				}
				for y, sum := range [4]float32{v[0] - v[2], v[1] + v[2], v[2] - v[1], v[1] - v[3]} {
					a.dst[a.dstPos+(4*y+x)*a.plane+i*a.tile+j] = sum
				}
			}
		}
	}
}

func winogradOutputGeneric(a *winogradArgs) {
	for i := range a.tiles {
		for j := range a.channels {
			var s [2][4]float32
			for x := range 4 {
				at := func(y int) float32 { return a.src[a.srcPos+(4*y+x)*a.plane+i*a.tile+j] }
				s[0][x] = at(1) + at(2) + at(0)
				s[1][x] = at(1) - at(2) - at(3)
			}
			for y, v := range s {
				for x, sum := range [2]float32{v[1] + v[2] + v[0], v[1] - v[2] - v[3]} {
					sum += a.bias[j]
					if len(a.add) > 0 {
						sum += a.add[a.addPos+y*a.addRow+(2*i+x)*a.addPix+j]
					}
					a.dst[a.dstPos+y*a.row+(2*i+x)*a.pix+j] = clampF32(sum, a.lo, a.hi)
				}
			}
		}
	}
}
