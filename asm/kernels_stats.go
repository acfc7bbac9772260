package asm

// statsGeneric are the references of statistics, histograms and sweeps.
var statsGeneric = []kernel{
	{"minMaxF32", Generic, 1, minMaxF32Generic},
	{"momentsF32", Generic, 1, momentsF32Generic},
	{"histogramF32", Generic, 1, histogramF32Generic},
	{"histogramMagF32", Generic, 1, histogramMagF32Generic},
}
