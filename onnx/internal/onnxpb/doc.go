// Package onnxpb holds the protocol buffer messages of the ONNX file format,
// generated from onnx.proto by make gen-proto.
package onnxpb
