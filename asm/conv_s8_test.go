package asm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// convCaseS8 is a convolution for tests; the source is h by w with its padding.
type convCaseS8 struct {
	m, c, h, w int
	spec       ConvSpec
}

func square(k, stride, groups int) ConvSpec {
	return ConvSpec{k, k, stride, stride, 1, 1, groups}
}

func (c convCaseS8) String() string {
	return fmt.Sprintf("%dx%dx%d_to_%d_k%dx%d_s%dx%d_d%dx%d_g%d", c.h, c.w, c.c, c.m, c.spec.KH, c.spec.KW,
		c.spec.StrideH, c.spec.StrideW, c.spec.DilationH, c.spec.DilationW, c.spec.Groups)
}

var convCasesS8 = []convCaseS8{
	{16, 16, 10, 10, square(3, 1, 1)},
	{64, 64, 6, 58, square(3, 1, 1)},
	{10, 64, 1, 1, square(1, 1, 1)},
	{33, 5, 7, 9, square(3, 1, 1)},
	{64, 3, 15, 37, square(7, 2, 1)},
	{48, 1, 49, 10, ConvSpec{10, 4, 2, 2, 1, 1, 1}},
	{65, 17, 4, 31, square(1, 1, 1)},
	{40, 24, 9, 9, square(1, 2, 1)},
	{7, 6, 9, 11, ConvSpec{3, 2, 1, 1, 2, 3, 1}},
	{8, 12, 6, 7, square(3, 1, 4)},
	{96, 48, 5, 6, square(3, 1, 3)},
	{12, 6, 6, 7, square(3, 1, 6)},
	{32, 32, 9, 9, square(3, 1, 32)},
	{96, 96, 9, 12, square(3, 2, 96)},
	{5, 5, 6, 7, square(3, 1, 5)},
	{40, 40, 5, 3, square(3, 2, 40)},
	{64, 64, 7, 19, ConvSpec{3, 3, 2, 2, 2, 1, 64}},
	{64, 64, 7, 19, ConvSpec{3, 3, 1, 1, 3, 1, 64}},
	{70, 70, 12, 9, square(5, 1, 70)},
	{17, 17, 8, 8, ConvSpec{2, 3, 1, 2, 3, 1, 17}},
	{16, 16, 12, 70, square(1, 1, 16)},
	{24, 8, 3, 29, square(1, 1, 1)},
	{56, 6, 9, 9, square(3, 2, 1)},
	{16, 16, 3, 3, square(3, 1, 1)},
	{24, 32, 4, 3, square(3, 1, 1)},
	{40, 16, 3, 9, square(3, 1, 1)},
	{16, 48, 9, 30, square(3, 1, 1)},
	{9, 16, 7, 10, square(3, 1, 1)},
}

// randomConv returns weights, a bias and a source without gaps for c.
func (c convCaseS8) random(t testing.TB, rng *rand.Rand) (w []int8, bias []int32, src Image[uint8]) {
	w = make([]int8, c.m*c.c/c.spec.Groups*c.spec.KH*c.spec.KW)
	for i := range w {
		w[i] = int8(rng.IntN(256))
		if rng.IntN(4) == 0 {
			w[i] = -128
		}
	}
	bias = make([]int32, c.m)
	for i := range bias {
		bias[i] = int32(rng.IntN(1<<20) - 1<<19)
	}
	atEnd, _ := guarded[uint8](t, c.h*c.w*c.c+ReadSlack)
	for i := range atEnd {
		atEnd[i] = uint8(rng.IntN(256))
		if rng.IntN(4) == 0 {
			atEnd[i] = 255
		}
	}
	return w, bias, Image[uint8]{Data: atEnd, H: c.h, W: c.w, C: c.c, RowStride: c.w * c.c, PixStride: c.c}
}

// makeSafe cuts the second of two neighbouring channels' weights so that two products of one sign
// fit 16 bits, just so for many of random weights.
func (c convCaseS8) makeSafe(w []int8) {
	area := c.spec.KH * c.spec.KW
	inner := c.c / c.spec.Groups
	for i := range w {
		if channel := i / area % inner; channel%2 == 1 {
			before, v := int(w[i-area]), int(w[i])
			w[i] = int8(min(max(v, -128-min(before, 0)), 128-max(before, 0)))
		}
	}
}

