package profile

import (
	"maps"

	"github.com/narrow-ml/narrow/tensor"
)

var (
	int8s   = []tensor.DType{tensor.Int8}
	bytes   = []tensor.DType{tensor.Uint8, tensor.Int8}
	signed  = []tensor.DType{tensor.Int8, tensor.Int16}
	wide    = []tensor.DType{tensor.Uint8, tensor.Uint16}
	allInts = []tensor.DType{tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16}

	products = []string{"Conv", "ConvTranspose", "Gemm", "MatMul"}
)

// units gives several operators the same unit.
func units(u Unit, operators ...string) map[string]Unit {
	all := make(map[string]Unit)
	for _, name := range operators {
		all[name] = u
	}
	return all
}

// join makes one set of units of several; a later one overrides an earlier.
func join(sets ...map[string]Unit) map[string]Unit {
	all := make(map[string]Unit)
	for _, s := range sets {
		maps.Copy(all, s)
	}
	return all
}

// moves are operators that hand values on.
func moves(u Unit) map[string]Unit {
	return units(u, "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Expand", "Tile", "Split")
}

const whole = Operands | Result

var onnxruntime = join(
	units(whole|OneType|Bytes, "Conv"), // a bias in float is made integers
	units(Operands|BiasToo|Bytes, "Gemm"),
	units(Operands|Bytes, "MatMul"),
	units(whole|OneType|Bytes, "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax", "Where"),
	units(whole|OneType|OneScale|Bytes, "MaxPool", "ReduceMax", "ReduceMin", "Resize"),
	moves(whole|OneType|OneScale),
)

var openvino = join(
	units(Operands|Bytes, "Conv", "Gemm"),
	units(Operands|Bytes|Unshifted, "ConvTranspose"),
	units(Operands|Bytes|UnshiftedPair, "MatMul"),
	units(Operands|Bytes, "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "MaxPool", "ReduceMean", "ReduceMax", "Resize", "Pad", "DepthToSpace"),
	moves(Operands),
)

var tensorrt = join(
	units(Operands|Static|Bytes, "Conv", "ConvTranspose", "Gemm"),
	units(Operands|Bytes, "MatMul"),
	units(whole|Bytes, "Add", "Mul", "AveragePool", "GlobalAveragePool", "ReduceMean", "Resize"),
	units(whole|OneScale|Bytes, "MaxPool", "Concat"),
	moves(Operands),
)

var qnn = join(
	units(whole|BiasToo, "Conv", "ConvTranspose", "Gemm", "MatMul"),
	units(whole, "Add", "Sub", "Mul", "Div", "AveragePool", "GlobalAveragePool", "Sigmoid", "Tanh", "Softmax", "HardSwish", "Gelu", "Elu",
		"LeakyRelu", "PRelu", "LayerNormalization", "InstanceNormalization", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Sqrt", "Exp", "Abs", "Neg", "Pow", "LRN", "Relu", "Clip", "HardSigmoid"),
	units(whole|OneType|OneScale, "MaxPool", "Concat", "Resize", "Pad", "DepthToSpace", "SpaceToDepth", "Where"),
	moves(whole|OneType|OneScale),
)

var xnnpack = join(
	units(whole|OneType|BiasToo|Bytes|Static, "Conv", "ConvTranspose"),
	units(whole|OneType|Bytes, "AveragePool", "Softmax"),
	units(whole|OneType|OneScale|Bytes, "MaxPool", "Resize"),
)

var migraphx = units(Operands|Bytes|OneType, "Conv", "Gemm", "MatMul")

// pointwise are the units of integer-only kernels for small processors.
var pointwise = join(
	units(whole|OneType|BiasToo|Static, "Conv", "ConvTranspose", "Gemm"),
	units(whole|OneType, "MatMul", "Add", "Sub", "Mul", "AveragePool", "GlobalAveragePool", "ReduceMean", "Softmax", "Sigmoid", "Tanh", "LeakyRelu", "PRelu", "HardSwish", "Relu", "Clip"),
	units(whole|OneType|OneScale, "MaxPool", "Concat", "Pad", "Resize"),
	moves(whole|OneType|OneScale),
)

// table has every target. A row is changed together with docs/targets.md, which says where it is from.
var table = []Profile{
	{Name: "onnxruntime", About: "ONNX Runtime on processors with integer products (x86 with VNNI, ARM)",
		Types: allInts, Store: Unsigned, Weights: bytes, PerChannel: products, WeightZeros: true, QOperator: true, Units: onnxruntime, Alone: true, Redundant: true, Propagates: true},
	{Name: "onnxruntime-x64-any", About: "ONNX Runtime on any x86, also without VNNI",
		Types: allInts, Store: Unsigned, Weights: bytes, PerChannel: products, WeightZeros: true, QOperator: true, Units: onnxruntime, Alone: true, Redundant: true, Propagates: true, Safe: true},
	{Name: "openvino", About: "OpenVINO on processors",
		Types: allInts, Store: Mixed, Weights: bytes, PerChannel: products, WeightZeros: true, Units: openvino},
	{Name: "tensorrt", About: "TensorRT, explicit quantization",
		Types: int8s, Store: Signed, Middle: true, Weights: int8s, PerChannel: products, FloatBias: true, Units: tensorrt},
	{Name: "qnn", About: "ONNX Runtime's QNN provider on Qualcomm's HTP",
		Types: wide, Store: Unsigned, Weights: bytes, PerChannel: []string{"Conv", "ConvTranspose"}, Complete: true, Units: qnn, Redundant: true, Propagates: true},
	{Name: "coreml", About: "ONNX Runtime's CoreML provider, which computes in float: weights alone are integers",
		Weights: bytes, PerChannel: products, FloatBias: true, Units: map[string]Unit{}},
	{Name: "xnnpack", About: "ONNX Runtime's XNNPACK provider",
		Types: bytes, Store: Signed, Weights: bytes, PerChannel: []string{"Conv", "ConvTranspose"}, QOperator: true, Units: xnnpack, Redundant: true, Propagates: true},
	{Name: "migraphx", About: "MIGraphX on AMD's graphics processors",
		Types: int8s, Store: Signed, Middle: true, Weights: int8s, PerChannel: products, FloatBias: true, MaxOpset: 19, Units: migraphx},
	{Name: "vitis", About: "Vitis AI on DPU and NPU, powers of two",
		Types: bytes, Store: Signed, Middle: true, Weights: int8s, Powers: true, Units: pointwise},
	{Name: "esp-dl", About: "ESP-DL on ESP32 chips, powers of two",
		Types: signed, Store: Signed, Middle: true, Weights: int8s, Powers: true, NoFloat: true, Complete: true, Units: pointwise},
	{Name: "stm32", About: "ST Edge AI Core on STM32",
		Types: bytes, Store: Signed, Weights: int8s, PerChannel: products, Units: pointwise},
	{Name: "cmsis-nn", About: "CMSIS-NN, as TensorFlow Lite for Microcontrollers calls it",
		Types: int8s, Store: Signed, Weights: int8s, PerChannel: []string{"Conv", "ConvTranspose"}, NoFloat: true, Complete: true, Units: pointwise},
}
