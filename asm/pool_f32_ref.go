package asm

func poolMaxF32Generic(dst, src []float32, rows, cols, rowStep, colStep int, scale float32) {
	for j := range dst {
		m := negInfF32
		for y := range rows {
			for x := range cols {
				m = max(m, src[y*rowStep+x*colStep+j])
			}
		}
		dst[j] = m * scale
	}
}

func poolSumF32Generic(dst, src []float32, rows, cols, rowStep, colStep int, scale float32) {
	for j := range dst {
		var sum float32
		for y := range rows {
			for x := range cols {
				sum += src[y*rowStep+x*colStep+j]
			}
		}
		dst[j] = sum * scale
	}
}
