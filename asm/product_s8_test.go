package asm

import (
	"math/rand/v2"
	"slices"
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
			for _, zeros := range [][2]uint8{{0, 128}, {128, 131}, {200, 0}, {7, 255}, {255, 128}} {
				zero, bZero := zeros[0], zeros[1]
				ld := n + rng.IntN(3)
				a, b := make([]uint8, rows*k+ReadSlack), make([]uint8, (k-1)*ld+n)
				for i := range a {
					a[i] = uint8(rng.IntN(256))
				}
				for i := range b {
					b[i] = uint8(rng.IntN(256))
				}
				p.Set(b, ld, zero, bZero)
				image := Rows(a, rows, k, k)
				want := make([]int32, rows*n)
				for i := range want {
					for l := range k {
						want[i] += (int32(a[i/n*k+l]) - int32(zero)) * (int32(b[l*ld+i%n]) - int32(bZero))
					}
				}
				floats := make([]float32, rows*n)
				p.RunF32(Rows(floats, rows, n, n), image, slices.Repeat([]float32{0.5}, n))
				req := randomRequants(t, rng, n)[ByFloat]
				got, bytes := make([]uint8, rows*n), make([]uint8, rows*n)
				p.Run(Rows(got, rows, n, n), image, req)
				for i := 0; i < len(want); i += n {
					requantOne(req, bytes[i:][:n], want[i:][:n])
				}
				for i, w := range want {
					if floats[i] != float32(w)*0.5 || got[i] != bytes[i] {
						t.Fatalf("%v, zero points %v: sum %d gives %g and %d, not %g and %d", size, zeros, i, floats[i], got[i], float32(w)*0.5, bytes[i])
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

// TestPackQuad holds the kernels to the reference, for all lengths.
func TestPackQuad(t *testing.T) {
	forEachKernel(t, "packQuad", func(t *testing.T, kernel func(out []int8, sums []int32, a, b, c, d []uint8), _ int) {
		rng := rand.New(rand.NewPCG(4, 1))
		for n := range 70 {
			var rows [4][]uint8
			for i := range rows {
				rows[i] = make([]uint8, n)
				for j := range rows[i] {
					rows[i][j] = uint8(rng.Uint32())
				}
			}
			out, sums := make([]int8, 4*n), make([]int32, n)
			kernel(out, sums, rows[0], rows[1], rows[2], rows[3])
			for i := range n {
				sum := int32(0)
				for j, row := range rows {
					v := int8(row[i] ^ 0x80)
					sum += int32(v)
					if out[4*i+j] != v {
						t.Fatalf("%d columns: byte %d of column %d is %d, not %d", n, j, i, out[4*i+j], v)
					}
				}
				if sums[i] != sum {
					t.Fatalf("%d columns: sum of column %d is %d, not %d", n, i, sums[i], sum)
				}
			}
		}
	})
}
