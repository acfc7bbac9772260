//go:build amd64 && !purego

package asm

// int8AMD64 are the kernels of integer inference of this architecture.
var int8AMD64 = []kernel{
	{"convS8", AVX2, 0, &tilesS8AVX2},
	{"convS8", AVXVNNI, 0, &tilesS8AVXVNNI},
	{"convS8", AVX512VNNI, 0, &tilesS8AVX512},
	{"depthwiseS8", AVX2, 0, &depthwiseS8AVX2},
	{"depthwiseS8", AVXVNNI, 0, &depthwiseS8AVXVNNI},
	{"depthwiseS8", AVX512VNNI, 0, &depthwiseS8AVX512},
	{"requantize", AVX2, 0, &requantAVX2},
	{"requantize", AVX512, 0, &requantKernels{requantFloatAVX512, requantMultiplierAVX512, requantShiftAVX512}},
	{"scaleSums", AVX2, 0, scaleSumsWhole8},
	{"scaleSums", AVX512, 0, scaleSumsAVX512},
	{"packQuad", AVX2, 0, packQuadWhole16},
	{"blockProduct", AVX2, 0, &blockKernels{blockS4AVX2, blockS8AVX2}},
	{"blockProduct", AVXVNNI, 0, &blockKernels{blockS4AVXVNNI, blockS8AVXVNNI}},
	{"blockProduct", AVX512VNNI, 0, &blockKernels{blockS4AVX512, blockS8AVX512}},
	{"addU8", AVX2, 0, addU8AVX2},
	{"addU8", AVX512, 0, addU8AVX512},
	{"maxU8", AVX2, 0, func(dst, src []uint8) {
		n := len(dst) &^ 31
		maxU8AVX2(dst[:n], src)
		maxU8Generic(dst[n:], src[n:])
	}},
	{"maxU8", AVX512, 0, maxU8AVX512},
	{"sumU8", AVX2, 0, func(acc []int32, src []uint8) {
		n := len(src) &^ 7
		sumU8AVX2(acc, src[:n])
		sumU8Generic(acc[n:], src[n:])
	}},
	{"sumU8", AVX512, 0, sumU8AVX512},
	{"lookupU8", AVX512, 0, lookupU8AVX512},
}

func addU8AVX2(dst, a, b []uint8, spec *AddU8Spec) {
	n := len(dst) &^ 7
	switch {
	case spec.Mode != ByFloat:
		addIntU8AVX2(dst[:n], a, b, spec)
	case spec.Divisor == 0:
		addFloatU8AVX2(dst[:n], a, b, spec)
	default:
		addQuotientU8AVX2(dst[:n], a, b, spec)
	}
	addU8Generic(dst[n:], a[n:], b[n:], spec)
}

func addU8AVX512(dst, a, b []uint8, spec *AddU8Spec) {
	switch {
	case spec.Mode != ByFloat:
		addIntU8AVX512(dst, a, b, spec)
	case spec.Divisor == 0:
		addFloatU8AVX512(dst, a, b, spec)
	default:
		addQuotientU8AVX512(dst, a, b, spec)
	}
}

// requantAVX2 leaves the channels beyond a multiple of 8 to the references.
var requantAVX2 = requantKernels{
	func(a *requantArgs) { requantWhole8(a, requantFloatAVX2, requantFloatGeneric) },
	func(a *requantArgs) { requantWhole8(a, requantMultiplierAVX2, requantMultiplierGeneric) },
	func(a *requantArgs) { requantWhole8(a, requantShiftAVX2, requantShiftGeneric) },
}

func requantWhole8(a *requantArgs, whole, rest func(*requantArgs)) {
	given := *a
	if a.channels &^= 7; a.channels > 0 {
		whole(a)
	}
	if done := a.channels; done < given.channels {
		a.channels = given.channels - done
		a.dst, a.src = a.dst[done:], a.src[done:]
		if a.scale != nil {
			a.scale = a.scale[done:]
		} else {
			a.mul, a.shift = a.mul[done:], a.shift[done:]
		}
		rest(a)
	}
	*a = given
}

// packQuadWhole16 leaves the columns beyond a multiple of 16 to the reference.
func packQuadWhole16(out []int8, sums []int32, a, b, c, d []uint8) {
	n := len(a) &^ 15
	if n > 0 {
		packQuadAVX2(out[:4*n], sums[:n], a[:n], b[:n], c[:n], d[:n])
	}
	packQuadGeneric(out[4*n:], sums[n:], a[n:], b[n:], c[n:], d[n:])
}

