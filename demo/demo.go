// Package demo holds a small trained network and draws the pictures it sorts:
// what `narrow demo` and the tests run on without any file.
//
// The network is trained by train/train.py on pictures that train/main.go writes.
package demo

import (
	_ "embed" // the network

	"github.com/narrow-ml/narrow/graph"
	"github.com/narrow-ml/narrow/onnx"
	"github.com/narrow-ml/narrow/tensor"
)

//go:embed shapes.onnx
var model []byte

// Model returns the network's file: input "x" [N,3,Size,Size], pictures
// divided by 255; output "scores" [N,10].
func Model() []byte { return model }

// Network returns the network as a graph.
func Network() (*graph.Graph, error) { return onnx.Read(model) }

// Seeds of the pictures that the network was not trained on.
const (
	CalibrationSeed = 2
	TestSeed        = 3
)

// Calibration draws n pictures to calibrate with.
func Calibration(n int) (pictures, labels *tensor.Tensor) { return Draw(n, CalibrationSeed) }

// Test draws n pictures to measure with.
func Test(n int) (pictures, labels *tensor.Tensor) { return Draw(n, TestSeed) }

// Normalize turns pictures into the network's input: float32, 0 to 1.
func Normalize(pictures *tensor.Tensor) *tensor.Tensor {
	x := tensor.New(tensor.Float32, pictures.Shape()...)
	for i, v := range tensor.Data[uint8](pictures) {
		x.F32()[i] = float32(v) * (1.0 / 255)
	}
	return x
}
