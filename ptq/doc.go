// Package ptq quantizes trained networks: it takes an fp32 graph and a few
// hundred inputs and gives the graph of an integer network, by the steps that
// [Quantize] lists. Each step is a function that can be called alone.
//
// A real value r is represented by an integer q as r = scale*(q-zero). A value's
// range is what calibration saw of it; the clipped range is what is kept.
package ptq
