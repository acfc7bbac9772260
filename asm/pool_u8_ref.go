package asm

func maxU8Generic(dst, src []uint8) {
	for i, v := range src {
		dst[i] = max(dst[i], v)
	}
}

func sumU8Generic(acc []int32, src []uint8) {
	for i, v := range src {
		acc[i] += int32(v)
	}
}
