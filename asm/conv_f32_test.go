package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// convCase is one convolution to test: an input of h by w by c that holds its
// padding.
type convCase struct {
	h, w, c, m int
	spec       ConvSpec
}

func (c convCase) String() string {
	s := c.spec
	return fmt.Sprintf("%dx%dx%d-%d_k%dx%d_s%dx%d_d%dx%d_g%d", c.h, c.w, c.c, c.m, s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW, s.Groups)
}

// conv returns a spec with square kernel, stride and dilation.
func conv(kernel, stride, dilation, groups int) ConvSpec {
	return ConvSpec{kernel, kernel, stride, stride, dilation, dilation, groups}
}

var convCases = []convCase{
	{1, 1, 1, 1, conv(1, 1, 1, 1)},
	{1, 1, 10, 10, conv(1, 1, 1, 1)},
	{3, 3, 3, 16, conv(3, 1, 1, 1)},
	{6, 7, 3, 5, conv(3, 1, 1, 1)},
	{34, 34, 3, 16, conv(3, 1, 1, 1)},
	{10, 34, 16, 16, conv(3, 1, 1, 1)},
	{18, 18, 16, 32, conv(3, 2, 1, 1)},
	{10, 10, 64, 64, conv(3, 1, 1, 1)},
	{9, 9, 7, 33, conv(3, 1, 2, 1)},
	{9, 31, 5, 17, ConvSpec{3, 2, 2, 1, 1, 3, 1}},
	{5, 30, 8, 48, conv(1, 1, 1, 1)},
	{5, 30, 8, 70, conv(1, 2, 1, 1)},
	{29, 29, 3, 64, conv(7, 2, 1, 1)},
	{13, 13, 20, 130, conv(1, 2, 1, 1)}, // more panels than compactPanels
	{7, 9, 20, 300, ConvSpec{1, 1, 3, 1, 1, 1, 2}},
	{3, 5, 512, 130, conv(1, 1, 1, 1)},
	{1, 64, 4, 8, ConvSpec{1, 5, 1, 2, 1, 1, 1}},
	{8, 8, 12, 24, conv(3, 1, 1, 3)},
	{8, 8, 8, 16, conv(3, 1, 1, 8)}, // channel multiplier
	{8, 29, 1, 1, conv(3, 1, 1, 1)},
	{8, 29, 24, 24, conv(3, 1, 1, 24)},
	{9, 9, 96, 96, conv(3, 2, 1, 96)},
	{11, 12, 37, 37, conv(3, 1, 2, 37)},
	{12, 9, 5, 5, ConvSpec{10, 4, 1, 2, 1, 1, 5}},
	{4, 17, 300, 300, conv(3, 1, 1, 300)},
}

