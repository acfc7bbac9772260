package asm

import (
	"fmt"
	"slices"
	"testing"
)

// BenchmarkProductS8 multiplies as the heads of attention do, with packing.
func BenchmarkProductS8(b *testing.B) {
	for _, size := range [][3]int{{128, 64, 128}, {128, 128, 64}} {
		for _, zero := range []uint8{128, 132} {
			b.Run(fmt.Sprintf("%v/zero=%d", size, zero), func(b *testing.B) {
				rows, k, n := size[0], size[1], size[2]
				p, err := NewProductS8(k, n)
				if err != nil {
					b.Fatal(err)
				}
				x, y, dst, scale := make([]uint8, rows*k+ReadSlack), make([]uint8, k*n), make([]float32, rows*n), slices.Repeat([]float32{1}, n)
				for b.Loop() {
					p.Set(y, n, 128, zero)
					p.RunF32(Rows(dst, rows, n, n), Rows(x, rows, k, k), scale)
				}
				b.ReportMetric(float64(2*rows*k*n)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GOP/s")
			})
		}
	}
}
