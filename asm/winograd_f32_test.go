package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

var winogradCases = []convCase{
	{4, 4, 16, 16, conv(3, 1, 1, 1)},
	{3, 3, 16, 16, conv(3, 1, 1, 1)},
	{5, 8, 16, 32, conv(3, 1, 1, 1)},
	{9, 9, 32, 48, conv(3, 1, 1, 1)},
	{34, 34, 16, 16, conv(3, 1, 1, 1)},
	{6, 18, 64, 80, conv(3, 1, 1, 1)},
	{6, 5, 128, 112, conv(3, 1, 1, 1)},
	{7, 6, 512, 16, conv(3, 1, 1, 1)}, // pixels that collide
}

// forEachWinograd runs test for the transforms of each tier with its tiles.
func forEachWinograd(t *testing.T, test func(t *testing.T, tiles tileSet, k winogradKernels)) {
	for _, k := range kernels {
		if k.op != "winogradF32" {
			continue
		}
		t.Run(k.needs.String(), func(t *testing.T) {
			if !active.Has(k.needs) {
				t.Skipf("this processor or NARROW_CPU stops at %s", active)
			}
			test(t, pick[tileSet]("tileF32", k.needs), k.fn.(winogradKernels))
		})
	}
}

// TestWinogradF32 compares with float64, whole and by single rows and panels, between guard pages.
func TestWinogradF32(t *testing.T) {
	forEachWinograd(t, func(t *testing.T, tiles tileSet, k winogradKernels) {
		for _, c := range winogradCases {
			for variant := range 4 {
				testConv(t, c, variant, func(w, bias []float32) *ConvF32 {
					return &ConvF32{spec: c.spec, m: c.m, c: c.c, winograd: packWinogradF32(w, bias, c.m, c.c, tiles, k)}
				})
			}
		}
	})
}

// TestWinogradKernels compares the transforms of all tiers bit by bit.
func TestWinogradKernels(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	forEachWinograd(t, func(t *testing.T, _ tileSet, k winogradKernels) {
		for _, channels := range []int{16, 48} {
			for _, tiles := range []int{1, 5} {
				a := winogradArgs{channels: channels, tiles: tiles, pix: channels + 3, plane: tiles*(channels+5) + 7, tile: channels + 5,
					addPix: channels + 1, bias: randomF32(rng, channels), lo: -1, hi: 2}
				a.row, a.addRow = (2*tiles+2)*a.pix+1, 2*tiles*a.addPix+2
				image, planes := randomF32(rng, 4*a.row), randomF32(rng, 16*a.plane)
				both := func(name string, from []float32, size int, run func(k winogradKernels, a *winogradArgs)) {
					var results [2][]float32
					for i, kernels := range []winogradKernels{winogradGeneric, k} {
						one := a
						one.src, one.dst = from, make([]float32, size)
						results[i] = one.dst
						run(kernels, &one)
					}
					if !sameBits(results[0], results[1]) {
						t.Errorf("%s of %d tiles of %d channels: %v, want %v", name, tiles, channels, results[1], results[0])
					}
				}
				both("input", image, len(planes), func(k winogradKernels, a *winogradArgs) { k.input(a) })
				both("output", planes, len(image), func(k winogradKernels, a *winogradArgs) { k.output(a) })
				a.add, a.lo, a.hi = randomF32(rng, 2*a.addRow), negInfF32, posInfF32
				both("output with residual", planes, len(image), func(k winogradKernels, a *winogradArgs) { k.output(a) })
			}
		}
	})
}

// TestWinogradPicksPixels: with weights that pick one pixel, and a source that has one, the convolution
// is exact.
func TestWinogradPicksPixels(t *testing.T) {
	forEachWinograd(t, func(t *testing.T, tiles tileSet, k winogradKernels) {
		for tap := range 9 {
			w := make([]float32, 16*16*9)
			for o := range 16 {
				w[(o*16+o)*9+tap] = 4
			}
			f := &ConvF32{spec: conv(3, 1, 1, 1), m: 16, c: 16, winograd: packWinogradF32(w, nil, 16, 16, tiles, k)}
			src := Image[float32]{make([]float32, 7*6*16), 7, 6, 16, 6 * 16, 16}
			for i := range src.Data {
				src.Data[i] = float32(i % 97)
			}
			dst := Image[float32]{make([]float32, 5*4*16), 5, 4, 16, 4 * 16, 16}
			f.Run(dst, src, nil, negInfF32, posInfF32, 0, 5)
			for y := range 5 {
				for x := range 4 {
					for o := range 16 {
						if got, want := dst.At(y, x, o), 4*src.At(y+tap/3, x+tap%3, o); got != want {
							t.Fatalf("tap %d: (%d,%d,%d) is %v, want %v", tap, y, x, o, got, want)
						}
					}
				}
			}
		}
	})
}

