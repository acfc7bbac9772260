//go:build arm64 && !purego

package asm

// int8ARM64 are the kernels of integer inference of this architecture.
var int8ARM64 = []kernel{
	{"convS8", NEON, 0, &tilesS8NEON},
	{"convS8", DotProd, 0, &tilesS8DotProd},
	{"convS8", I8MM, 0, &tilesS8I8MM},
	{"depthwiseS8", NEON, 0, &depthwiseKernelNEON},
	{"requantize", NEON, 0, &requantKernels{requantFloatNEON, requantMultiplierNEON, requantShiftNEON}},
	{"addU8", NEON, 0, addU8NEON},
	{"maxU8", NEON, 0, maxU8NEON},
	{"sumU8", NEON, 0, sumU8NEON},
	{"lookupU8", NEON, 0, lookupU8NEON},
}

var tilesS8NEON = tileKernelS8{
	wide:    true,
	widths:  []int{8},
	kernels: [][]func(*tileArgsS8){{nil, tileS8M1NEON, tileS8M2NEON, tileS8M3NEON, tileS8M4NEON}},
	winograd: &winogradKernelsS8{
		input: winogradInputS8NEON,
		sums:  winogradSumsS8NEON,
		group: 1,
		tiles: &tileKernelS8{
			wide:    true,
			widths:  []int{16},
			kernels: [][]func(*tileArgsS8){{nil, tileS16M1NEON, tileS16M2NEON, tileS16M3NEON, tileS16M4NEON, tileS16M5NEON, tileS16M6NEON}},
		},
	},
}

// SDOT multiplies signed bytes: the kernels flip the top bit of the source.
var tilesS8DotProd = tileKernelS8{
	offset:  128,
	widths:  []int{16},
	kernels: [][]func(*tileArgsS8){{nil, tileS8M1DotProd, tileS8M2DotProd, tileS8M3DotProd, tileS8M4DotProd, tileS8M5DotProd}},
}

var tilesS8I8MM = tileKernelS8{
	widths:  []int{16},
	kernels: [][]func(*tileArgsS8){{nil, tileS8M1I8MM, tileS8M2I8MM, tileS8M3I8MM, tileS8M4I8MM, tileS8M5I8MM}},
}

var depthwiseKernelNEON = depthwiseKernelS8{
	width: 16,
	group: 1,
	wide:  true,
	fours: []int{0, 4, 8, 12},
	sums:  depthwiseS8NEON,
}

func addU8NEON(dst, a, b []uint8, spec *AddU8Spec) {
	switch {
	case spec.Mode != ByFloat:
		addIntU8NEON(dst, a, b, spec)
	case spec.Divisor == 0:
		addFloatU8NEON(dst, a, b, spec)
	default: // only of use to agree with ONNX Runtime
		addU8FloatGeneric(dst, a, b, spec)
	}
}
