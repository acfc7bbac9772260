package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestWinogradS8Extremes has the largest sums that the minimal algorithm must still get right, and those
// for which it must not be taken, with outputs that end and start at guard pages.
func TestWinogradS8Extremes(t *testing.T) {
	forEachKernel(t, "convS8", func(t *testing.T, tiles *tileKernelS8, _ int) {
		if tiles.winograd == nil {
			t.Skip("has no minimal algorithm for integers")
		}
		for _, channels := range []int{16, 64, 1840, 1856} {
			for name, weight := range map[string]func(i int) int8{
				"all 127":     func(int) int8 { return 127 },
				"all -127":    func(int) int8 { return -127 },
				"signs":       func(i int) int8 { return int8(127 - 255*(i&1)) },
				"kernel rows": func(i int) int8 { return int8(127 - 254*(i/3&1)) },
			} {
				t.Run(fmt.Sprintf("%d/%s", channels, name), func(t *testing.T) {
					c := convCaseS8{16, channels, 5, 5, square(3, 1, 1)}
					w := make([]int8, c.m*c.c*9)
					for i := range w {
						w[i] = weight(i)
					}
					f, err := packConvS8(widened(w), nil, 3, c.m, c.c, c.spec, tiles, depthwiseS8)
					if err != nil {
						t.Fatal(err)
					}
					if all := name[:3] == "all"; (f.winograd == nil) != (all && channels > 1840) {
						t.Fatalf("minimal algorithm: %v", f.winograd != nil)
					}
					testWinogradExtremes(t, c, f, w)
				})
			}
		}
	})
}

func testWinogradExtremes(t *testing.T, c convCaseS8, f *ConvS8, w []int8) {
	_, _, src := c.random(t, rand.New(rand.NewPCG(1, 1)))
	r, err := RequantByFloat([]float32{
		1e-6, 1e-7, 2e-7, 3e-7, 4e-7, 5e-7, 6e-7, 7e-7, -1e-6, -1e-7, 1e-5, 0.9, 0, 1e-3, -1e-3, -0.9}, 100, 3, 250)
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range []func(i int) uint8{
		func(int) uint8 { return 255 },
		func(int) uint8 { return 0 },
		func(i int) uint8 { return uint8(255 * (i & 1)) },
		func(i int) uint8 { return uint8(255 * (i / c.c & 1)) },
	} {
		for i := range src.Data {
			src.Data[i] = fill(i)
		}
		want := naiveConvS8(c, widened(w), make([]int32, c.m), 3, src)
		checkSums(t, f, src, want)
		wantBytes := make([]uint8, len(want.Data))
		for i := 0; i < len(wantBytes); i += c.m {
			requantOne(r, wantBytes[i:i+c.m], want.Data[i:i+c.m])
		}
		atEnd, atStart := guarded[uint8](t, len(wantBytes))
		for _, data := range [][]uint8{atEnd, atStart} {
			dst := Image[uint8]{Data: data, H: want.H, W: want.W, C: want.C, RowStride: want.RowStride, PixStride: want.PixStride}
			f.Run(dst, src, r, nil, 0, dst.H)
			if string(data) != string(wantBytes) {
				t.Fatal("requantized bytes differ")
			}
		}
	}
}

// TestWinogradS8Rows makes an image row by row, in twos and threes and panel by panel: tiles then lie at other places.
func TestWinogradS8Rows(t *testing.T) {
	forEachKernel(t, "convS8", func(t *testing.T, tiles *tileKernelS8, _ int) {
		rng := rand.New(rand.NewPCG(5, 5))
		c := convCaseS8{40, 32, 11, 9, square(3, 1, 1)}
		w, bias, src := c.random(t, rng)
		f, err := packConvS8(widened(w), bias, 5, c.m, c.c, c.spec, tiles, depthwiseS8)
		if err != nil {
			t.Fatal(err)
		}
		sums := naiveConvS8(c, widened(w), bias, 5, src)
		for mode, r := range randomRequants(t, rng, c.m) {
			want := blank[int32, uint8](sums, 0)
			for i := 0; i < len(want.Data); i += c.m {
				requantOne(r, want.Data[i:i+c.m], sums.Data[i:i+c.m])
			}
			for step := 1; step <= 3; step++ {
				got := blank[int32, uint8](sums, 0)
				for y := 0; y < got.H; y += step {
					for p := range f.Panels() {
						f.RunPanels(got, src, r, nil, y, min(y+step, got.H), p, p+1)
					}
				}
				if string(got.Data) != string(want.Data) {
					t.Fatalf("mode %d, %d rows at a time: bytes differ", mode, step)
				}
			}
		}
	})
}
