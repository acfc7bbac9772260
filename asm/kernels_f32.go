package asm

// f32Generic are the references of the float32 kernels.
var f32Generic = []kernel{
	{"tileF32", Generic, 0, tilesGeneric},
	{"depthwiseF32", Generic, 0, depthwiseGeneric},
	{"winogradF32", Generic, 0, winogradGeneric},
	{"addF32", Generic, 0, addF32Generic},
	{"subF32", Generic, 0, subF32Generic},
	{"mulF32", Generic, 0, mulF32Generic},
	{"divF32", Generic, 0, divF32Generic},
	{"maxF32", Generic, 0, maxF32Generic},
	{"minF32", Generic, 0, minF32Generic},
	{"affineF32", Generic, 0, affineF32Generic},
	{"clampF32", Generic, 0, clampF32Generic},
	{"leakyReluF32", Generic, 0, leakyReluF32Generic},
	{"mulAddF32", Generic, 0, mulAddF32Generic},
	{"expF32", Generic, 0, expF32Generic},
	{"sigmoidF32", Generic, 0, sigmoidF32Generic},
	{"tanhF32", Generic, 0, tanhF32Generic},
	{"erfF32", Generic, 0, erfF32Generic},
	{"hardSwishF32", Generic, 0, hardSwishF32Generic},
	{"sumF32", Generic, 0, sumF32Generic},
	{"sumSquaresF32", Generic, 0, sumSquaresF32Generic},
	{"poolMaxF32", Generic, 0, poolMaxF32Generic},
	{"poolSumF32", Generic, 0, poolSumF32Generic},
	{"interleaveF32", Generic, 0, interleaveGeneric[float32]},
	{"interleaveU8", Generic, 0, interleaveGeneric[uint8]},
}