// scaleSumsWhole8 leaves the channels beyond a multiple of 8 to the reference.
func scaleSumsWhole8(a *scaleSumsArgs) {
	whole, rest := *a, *a
	if whole.channels &^= 7; whole.channels > 0 {
		scaleSumsAVX2(&whole)
	}
	if done := whole.channels; done < a.channels {
		rest.channels -= done
		rest.dst, rest.src, rest.scale = rest.dst[done:], rest.src[done:], rest.scale[done:]
		scaleSumsGeneric(&rest)
	}
}

var tilesS8AVX512 = tileKernelS8{
	bytes:   true,
	widths:  []int{32, 16},
	kernels: [][]func(*tileArgsS8){tileS8x32AVX512, tileS8x16AVX512},
}

var tilesS8AVXVNNI = tileKernelS8{
	bytes:   true,
	whole:   true,
	widths:  []int{16, 8},
	kernels: [][]func(*tileArgsS8){tileS8x16AVXVNNI, tileS8x8AVXVNNI},
}

var tilesS8AVX2 = tileKernelS8{
	bytes:   true,
	whole:   true,
	wide:    true,
	widths:  []int{16, 8},
	kernels: [][]func(*tileArgsS8){tileS8x16AVX2, tileS8x8AVX2},
	winograd: &winogradKernelsS8{
		input: winogradInputS8AVX2,
		sums:  winogradSumsS8AVX2,
		bytes: [ByShift + 1]func(*winogradArgsS8){ByFloat: winogradFloatS8AVX2, ByShift: winogradShiftS8AVX2},
		group: 2,
		tiles: &tileKernelS8{
			wide:    true,
			widths:  []int{16, 8},
			kernels: [][]func(*tileArgsS8){tileS16x16AVX2, tileS16x8AVX2},
		},
	},
	safe: &tileKernelS8{
		bytes:   true,
		whole:   true,
		widths:  []int{16, 8},
		kernels: [][]func(*tileArgsS8){tileSafeS8x16AVX2, tileSafeS8x8AVX2},
	},
}

var depthwiseS8AVX2 = depthwiseKernelS8{
	width: 16,
	group: 2,
	wide:  true,
	whole: true,
	fours: []int{0, 8, 4, 12},
	sums:  depthwiseS8SumsAVX2,
	bytes: [3]func(*depthwiseArgsS8){depthwiseS8FloatAVX2, depthwiseS8MultiplierAVX2, depthwiseS8ShiftAVX2},
	rolls: [2][3]func(*depthwiseArgsS8){
		{depthwiseS8Rolling1FloatAVX2, nil, depthwiseS8Rolling1ShiftAVX2},
		{depthwiseS8Rolling2FloatAVX2, nil, depthwiseS8Rolling2ShiftAVX2},
	},
}

var depthwiseS8AVXVNNI = depthwiseKernelS8{
	width: 16,
	group: 4,
	whole: true,
	fours: []int{0, 8, 4, 12},
	sums:  depthwiseS8SumsAVXVNNI,
	bytes: [3]func(*depthwiseArgsS8){depthwiseS8FloatAVXVNNI, depthwiseS8MultiplierAVXVNNI, depthwiseS8ShiftAVXVNNI},
	rolls: [2][3]func(*depthwiseArgsS8){
		{depthwiseS8Rolling1FloatAVXVNNI, nil, depthwiseS8Rolling1ShiftAVXVNNI},
		{depthwiseS8Rolling2FloatAVXVNNI, nil, depthwiseS8Rolling2ShiftAVXVNNI},
	},
}

var depthwiseS8AVX512 = depthwiseKernelS8{
	width: 32,
	group: 4,
	fours: []int{0, 16, 4, 20, 8, 24, 12, 28},
	sums:  depthwiseS8SumsAVX512,
	bytes: [3]func(*depthwiseArgsS8){depthwiseS8FloatAVX512, depthwiseS8MultiplierAVX512, depthwiseS8ShiftAVX512},
	rolls: [2][3]func(*depthwiseArgsS8){
		{depthwiseS8Rolling1FloatAVX512, depthwiseS8Rolling1MultiplierAVX512, depthwiseS8Rolling1ShiftAVX512},
		{depthwiseS8Rolling2FloatAVX512, depthwiseS8Rolling2MultiplierAVX512, depthwiseS8Rolling2ShiftAVX512},
	},
}