// naiveConvS8 computes the convolution from its definition.
func naiveConvS8(c convCaseS8, w []int16, bias []int32, inZero uint8, src Image[uint8]) Image[int32] {
	oh, ow := c.spec.OutSize(c.h, c.w)
	dst := Image[int32]{Data: make([]int32, oh*ow*c.m), H: oh, W: ow, C: c.m, RowStride: ow * c.m, PixStride: c.m}
	cg, mg := c.c/c.spec.Groups, c.m/c.spec.Groups
	for y := range oh {
		for x := range ow {
			for o := range c.m {
				sum := bias[o]
				for i := range cg {
					for ky := range c.spec.KH {
						for kx := range c.spec.KW {
							v := src.At(y*c.spec.StrideH+ky*c.spec.DilationH, x*c.spec.StrideW+kx*c.spec.DilationW, o/mg*cg+i)
							sum += (int32(v) - int32(inZero)) * int32(w[((o*cg+i)*c.spec.KH+ky)*c.spec.KW+kx])
						}
					}
				}
				dst.Data[y*dst.RowStride+x*dst.PixStride+o] = sum
			}
		}
	}
	return dst
}

func blank[S, T any](like Image[S], gap int) Image[T] {
	pix := like.C + gap
	return Image[T]{Data: make([]T, like.H*like.W*pix+gap), H: like.H, W: like.W, C: like.C, RowStride: like.W * pix, PixStride: pix}
}

func TestConvS8(t *testing.T) {
	forEachKernel(t, "convS8", func(t *testing.T, tiles *tileKernelS8, _ int) {
		forEachKernel(t, "depthwiseS8", func(t *testing.T, depthwise *depthwiseKernelS8, _ int) {
			for i, c := range convCasesS8 {
				t.Run(c.String(), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(uint64(i), 1))
					w, bias, src := c.random(t, rng)
					zero := uint8(rng.IntN(256))
					for range 2 {
						f, err := packConvS8(widened(w), bias, zero, c.m, c.c, c.spec, tiles, depthwise)
						if err != nil {
							t.Fatal(err)
						}
						checkSums(t, f, src, naiveConvS8(c, widened(w), bias, zero, src))
						c.makeSafe(w)
					}
				})
			}
		})
	})
}

func checkSums(t *testing.T, f *ConvS8, src Image[uint8], want Image[int32]) {
	t.Helper()
	got := blank[int32, int32](want, 0)
	for y := range want.H { // row by row, and then all rows
		f.RunS32(got, src, y, y+1)
	}
	sameImage(t, got, want)
	got = blank[int32, int32](want, 3)
	f.RunS32(got, src, 0, want.H)
	sameImage(t, got, want)
}

func sameImage[T comparable](t *testing.T, got, want Image[T]) {
	t.Helper()
	for y := range want.H {
		for x := range want.W {
			for c := range want.C {
				if g, w := got.At(y, x, c), want.At(y, x, c); g != w {
					t.Fatalf("(%d, %d, %d): got %v, want %v", y, x, c, g, w)
				}
			}
		}
	}
}

// TestConvS8Gaps runs on sources that are slices of the channels of wider images.
func TestConvS8Gaps(t *testing.T) {
	forEachKernel(t, "convS8", func(t *testing.T, tiles *tileKernelS8, _ int) {
		rng := rand.New(rand.NewPCG(3, 1))
		for _, c := range convCasesS8[:4] {
			w, bias, src := c.random(t, rng)
			wide := blank[uint8, uint8](src, 5)
			wide.Data = append(wide.Data, make([]uint8, ReadSlack)...)
			for i := range wide.Data {
				wide.Data[i] = uint8(rng.IntN(256))
			}
			f, err := packConvS8(widened(w), bias, 9, c.m, c.c, c.spec, tiles, depthwiseS8)
			if err != nil {
				t.Fatal(err)
			}
			checkSums(t, f, wide, naiveConvS8(c, widened(w), bias, 9, wide))
		}
	})
}

// TestConvU8 covers unsigned weights, with and without a zero point that fits a byte's half.
func TestConvU8(t *testing.T) {
	for _, zero := range []uint8{128, 0, 200} {
		for i, c := range convCasesS8 {
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			w8, bias, src := c.random(t, rng)
			w, zeros, wide := make([]uint8, len(w8)), make([]uint8, c.m), make([]int16, len(w8))
			for o := range zeros {
				zeros[o] = zero
			}
			for j, v := range w8 {
				w[j] = uint8(v)
				wide[j] = int16(w[j]) - int16(zero)
			}
			f, err := PackConvU8(w, zeros, bias, 77, c.m, c.c, c.spec)
			if err != nil {
				t.Fatal(err)
			}
			if (f.passes == 1) != (zero == 128) {
				t.Errorf("zero point %d takes %d passes", zero, f.passes)
			}
			checkSums(t, f, src, naiveConvS8(c, wide, bias, 77, src))
		}
	}
}

