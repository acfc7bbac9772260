package asm

func lookupU8Generic(dst, src []uint8, table *[256]uint8) {
	for i, v := range src {
		dst[i] = table[v]
	}
}
