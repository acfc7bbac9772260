package asm

import "fmt"

// LookupU8 sets dst[i] to table[src[i]]: any function of one byte, such as a
// sigmoid or a change of scale. The lengths are equal; dst may be src.
func LookupU8(dst, src []uint8, table *[256]uint8) {
	if len(dst) != len(src) {
		panic(fmt.Sprintf("asm: look up %d bytes for %d", len(src), len(dst)))
	}
	readRange(src)
	writeRange(dst)
	lookupU8(dst, src, table)
}

var lookupU8 = pick[func(dst, src []uint8, table *[256]uint8)]("lookupU8", active)