func TestGemmS8(t *testing.T) {
	const rows, k, n = 5, 37, 19
	rng := rand.New(rand.NewPCG(4, 1))
	a, b := make([]uint8, rows*k+ReadSlack), make([]int8, k*n)
	for i := range a {
		a[i] = uint8(rng.IntN(256))
	}
	for i := range b {
		b[i] = int8(rng.IntN(256))
	}
	f, err := PackGemmS8(b, nil, 3, k, n)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int32, rows*n)
	f.RunS32(Rows(got, rows, n, n), Rows(a, rows, k, k), 0, 1)
	for i := range rows {
		for j := range n {
			want := int32(0)
			for l := range k {
				want += (int32(a[i*k+l]) - 3) * int32(b[l*n+j])
			}
			if got[i*n+j] != want {
				t.Fatalf("(%d, %d): got %d, want %d", i, j, got[i*n+j], want)
			}
		}
	}
}

// TestConvS8Run compares the requantized, residual and float outputs with what
// their definitions make of the sums.
func TestConvS8Run(t *testing.T) {
	forEachKernel(t, "depthwiseS8", func(t *testing.T, depthwise *depthwiseKernelS8, _ int) {
		testConvS8Run(t, tilesS8, depthwise, false)
	})
	forEachKernel(t, "convS8", func(t *testing.T, tiles *tileKernelS8, _ int) {
		testConvS8Run(t, tiles, depthwiseS8, true)
	})
}

func testConvS8Run(t *testing.T, tiles *tileKernelS8, depthwise *depthwiseKernelS8, safe bool) {
	for i, c := range convCasesS8 {
		t.Run(c.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 5))
			w, bias, src := c.random(t, rng)
			if safe {
				c.makeSafe(w)
			}
			f, err := packConvS8(widened(w), bias, 100, c.m, c.c, c.spec, tiles, depthwise)
			if err != nil {
				t.Fatal(err)
			}
			sums := naiveConvS8(c, widened(w), bias, 100, src)
			for mode, r := range randomRequants(t, rng, c.m) {
				add := Residual{Image: blank[int32, uint8](sums, 2*int(mode)),
					Add: AddU8Spec{Mode: mode, ZeroA: 7, ZeroB: 200, ScaleA: 0.3, ScaleB: 0.9, MulA: 300, MulB: 900, Shift: 10, Zero: 60, Lo: 5, Hi: 250}}
				for i := range add.Image.Data {
					add.Image.Data[i] = uint8(rng.IntN(256))
				}
				for _, gap := range []int{0, 3} {
					plain, added := blank[int32, uint8](sums, gap), blank[int32, uint8](sums, gap)
					want, wantAdded := blank[int32, uint8](sums, gap), blank[int32, uint8](sums, gap)
					for y := range want.H {
						for x := range want.W {
							at := y*want.RowStride + x*want.PixStride
							from := y*add.Image.RowStride + x*add.Image.PixStride
							requantOne(r, want.Data[at:][:c.m], sums.Data[(y*want.W+x)*c.m:][:c.m])
							addU8Generic(wantAdded.Data[at:][:c.m], want.Data[at:], add.Image.Data[from:], &add.Add)
						}
					}
					f.Run(plain, src, r, nil, 0, want.H)
					for p := range f.Panels() {
						f.RunPanels(added, src, r, &add, 0, want.H, p, p+1)
					}
					if string(plain.Data) != string(want.Data) {
						t.Fatalf("mode %d, gap %d: requantized output differs", mode, gap)
					}
					if string(added.Data) != string(wantAdded.Data) {
						t.Fatalf("mode %d, gap %d: sum with the residual differs", mode, gap)
					}
				}
			}
			scale := make([]float32, c.m)
			for i := range scale {
				scale[i] = rng.Float32()
			}
			got, want := blank[int32, float32](sums, 1), blank[int32, float32](sums, 1)
			f.RunF32(got, src, scale, 0, want.H)
			for i, v := range sums.Data {
				want.Data[i/c.m*want.PixStride+i%c.m] = float32(v) * scale[i%c.m]
			}
			sameImage(t, got, want)
		})
	}
}

