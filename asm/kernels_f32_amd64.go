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
	{"geluF32", AVX2, 0, geluF32AVX2},
	{"geluF32", AVX512, 0, geluF32AVX512},
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
	tilesAVX512 = tileSet{{32, tileF32x32AVX512}, {16, tileF32x16AVX512}, {8, tileF32x8AVX2}}
	tilesAVX2   = tileSet{{16, tileF32x16AVX2}, {8, tileF32x8AVX2}}

	depthwiseAVX512 = tileSet{{16, depthwiseF32AVX512}, {8, depthwiseF32AVX2}}
	depthwiseAVX2   = tileSet{{8, depthwiseF32AVX2}}
)
