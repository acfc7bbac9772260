package asm

// int8Generic are the references of integer inference.
var int8Generic = []kernel{
	{"convS8", Generic, 0, &tilesS8Generic},
	{"depthwiseS8", Generic, 0, &depthwiseS8Generic},
	{"requantize", Generic, 0, &requantGeneric},
	{"scaleSums", Generic, 0, scaleSumsGeneric},
	{"packQuad", Generic, 0, packQuadGeneric},
	{"blockProduct", Generic, 0, &blockGeneric},
	{"addU8", Generic, 0, addU8Generic},
	{"maxU8", Generic, 0, maxU8Generic},
	{"sumU8", Generic, 0, sumU8Generic},
	{"lookupU8", Generic, 0, lookupU8Generic},
}
