package asm

import (
	"math/rand/v2"
	"testing"
)

// TestProductS8 multiplies random matrices, one after the other with the same ProductS8, on every tier.
func TestProductS8(t *testing.T) {
	forEachKernel(t, "convS8", func(t *testing.T, tiles *tileKernelS8, _ int) {
		rng := rand.New(rand.NewPCG(9, 1))
		for _, size := range [][3]int{{1, 1, 1}, {3, 5, 2}, {7, 64, 16}, {13, 197, 64}, {12, 64, 197}, {2, 33, 130}} {
			rows, k, n := size[0], size[1], size[2]
			p, err := newProductS8(k, n, tiles)
			if err != nil {
				t.Fatal(err)
			}
			for _, zero := range []uint8{0, 128, 200} {
				ld := n + rng.IntN(3)
				a, b := make([]uint8, rows*k+ReadSlack), make([]uint8, (k-1)*ld+n)
				for i := range a {
					a[i] = uint8(rng.IntN(256))
				}
				for i := range b {
					b[i] = uint8(rng.IntN(256))
				}
				p.Set(b, ld, zero)
				got := make([]int32, rows*n)
				p.conv.RunS32(Rows(got, rows, n, n), Rows(a, rows, k, k), 0, 1)
				for i, g := range got {
					want := int32(0)
					for l := range k {
						want += (int32(a[i/n*k+l]) - int32(zero)) * (int32(b[l*ld+i%n]) - 128)
					}
					if g != want {
						t.Fatalf("%v, zero point %d: sum %d is %d, not %d", size, zero, i, g, want)
					}
				}
			}
		}
	})
	for _, bad := range [][2]int{{0, 1}, {1, 0}, {MaxSumLength + 1, 1}} {
		if _, err := NewProductS8(bad[0], bad[1]); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}
