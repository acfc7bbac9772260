//go:build arm64 && !purego

package asm

var f32ARM64 = []kernel{
	{"tileF32", NEON, 0, tilesNEON},
	{"depthwiseF32", NEON, 0, depthwiseNEON},
	{"winogradF32", NEON, 0, winogradKernels{winogradInputF32NEON, winogradOutputF32NEON}},
	{"addF32", NEON, 0, addF32NEON},
	{"subF32", NEON, 0, subF32NEON},
	{"mulF32", NEON, 0, mulF32NEON},
	{"divF32", NEON, 0, divF32NEON},
	{"maxF32", NEON, 0, maxF32NEON},
	{"minF32", NEON, 0, minF32NEON},
	{"affineF32", NEON, 0, affineF32NEON},
	{"clampF32", NEON, 0, clampF32NEON},
	{"leakyReluF32", NEON, 0, leakyReluF32NEON},
	{"mulAddF32", NEON, 0, mulAddF32NEON},
	{"sumF32", NEON, 0, sumF32NEON},
	{"sumSquaresF32", NEON, 0, sumSquaresF32NEON},
	{"expF32", NEON, 0, expF32NEON},
	{"sigmoidF32", NEON, 0, sigmoidF32NEON},
	{"tanhF32", NEON, 0, tanhF32NEON},
	{"erfF32", NEON, 0, erfF32NEON},
	{"geluF32", NEON, 0, geluF32NEON},
	{"hardSwishF32", NEON, 0, hardSwishF32NEON},
	{"poolMaxF32", NEON, 0, poolMaxF32NEON},
	{"poolSumF32", NEON, 0, poolSumF32NEON},
}

var tilesNEON = tileSet{
	{8, []func(*tileArgs){nil, tileF32M1N8NEON, tileF32M2N8NEON, tileF32M3N8NEON, tileF32M4N8NEON, tileF32M5N8NEON, tileF32M6N8NEON, tileF32M7N8NEON, tileF32M8N8NEON}},
	{4, []func(*tileArgs){nil, tileF32M1N4NEON, tileF32M2N4NEON, tileF32M3N4NEON, tileF32M4N4NEON, tileF32M5N4NEON, tileF32M6N4NEON, tileF32M7N4NEON, tileF32M8N4NEON}},
}

var depthwiseNEON = tileSet{
	{4, []func(*tileArgs){nil, depthwiseF32M1NEON, depthwiseF32M2NEON, depthwiseF32M3NEON, depthwiseF32M4NEON}},
}
