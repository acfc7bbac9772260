//go:build amd64 && !purego

package asm

// f32AMD64 are the float32 kernels of this architecture.
var f32AMD64 = []kernel{
	{"tileF32", AVX2, 0, tilesAVX2},
	{"tileF32", AVX512, 0, tilesAVX512},
	{"depthwiseF32", AVX2, 0, depthwiseAVX2},
	{"depthwiseF32", AVX512, 0, depthwiseAVX512},
	{"winogradF32", AVX2, 0, winogradKernels{winogradInputF32AVX2, winogradOutputF32AVX2}},
	{"winogradF32", AVX512, 0, winogradKernels{winogradInputF32AVX512, winogradOutputF32AVX512}},
	{"addF32", AVX2, 0, addF32AVX2},
	{"addF32", AVX512, 0, addF32AVX512},
	{"subF32", AVX2, 0, subF32AVX2},
	{"subF32", AVX512, 0, subF32AVX512},
	{"mulF32", AVX2, 0, mulF32AVX2},
	{"mulF32", AVX512, 0, mulF32AVX512},
	{"divF32", AVX2, 0, divF32AVX2},
	{"divF32", AVX512, 0, divF32AVX512},
	{"maxF32", AVX2, 0, maxF32AVX2},
	{"maxF32", AVX512, 0, maxF32AVX512},
	{"minF32", AVX2, 0, minF32AVX2},
	{"minF32", AVX512, 0, minF32AVX512},
	{"affineF32", AVX2, 0, affineF32AVX2},
	{"affineF32", AVX512, 0, affineF32AVX512},
	{"clampF32", AVX2, 0, clampF32AVX2},
	{"clampF32", AVX512, 0, clampF32AVX512},
	{"leakyReluF32", AVX2, 0, leakyReluF32AVX2},
	{"leakyReluF32", AVX512, 0, leakyReluF32AVX512},
	{"mulAddF32", AVX2, 0, mulAddF32AVX2},
	{"mulAddF32", AVX512, 0, mulAddF32AVX512},
	{"expF32", AVX2, 0, expF32AVX2},
	{"expF32", AVX512, 0, expF32AVX512},
	{"sigmoidF32", AVX2, 0, sigmoidF32AVX2},
	{"sigmoidF32", AVX512, 0, sigmoidF32AVX512},
	{"tanhF32", AVX2, 0, tanhF32AVX2},
	{"tanhF32", AVX512, 0, tanhF32AVX512},
	{"erfF32", AVX2, 0, erfF32AVX2},
	{"erfF32", AVX512, 0, erfF32AVX512},
	{"hardSwishF32", AVX2, 0, hardSwishF32AVX2},
	{"hardSwishF32", AVX512, 0, hardSwishF32AVX512},
	{"sumF32", AVX2, 0, sumF32AVX2},
	{"sumF32", AVX512, 0, sumF32AVX512},
	{"sumSquaresF32", AVX2, 0, sumSquaresF32AVX2},
	{"sumSquaresF32", AVX512, 0, sumSquaresF32AVX512},
	{"poolMaxF32", AVX2, 0, poolMaxF32AVX2},
	{"poolMaxF32", AVX512, 0, poolMaxF32AVX512},
	{"poolSumF32", AVX2, 0, poolSumF32AVX2},
	{"poolSumF32", AVX512, 0, poolSumF32AVX512},
	{"interleaveF32", AVX2, interleaveLanes, interleaveF32AVX2},
	{"interleaveU8", AVX2, interleaveLanes, interleaveU8AVX2},
	{"transposeF32", AVX2, transposeLanes, transposeF32AVX2},
}

// The narrow tiles of AVX2 serve AVX-512 too, for 8 channels or fewer.
var (
	tilesAVX512 = tileSet{{32, tiles32AVX512}, {16, tiles16AVX512}, {8, tiles8AVX2}}
	tilesAVX2   = tileSet{{16, tiles16AVX2}, {8, tiles8AVX2}}

	depthwiseAVX512 = tileSet{{16, depthwise16AVX512}, {8, depthwise8AVX2}}
	depthwiseAVX2   = tileSet{{8, depthwise8AVX2}}
)

var tiles32AVX512 = []func(*tileArgs){
	nil,
	tileF32x32x1AVX512, tileF32x32x2AVX512, tileF32x32x3AVX512, tileF32x32x4AVX512,
	tileF32x32x5AVX512, tileF32x32x6AVX512, tileF32x32x7AVX512, tileF32x32x8AVX512,
	tileF32x32x9AVX512, tileF32x32x10AVX512, tileF32x32x11AVX512, tileF32x32x12AVX512,
	tileF32x32x13AVX512, tileF32x32x14AVX512,
}

var tiles16AVX512 = []func(*tileArgs){
	nil,
	tileF32x16x1AVX512, tileF32x16x2AVX512, tileF32x16x3AVX512, tileF32x16x4AVX512,
	tileF32x16x5AVX512, tileF32x16x6AVX512, tileF32x16x7AVX512, tileF32x16x8AVX512,
	tileF32x16x9AVX512, tileF32x16x10AVX512, tileF32x16x11AVX512, tileF32x16x12AVX512,
	tileF32x16x13AVX512, tileF32x16x14AVX512, tileF32x16x15AVX512, tileF32x16x16AVX512,
	tileF32x16x17AVX512, tileF32x16x18AVX512, tileF32x16x19AVX512, tileF32x16x20AVX512,
	tileF32x16x21AVX512, tileF32x16x22AVX512, tileF32x16x23AVX512, tileF32x16x24AVX512,
}

var tiles16AVX2 = []func(*tileArgs){
	nil,
	tileF32x16x1AVX2, tileF32x16x2AVX2, tileF32x16x3AVX2, tileF32x16x4AVX2,
	tileF32x16x5AVX2, tileF32x16x6AVX2,
}

var tiles8AVX2 = []func(*tileArgs){
	nil,
	tileF32x8x1AVX2, tileF32x8x2AVX2, tileF32x8x3AVX2, tileF32x8x4AVX2,
	tileF32x8x5AVX2, tileF32x8x6AVX2, tileF32x8x7AVX2, tileF32x8x8AVX2,
	tileF32x8x9AVX2, tileF32x8x10AVX2, tileF32x8x11AVX2, tileF32x8x12AVX2,
}

var depthwise16AVX512 = []func(*tileArgs){
	nil,
	depthwiseF32x1AVX512, depthwiseF32x2AVX512, depthwiseF32x3AVX512, depthwiseF32x4AVX512,
	depthwiseF32x5AVX512, depthwiseF32x6AVX512, depthwiseF32x7AVX512, depthwiseF32x8AVX512,
	depthwiseF32x9AVX512, depthwiseF32x10AVX512, depthwiseF32x11AVX512, depthwiseF32x12AVX512,
	depthwiseF32x13AVX512, depthwiseF32x14AVX512,
}

var depthwise8AVX2 = []func(*tileArgs){
	nil,
	depthwiseF32x1AVX2, depthwiseF32x2AVX2, depthwiseF32x3AVX2, depthwiseF32x4AVX2,
	depthwiseF32x5AVX2, depthwiseF32x6AVX2, depthwiseF32x7AVX2, depthwiseF32x8AVX2,
	depthwiseF32x9AVX2, depthwiseF32x10AVX2, depthwiseF32x11AVX2, depthwiseF32x12AVX2,
}