func TestPackConvS8Errors(t *testing.T) {
	ok := square(1, 1, 1)
	for _, err := range []error{
		second(PackConvS8(make([]int8, 3), nil, 0, 2, 2, ok)),
		second(PackConvS8(make([]int8, 4), make([]int32, 1), 0, 2, 2, ok)),
		second(PackConvS8(make([]int8, 4), nil, 0, 2, 2, square(1, 1, 3))),
		second(PackConvS8(make([]int8, MaxSumLength+1), nil, 0, 1, MaxSumLength+1, ok)),
		second(PackConvS8(nil, nil, 0, 0, 0, ok)),
		second(PackConvU8(make([]uint8, 4), make([]uint8, 1), nil, 0, 2, 2, ok)),
		second(PackGemmS8(make([]int8, 5), nil, 0, 2, 2)),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestArgsLayoutS8 pins the offsets that the generated assembly loads from.
func TestArgsLayoutS8(t *testing.T) {
	skipWithoutAssembly(t)
	var a tileArgsS8
	var r requantArgs
	var sc scaleSumsArgs
	var d depthwiseArgsS8
	var wi winogradArgsS8
	var add AddU8Spec
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"tile.src", unsafe.Offsetof(a.src), 0}, {"tile.weights", unsafe.Offsetof(a.weights), 24},
		{"tile.weights16", unsafe.Offsetof(a.weights16), 48}, {"tile.bias", unsafe.Offsetof(a.bias), 72},
		{"tile.acc", unsafe.Offsetof(a.acc), 96}, {"tile.taps", unsafe.Offsetof(a.taps), 120},
		{"tile.srcStep", unsafe.Offsetof(a.srcStep), 144}, {"tile.quads", unsafe.Offsetof(a.quads), 152},
		{"tile.tiles", unsafe.Offsetof(a.tiles), 160},
		{"tile.bytes", unsafe.Offsetof(a.bytes), 184}, {"tile.dst", unsafe.Offsetof(a.dst), 192},
		{"tile.dstStep", unsafe.Offsetof(a.dstStep), 216}, {"tile.scale", unsafe.Offsetof(a.scale), 224},
		{"tile.before", unsafe.Offsetof(a.before), 352}, {"tile.half", unsafe.Offsetof(a.half), 480},
		{"tile.shift", unsafe.Offsetof(a.shift), 608}, {"tile.zero", unsafe.Offsetof(a.zero), 736},
		{"tile.lo", unsafe.Offsetof(a.lo), 800}, {"tile.hi", unsafe.Offsetof(a.hi), 864},
		{"tile.mask", unsafe.Offsetof(a.mask), 928},
		{"requant.dst", unsafe.Offsetof(r.dst), 0}, {"requant.src", unsafe.Offsetof(r.src), 24},
		{"requant.dstStep", unsafe.Offsetof(r.dstStep), 48}, {"requant.srcStep", unsafe.Offsetof(r.srcStep), 56},
		{"requant.pixels", unsafe.Offsetof(r.pixels), 64}, {"requant.channels", unsafe.Offsetof(r.channels), 72},
		{"requant.scale", unsafe.Offsetof(r.scale), 80}, {"requant.mul", unsafe.Offsetof(r.mul), 104},
		{"requant.shift", unsafe.Offsetof(r.shift), 128}, {"requant.zero", unsafe.Offsetof(r.zero), 152},
		{"scaleSums.scale", unsafe.Offsetof(sc.scale), 80}, {"scaleSums.less", unsafe.Offsetof(sc.less), 104},
		{"scaleSums.channels", unsafe.Offsetof(sc.channels), 72},
		{"requant.lo", unsafe.Offsetof(r.lo), 156}, {"requant.hi", unsafe.Offsetof(r.hi), 160},
		{"add.Divisor", unsafe.Offsetof(add.Divisor), 24},
		{"add.ZeroA", unsafe.Offsetof(add.ZeroA), 1}, {"add.ZeroB", unsafe.Offsetof(add.ZeroB), 2},
		{"add.ScaleA", unsafe.Offsetof(add.ScaleA), 4}, {"add.ScaleB", unsafe.Offsetof(add.ScaleB), 8},
		{"add.MulA", unsafe.Offsetof(add.MulA), 12}, {"add.MulB", unsafe.Offsetof(add.MulB), 16},
		{"add.Shift", unsafe.Offsetof(add.Shift), 20}, {"add.Zero", unsafe.Offsetof(add.Zero), 21},
		{"add.Lo", unsafe.Offsetof(add.Lo), 22}, {"add.Hi", unsafe.Offsetof(add.Hi), 23},
		{"winograd.src", unsafe.Offsetof(wi.src), 0}, {"winograd.planes", unsafe.Offsetof(wi.planes), 24},
		{"winograd.products", unsafe.Offsetof(wi.products), 48}, {"winograd.bias", unsafe.Offsetof(wi.bias), 72},
		{"winograd.sums", unsafe.Offsetof(wi.sums), 96}, {"winograd.row", unsafe.Offsetof(wi.row), 120},
		{"winograd.pix", unsafe.Offsetof(wi.pix), 128}, {"winograd.plane", unsafe.Offsetof(wi.plane), 136},
		{"winograd.tile", unsafe.Offsetof(wi.tile), 144}, {"winograd.tiles", unsafe.Offsetof(wi.tiles), 152},
		{"winograd.way", unsafe.Offsetof(wi.way), 160}, {"winograd.dst", unsafe.Offsetof(wi.dst), 168},
		{"winograd.params", unsafe.Offsetof(wi.params), 192},
		{"depthwise.src", unsafe.Offsetof(d.src), 0}, {"depthwise.weights", unsafe.Offsetof(d.weights), 24},
		{"depthwise.weights16", unsafe.Offsetof(d.weights16), 48}, {"depthwise.bias", unsafe.Offsetof(d.bias), 72},
		{"depthwise.acc", unsafe.Offsetof(d.acc), 96}, {"depthwise.taps", unsafe.Offsetof(d.taps), 120},
		{"depthwise.srcStep", unsafe.Offsetof(d.srcStep), 144}, {"depthwise.pixels", unsafe.Offsetof(d.pixels), 152},
		{"depthwise.dst", unsafe.Offsetof(d.dst), 160}, {"depthwise.dstStep", unsafe.Offsetof(d.dstStep), 184},
		{"depthwise.channels", unsafe.Offsetof(d.channels), 192}, {"depthwise.zero", unsafe.Offsetof(d.zero), 200},
		{"depthwise.lo", unsafe.Offsetof(d.lo), 204}, {"depthwise.hi", unsafe.Offsetof(d.hi), 208},
		{"depthwise.scale", unsafe.Offsetof(d.scale), 212}, {"depthwise.mul", unsafe.Offsetof(d.mul), 340},
		{"depthwise.shift", unsafe.Offsetof(d.shift), 468},
	} {
		if c.got != c.want {
			t.Errorf("%s is at %d, the assembly has it at %d", c.name, c.got, c.want)
		}
	}
}

