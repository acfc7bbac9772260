// Package onnx reads and writes ONNX files as graphs.
//
// Weights are not copied where it can be helped: a large file is mapped into
// memory and its tensors are views of the mapping, so that reading costs little
// more memory than the weights that are looked at. Tensors of a graph that was
// read must therefore not be changed in place.
package onnx

import "errors"

// Errors, wrapped with the file, the node and what is wrong.
var (
	// ErrFormat reports bytes that are not an ONNX model, or a broken one.
	ErrFormat = errors.New("not a valid ONNX model")
	// ErrUnsupported reports a valid model that uses what narrow does not know.
	ErrUnsupported = errors.New("not supported")
)
