// Package c writes integer networks as C for microcontrollers.
//
// [Export] takes a [program.Program] whose steps are all integer and returns the
// files of a project: net.h, net.c and net_weights.c in C99 without allocation,
// recursion, stdio, float or a division by a variable; test_net.c, which holds
// inputs and what each step must make of them; build files and a README. What
// is fused and how tensors lie is the program's business; here are decided the
// order of weights in flash, which each processor's loops want in their own
// way ([CPUs]), and the place of tensors in RAM ([Plan]), which has no borders
// around images and lets steps work in place.
//
// The integers are those of the program, on every processor.
package c