// randomF32 returns n normal numbers.
func randomF32(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// refConv returns element (y, x, o) of the convolution in float64, and the sum
// of magnitudes that bounds its rounding error.
func refConv(c convCase, w, bias []float32, src Image[float32], y, x, o int) (sum, mag float64) {
	s := c.spec
	cg, mg := c.c/s.Groups, c.m/s.Groups
	if bias != nil {
		sum = float64(bias[o])
		mag = math.Abs(sum)
	}
	for ky := range s.KH {
		for kx := range s.KW {
			for k := range cg {
				v := float64(src.At(y*s.StrideH+ky*s.DilationH, x*s.StrideW+kx*s.DilationW, o/mg*cg+k)) *
					float64(w[((o*cg+k)*s.KH+ky)*s.KW+kx])
				sum += v
				mag += math.Abs(v)
			}
		}
	}
	return sum, mag
}

// forEachConvTier runs test for each tier's pair of convolution kernels.
func forEachConvTier(t *testing.T, test func(t *testing.T, tiles, depthwise tileSet)) {
	forEachKernel(t, "tileF32", func(t *testing.T, tiles tileSet, _ int) {
		for _, k := range kernels {
			if k.op == "tileF32" && &k.fn.(tileSet)[0] == &tiles[0] {
				test(t, tiles, pick[tileSet]("depthwiseF32", k.needs))
			}
		}
	})
}

// TestConvF32 compares every case with float64, with a border round dst, a
// residual, a clamp, and source and destination that are slices of wider images.
func TestConvF32(t *testing.T) {
	forEachConvTier(t, func(t *testing.T, tiles, depthwise tileSet) {
		for _, c := range convCases {
			for variant := range 4 {
				testConv(t, c, variant, func(w, bias []float32) *ConvF32 {
					return packDirectF32(w, bias, c.m, c.c, c.spec, tiles, depthwise)
				})
			}
		}
	})
}

// testConv compares the convolution that pack makes with float64.
func testConv(t *testing.T, c convCase, variant int, pack func(w, bias []float32) *ConvF32) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(variant), 7))
	w := randomF32(rng, c.m*c.c/c.spec.Groups*c.spec.KH*c.spec.KW)
	var bias []float32
	if variant != 1 {
		bias = randomF32(rng, c.m)
	}
	srcPix, gap := c.c, 0
	if variant >= 2 {
		srcPix, gap = c.c+3, 5
	}
	oh, ow := c.spec.OutSize(c.h, c.w)
	srcRow := c.w*srcPix + gap
	src := Image[float32]{H: c.h, W: c.w, C: c.c, RowStride: srcRow, PixStride: srcPix}
	src.Data, _ = guardedCopies(t, randomF32(rng, (c.h-1)*srcRow+(c.w-1)*srcPix+c.c))
	dstPix := c.m + gap
	dst := Image[float32]{H: oh, W: ow, C: c.m, RowStride: ow*dstPix + gap, PixStride: dstPix}
	dst.Data, _ = guarded[float32](t, (oh-1)*dst.RowStride+(ow-1)*dstPix+c.m)
	for i := range dst.Data {
		dst.Data[i] = 1e30
	}
	lo, hi := negInfF32, posInfF32
	var add *Image[float32]
	if variant == 3 {
		lo, hi = 0, 3
		add = &Image[float32]{randomF32(rng, oh*ow*(c.m+1)), oh, ow, c.m, ow * (c.m + 1), c.m + 1}
	}
	f := pack(w, bias)
	f.Run(dst, src, add, lo, hi, 0, oh)
	checkConvF32(t, fmt.Sprintf("%v variant %d", c, variant), dst, func(y, x, o int) (want, bound float64) {
		want, mag := refConv(c, w, bias, src, y, x, o)
		if add != nil {
			want += float64(add.At(y, x, o))
			mag += math.Abs(want)
		}
		depth := float64(len(w)/c.m + 2)
		return min(max(want, float64(lo)), float64(hi)), mag * 2 * depth * 0x1p-24
	})
	again := dst
	again.Data = make([]float32, len(dst.Data))
	for y := range oh {
		for p := range f.Panels() {
			f.RunPanels(again, src, add, lo, hi, y, y+1, p, p+1)
		}
	}
	for y := range oh {
		for x := range ow {
			for o := range c.m {
				if again.At(y, x, o) != dst.At(y, x, o) {
					t.Fatalf("%v: rows and panels apart differ at (%d,%d,%d): %v and %v", c, y, x, o, again.At(y, x, o), dst.At(y, x, o))
				}
			}
		}
	}
}

// checkConvF32 compares the elements of dst, and that nothing between them was written.
func checkConvF32(t *testing.T, name string, dst Image[float32], want func(y, x, o int) (value, bound float64)) {
	t.Helper()
	written := make([]bool, len(dst.Data))
	for y := range dst.H {
		for x := range dst.W {
			for o := range dst.C {
				written[y*dst.RowStride+x*dst.PixStride+o] = true
				value, bound := want(y, x, o)
				if got := float64(dst.At(y, x, o)); !(math.Abs(got-value) <= bound) {
					t.Fatalf("%s: (%d,%d,%d) is %v, want %v within %g", name, y, x, o, got, value, bound)
				}
			}
		}
	}
	for i, w := range written {
		if !w && dst.Data[i] != 1e30 {
			t.Fatalf("%s: wrote %v between pixels, at %d", name, dst.Data[i], i)
		}
	}
}

// TestConvF32NaN checks that NaN reaches the outputs that read it, and passes
// the clamp, and that infinities saturate at it.
func TestConvF32NaN(t *testing.T) {
	forEachConvTier(t, func(t *testing.T, tiles, depthwise tileSet) {
		for _, c := range []convCase{{1, 20, 4, 20, conv(1, 1, 1, 1)}, {1, 20, 4, 4, conv(1, 1, 1, 4)}} {
			src := Image[float32]{make([]float32, 80), 1, 20, 4, 80, 4}
			src.Data[4*3] = float32(math.NaN())
			src.Data[4*5] = float32(math.Inf(1))
			src.Data[4*6] = float32(math.Inf(-1))
			w := make([]float32, c.m*c.c/c.spec.Groups)
			for i := range w {
				w[i] = 1
			}
			dst := Image[float32]{make([]float32, 20*c.m), 1, 20, c.m, 20 * c.m, c.m}
			packDirectF32(w, nil, c.m, 4, c.spec, tiles, depthwise).Run(dst, src, nil, -2, 6, 0, 1)
			for x := range 20 {
				got := dst.At(0, x, 0)
				if x == 3 {
					if got == got {
						t.Errorf("%v: NaN became %v", c, got)
					}
				} else if want := map[int]float32{5: 6, 6: -2}[x]; got != want {
					t.Errorf("%v: pixel %d is %v, want %v", c, x, got, want)
				}
			}
		}
	})
}

