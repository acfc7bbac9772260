package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestTranspose(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, size := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {3, 3}, {3, 1024}, {1024, 3}, {16, 64}, {17, 33}, {8, 8}, {64, 20}} {
		rows, cols := size[0], size[1]
		lds, ldd := cols+rng.IntN(3), rows+rng.IntN(3)
		src, _ := guardedCopies(t, randomF32(rng, (rows-1)*lds+cols))
		dst, _ := guarded[float32](t, (cols-1)*ldd+rows)
		TransposeF32(dst, src, rows, cols, ldd, lds)
		bytes, outBytes := make([]uint8, len(src)), make([]uint8, len(dst))
		for i := range bytes {
			bytes[i] = uint8(rng.Uint32())
		}
		TransposeU8(outBytes, bytes, rows, cols, ldd, lds)
		for i := range rows {
			for j := range cols {
				if dst[j*ldd+i] != src[i*lds+j] || outBytes[j*ldd+i] != bytes[i*lds+j] {
					t.Fatalf("%dx%d: element (%d,%d) differs", rows, cols, i, j)
				}
			}
		}
	}
}

// TestTransposeKernels compares the kernels of whole blocks, between guard pages.
func TestTransposeKernels(t *testing.T) {
	forEachKernel(t, "transposeF32", func(t *testing.T, fn blockKernel[float32], _ int) {
		testTransposeKernel(t, fn, func(rng *rand.Rand) float32 { return rng.Float32() })
	})
	forEachKernel(t, "transposeU8", func(t *testing.T, fn blockKernel[uint8], _ int) {
		testTransposeKernel(t, fn, func(rng *rand.Rand) uint8 { return uint8(rng.Uint32()) })
	})
}

func testTransposeKernel[T comparable](t *testing.T, fn blockKernel[T], random func(*rand.Rand) T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, size := range [][2]int{{8, 8}, {8, 40}, {24, 8}, {32, 16}} {
		rows, cols := size[0], size[1]
		lds, ldd := cols+rng.IntN(3), rows+rng.IntN(3)
		x := make([]T, (rows-1)*lds+cols)
		for i := range x {
			x[i] = random(rng)
		}
		src, _ := guardedCopies(t, x)
		dst, _ := guarded[T](t, (cols-1)*ldd+rows)
		fn(dst, src, rows, cols, ldd, lds)
		for i := range rows {
			for j := range cols {
				if dst[j*ldd+i] != src[i*lds+j] {
					t.Fatalf("%dx%d: element (%d,%d) differs", rows, cols, i, j)
				}
			}
		}
	}
}

func TestInterleave(t *testing.T) {
	forEachKernel(t, "interleaveF32", func(t *testing.T, fn interleaveKernel[float32], _ int) {
		testInterleave(t, fn, func(rng *rand.Rand) float32 { return rng.Float32() })
	})
	forEachKernel(t, "interleaveU8", func(t *testing.T, fn interleaveKernel[uint8], _ int) {
		testInterleave(t, fn, func(rng *rand.Rand) uint8 { return uint8(rng.Uint32()) })
	})
}

func testInterleave[T comparable](t *testing.T, fn interleaveKernel[T], random func(*rand.Rand) T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for n := 0; n < 10*interleaveLanes; n += interleaveLanes {
		var channels [3][]T
		for c := range channels {
			x := make([]T, n)
			for i := range x {
				x[i] = random(rng)
			}
			channels[c], _ = guardedCopies(t, x)
		}
		dst, _ := guarded[T](t, 3*n)
		fn(dst, channels[0], channels[1], channels[2])
		for i, got := range dst {
			if want := channels[i%3][i/3]; got != want {
				t.Fatalf("n=%d: element %d is %v, want %v", n, i, got, want)
			}
		}
	}
}

// BenchmarkTranspose measures Gelem/s to channels-last and back.
func BenchmarkTranspose(b *testing.B) {
	for _, c := range []int{3, 64} {
		const pixels = 56 * 56
		x, y := aligned[float32](c*pixels), aligned[float32](c*pixels)
		for name, run := range map[string]func(){
			"toChannelsLast":  func() { TransposeF32(y, x, c, pixels, c, pixels) },
			"toChannelsFirst": func() { TransposeF32(x, y, pixels, c, pixels, c) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, c), func(b *testing.B) {
				r := newBestRate(b)
				for b.Loop() {
					r.time(run)
				}
				r.report(float64(len(x)))
			})
		}
	}
}