func TestConvS8Allocates(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 11))
	for _, c := range []convCaseS8{convCasesS8[0], convCasesS8[4], convCasesS8[12]} {
		w, bias, src := c.random(t, rng)
		f, err := PackConvS8(w, bias, 0, c.m, c.c, c.spec)
		if err != nil {
			t.Fatal(err)
		}
		oh, ow := c.spec.OutSize(c.h, c.w)
		dst := Image[uint8]{Data: make([]uint8, oh*ow*c.m), H: oh, W: ow, C: c.m, RowStride: ow * c.m, PixStride: c.m}
		r := randomRequants(t, rng, c.m)[ByFloat]
		add := &Residual{Image: dst, Add: addSpecs[0]}
		checkNoAllocation(t, c.String(), func() { f.Run(dst, src, r, add, 0, oh) })
	}
}

// TestSaturates asks for all pairs of weights and, by emulation, whether VPMADDUBSW would
// saturate with the worst bytes.
func TestSaturates(t *testing.T) {
	for v := -128; v < 128; v++ {
		for w := -128; w < 128; w++ {
			p := packerS8{w: []int16{0, 0, int16(v), int16(w), 0}, inner: 5, area: 1, passes: 1}
			want := false
			for _, x := range [][2]int{{255, 255}, {255, 0}, {0, 255}} {
				sum := x[0]*v + x[1]*w
				want = want || sum != int(int16(sum))
			}
			if got := p.saturates(&panelS8{channels: 1}); got != want {
				t.Fatalf("%d, %d: %v, want %v", v, w, got, want)
			}
		}
	}
}