func TestWinogradDoesNotAllocate(t *testing.T) {
	f := PackConvF32(make([]float32, 16*16*9), nil, 16, 16, conv(3, 1, 1, 1))
	src := Image[float32]{make([]float32, 10*10*16), 10, 10, 16, 160, 16}
	dst := Image[float32]{make([]float32, 8*8*16), 8, 8, 16, 128, 16}
	checkNoAllocation(t, "convolution", func() { f.Run(dst, src, &dst, 0, 6, 0, 8) })
}

// TestWinogradArgsLayout pins the offsets that the assembly loads.
func TestWinogradArgsLayout(t *testing.T) {
	skipWithoutAssembly(t)
	var a winogradArgs
	for name, at := range map[string][2]uintptr{
		"src": {unsafe.Offsetof(a.src), 0}, "dst": {unsafe.Offsetof(a.dst), 24}, "bias": {unsafe.Offsetof(a.bias), 48}, "add": {unsafe.Offsetof(a.add), 72},
		"srcPos": {unsafe.Offsetof(a.srcPos), 96}, "dstPos": {unsafe.Offsetof(a.dstPos), 104}, "addPos": {unsafe.Offsetof(a.addPos), 112},
		"row": {unsafe.Offsetof(a.row), 120}, "pix": {unsafe.Offsetof(a.pix), 128}, "addRow": {unsafe.Offsetof(a.addRow), 136}, "addPix": {unsafe.Offsetof(a.addPix), 144},
		"plane": {unsafe.Offsetof(a.plane), 152}, "tile": {unsafe.Offsetof(a.tile), 160}, "channels": {unsafe.Offsetof(a.channels), 168},
		"tiles": {unsafe.Offsetof(a.tiles), 176}, "lo": {unsafe.Offsetof(a.lo), 184}, "hi": {unsafe.Offsetof(a.hi), 188},
	} {
		if at[0] != at[1] {
			t.Errorf("%s is at %d, the assembly reads %d", name, at[0], at[1])
		}
	}
}

// BenchmarkWinogradF32 compares the algorithms on convolutions of all sizes.
func BenchmarkWinogradF32(b *testing.B) {
	for _, s := range []struct{ c, m, h, w int }{{16, 16, 32, 32}, {32, 32, 16, 16}, {64, 64, 8, 8}, {64, 64, 56, 56}, {128, 128, 28, 28}, {256, 256, 14, 14}, {512, 512, 7, 7}, {512, 512, 4, 4}, {16, 64, 14, 14}} {
		rng := rand.New(rand.NewPCG(1, 2))
		w := randomF32(rng, s.m*s.c*9)
		src := Image[float32]{randomF32(rng, (s.h+2)*(s.w+2)*s.c), s.h + 2, s.w + 2, s.c, (s.w + 2) * s.c, s.c}
		dst := Image[float32]{make([]float32, s.h*s.w*s.m), s.h, s.w, s.m, s.w * s.m, s.m}
		spec := conv(3, 1, 1, 1)
		for name, f := range map[string]*ConvF32{
			"direct":   packDirectF32(w, nil, s.m, s.c, spec, f32Tiles, pick[tileSet]("depthwiseF32", active)),
			"winograd": {spec: spec, m: s.m, c: s.c, winograd: packWinogradF32(w, nil, s.m, s.c, f32Tiles, pick[winogradKernels]("winogradF32", active))},
		} {
			b.Run(fmt.Sprintf("%d-%d_%dx%d/%s", s.c, s.m, s.h, s.w, name), func(b *testing.B) {
				for range b.N {
					f.Run(dst, src, nil, 0, posInfF32, 0, s.h)
				}
				b.ReportMetric(float64(2*9*s.c*s.m*s.h*s.w)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func BenchmarkPackWinogradF32(b *testing.B) {
	w := make([]float32, 64*64*9)
	for range b.N {
		packWinogradF32(w, nil, 64, 64, f32Tiles, pick[winogradKernels]("winogradF32", active))
	}
}
