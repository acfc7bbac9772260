package asm

// statsGeneric are the references of statistics, histograms and sweeps.
var statsGeneric = []kernel{
	{"minMaxF32", Generic, 0, minMaxF32Generic},
}