// TestConvF32Panics checks that views that do not fit are refused before any
// kernel runs.
func TestConvF32Panics(t *testing.T) {
	f := PackConvF32(make([]float32, 9), nil, 1, 1, conv(3, 1, 1, 1))
	ok := Image[float32]{make([]float32, 16), 4, 4, 1, 4, 1}
	out := Image[float32]{make([]float32, 4), 2, 2, 1, 2, 1}
	big := Image[float32]{make([]float32, 9), 3, 3, 1, 3, 1}
	short, wide := ok, ok
	short.Data = short.Data[:15]
	wide.C, wide.PixStride, wide.RowStride = 2, 2, 8
	for name, run := range map[string]func(){
		"output too large": func() { f.Run(big, ok, nil, 0, 1, 0, 3) },
		"short data":       func() { f.Run(out, short, nil, 0, 1, 0, 2) },
		"channels":         func() { f.Run(out, wide, nil, 0, 1, 0, 2) },
		"rows":             func() { f.Run(out, ok, nil, 0, 1, 0, 3) },
		"residual":         func() { f.Run(out, ok, &big, 0, 1, 0, 2) },
		"weights":          func() { PackConvF32(make([]float32, 8), nil, 1, 1, conv(3, 1, 1, 1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			run()
		}()
	}
}

func TestConvF32DoesNotAllocate(t *testing.T) {
	c := convCases[4]
	f := PackConvF32(make([]float32, c.m*c.c*9), nil, c.m, c.c, c.spec)
	src := Image[float32]{make([]float32, c.h*c.w*c.c), c.h, c.w, c.c, c.w * c.c, c.c}
	oh, ow := c.spec.OutSize(c.h, c.w)
	dst := Image[float32]{make([]float32, oh*ow*c.m), oh, ow, c.m, ow * c.m, c.m}
	checkNoAllocation(t, "convolution", func() { f.Run(dst, src, nil, 0, 6, 0, oh) })
}

// FuzzConvF32 compares convolutions of any small shape with float64.
func FuzzConvF32(f *testing.F) {
	f.Add(uint8(5), uint8(6), uint8(3), uint8(4), uint8(3), uint8(3), uint8(1), uint8(2), uint8(1), uint8(1), uint8(1), uint8(3))
	f.Add(uint8(9), uint8(30), uint8(8), uint8(1), uint8(3), uint8(1), uint8(2), uint8(1), uint8(1), uint8(2), uint8(8), uint8(0))
	f.Fuzz(func(t *testing.T, h, w, c, m, kh, kw, sh, sw, dh, dw, groups, variant uint8) {
		small := func(v uint8, limit int) int { return int(v)%limit + 1 }
		g := small(groups, 8)
		k := convCase{int(h) % 40, int(w) % 40, g * small(c, 20), g * small(m, 40),
			ConvSpec{small(kh, 7), small(kw, 7), small(sh, 3), small(sw, 3), small(dh, 3), small(dw, 3), g}}
		if oh, ow := k.spec.OutSize(k.h, k.w); oh*ow == 0 {
			t.Skip("the kernel does not fit")
		}
		testConv(t, k, int(variant)%4, func(w, bias []float32) *ConvF32 {
			return packDirectF32(w, bias, k.m, k.c, k.spec, f32Tiles, pick[tileSet]("depthwiseF32", active))
		})
	})
}

// TestTileArgsLayout pins the offsets that the assembly loads.
func TestTileArgsLayout(t *testing.T) {
	skipWithoutAssembly(t)
	var a tileArgs
	for name, at := range map[string][2]uintptr{
		"src": {unsafe.Offsetof(a.src), 0}, "dst": {unsafe.Offsetof(a.dst), 24}, "add": {unsafe.Offsetof(a.add), 48},
		"w": {unsafe.Offsetof(a.w), 72}, "bias": {unsafe.Offsetof(a.bias), 96}, "taps": {unsafe.Offsetof(a.taps), 120},
		"run": {unsafe.Offsetof(a.run), 144}, "tiles": {unsafe.Offsetof(a.tiles), 152},
		"srcStep": {unsafe.Offsetof(a.srcStep), 160}, "dstStep": {unsafe.Offsetof(a.dstStep), 168}, "addStep": {unsafe.Offsetof(a.addStep), 176},
		"srcPos": {unsafe.Offsetof(a.srcPos), 184}, "dstPos": {unsafe.Offsetof(a.dstPos), 192}, "addPos": {unsafe.Offsetof(a.addPos), 200},
		"lo": {unsafe.Offsetof(a.lo), 208}, "hi": {unsafe.Offsetof(a.hi), 212}, "cols": {unsafe.Offsetof(a.cols), 216},
	} {
		if at[0] != at[1] {
			t.Errorf("%s is at %d, the assembly reads %d", name, at[0], at[1])
		}
	}
}
