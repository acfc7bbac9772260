// Package program holds networks as data: typed steps, in the order in which
// they run, over tensors that have their place in one arena.
//
// [Lower] makes the program of a graph for inputs of fixed shapes. Everything
// about fusion, layout, memory and rounding is decided there, once, for every
// processor: the engine binds each step to a kernel, the C exporter writes each
// as a function, [Program.Text] prints them, and [Program.Interpret] computes
// the integer ones slowly from what their doc comments say.
//
// A step is a [Step] that holds one [Action]: [Conv], [MatMul], [Add] and so on
// for bytes, [ConvFloat] and so on for floats, [Copy] and the other moves, and
// [Reference] for a node that has no form of its own. There is no closure in a
// program and nothing in it changes after Lower has returned.
//
// Stable, for packages that build on it: the types of this package that speak
// of bytes ([Conv], [MatMul], [Add], [Mul], [MaxPool], [AveragePool], [Table],
// [Quantize], [Dequantize], [Copy], [Transpose], [Repeat], [Pad]), [Tensor],
// [Weights], [Requant], [Sum], [Geometry] and [Port]: fields may be added,
// none is to be removed or to change its meaning. Actions may be added: a
// switch over them needs a default that names the step it does not know. The
// text of a program is for people and for golden files, not for parsing.
package program
