"""Measures the arena that TensorFlow Lite for Microcontrollers needs for networks of the shapes of ONNX files.

    python bench/tflm.py MODEL.onnx...

It writes each network as an int8 .tflite (weights and scales are of no account for memory), gives it to `tflite_micro` (PyPI) and
prints the bytes of what is reused (tensors and scratch memory) and of the whole arena, whose rest is the interpreter's own records.
Those are of a 64-bit machine: a 32-bit one needs about half of them.
"""

import os
import re
import subprocess
import sys

import flatbuffers
import numpy as np
import onnx
from onnx import numpy_helper, shape_inference
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as tfl

OP = tfl.BuiltinOperator


class Writer:
    """Collects the tensors and operators of a .tflite."""

    def __init__(self):
        self.model = tfl.ModelT()
        self.graph = tfl.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [tfl.BufferT()], []
        self.model.subgraphs = [self.graph]

    def tensor(self, shape, data=None, kind=tfl.TensorType.INT8, scale=0.05, axis=0, channels=1):
        t = tfl.TensorT()
        t.name, t.shape, t.type, t.buffer = "t%d" % len(self.graph.tensors), list(map(int, shape)), kind, 0
        t.quantization = tfl.QuantizationParametersT()
        t.quantization.scale, t.quantization.zeroPoint, t.quantization.quantizedDimension = [scale] * channels, [0] * channels, axis
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def weights(self, shape, channels, axis):
        w = self.tensor(shape, np.ones(shape, np.int8), axis=axis, channels=channels)
        return w, self.tensor([channels], np.zeros(channels, np.int32), tfl.TensorType.INT32, 0.0025, channels=channels)

    def op(self, code, inputs, shape, options, kind, scale=0.05):
        if code not in [c.builtinCode for c in self.model.operatorCodes]:
            c = tfl.OperatorCodeT()
            c.builtinCode, c.deprecatedBuiltinCode, c.version = code, code, 1
            self.model.operatorCodes.append(c)
        o = tfl.OperatorT()
        o.opcodeIndex = [c.builtinCode for c in self.model.operatorCodes].index(code)
        out = self.tensor(shape, scale=scale)
        o.inputs, o.outputs, o.builtinOptions, o.builtinOptionsType = inputs, [out], options, kind
        self.graph.operators.append(o)
        return out

    def bytes(self, inputs, outputs):
        self.graph.inputs, self.graph.outputs = inputs, outputs
        b = flatbuffers.Builder(1 << 20)
        b.Finish(self.model.Pack(b), b"TFL3")
        return bytes(b.Output())


def set_all(options, **values):
    for name, value in values.items():
        setattr(options, name, value)
    return options


def last(shape):
    return [shape[0], *shape[2:], shape[1]] if len(shape) == 4 else shape


def convert(path):
    m = onnx.load(path)
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    m = shape_inference.infer_shapes(m)
    shapes = {v.name: [max(d.dim_value, 1) for d in v.type.tensor_type.shape.dim] for v in [*m.graph.input, *m.graph.value_info, *m.graph.output]}
    constants = {t.name: numpy_helper.to_array(t) for t in m.graph.initializer}
    w, at = Writer(), {}
    first = m.graph.input[0].name
    at[first] = w.tensor(last(shapes[first]))
    for n in m.graph.node:
        if n.op_type == "Constant":
            constants[n.output[0]] = numpy_helper.to_array(n.attribute[0].t)
            continue
        x = at.get(n.input[0])
        attr = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        shape = last(shapes[n.output[0]])
        if n.op_type == "Conv":
            k, group = constants[n.input[1]].shape, attr.get("group", 1)
            stride, size = attr.get("strides", [1, 1]), w.graph.tensors[x].shape
            padding = tfl.Padding.SAME if all(shape[1 + i] == -(-size[1 + i] // stride[i]) for i in (0, 1)) else tfl.Padding.VALID
            both = dict(padding=padding, strideH=stride[0], strideW=stride[1], dilationHFactor=1, dilationWFactor=1)
            if group > 1:
                operands = w.weights([1, k[2], k[3], k[0]], k[0], 3)
                at[n.output[0]] = w.op(OP.DEPTHWISE_CONV_2D, [x, *operands], shape, set_all(tfl.DepthwiseConv2DOptionsT(), depthMultiplier=1, **both), tfl.BuiltinOptions.DepthwiseConv2DOptions)
            else:
                operands = w.weights([k[0], k[2], k[3], k[1]], k[0], 0)
                at[n.output[0]] = w.op(OP.CONV_2D, [x, *operands], shape, set_all(tfl.Conv2DOptionsT(), **both), tfl.BuiltinOptions.Conv2DOptions)
        elif n.op_type in ("MatMul", "Gemm"):
            inner, outer = w.graph.tensors[x].shape[-1], shape[-1]
            operands = w.weights([outer, inner], outer, 0)
            at[n.output[0]] = w.op(OP.FULLY_CONNECTED, [x, *operands], shape, tfl.FullyConnectedOptionsT(), tfl.BuiltinOptions.FullyConnectedOptions)
        elif n.op_type in ("Relu", "Clip"):  # fused into what is in front
            at[n.output[0]] = x
        elif n.op_type == "Add" and (n.input[1] in constants or n.input[0] in constants):  # a bias
            at[n.output[0]] = at.get(n.input[0], at.get(n.input[1]))
        elif n.op_type == "Add":
            at[n.output[0]] = w.op(OP.ADD, [x, at[n.input[1]]], shape, tfl.AddOptionsT(), tfl.BuiltinOptions.AddOptions)
        elif n.op_type in ("AveragePool", "GlobalAveragePool"):
            k = attr.get("kernel_shape", w.graph.tensors[x].shape[1:3])
            options = set_all(tfl.Pool2DOptionsT(), padding=tfl.Padding.VALID, strideH=k[0], strideW=k[1], filterHeight=k[0], filterWidth=k[1])
            at[n.output[0]] = w.op(OP.AVERAGE_POOL_2D, [x], shape, options, tfl.BuiltinOptions.Pool2DOptions)
        elif n.op_type in ("Reshape", "Flatten"):
            to = w.tensor([len(shape)], np.array(shape, np.int32), tfl.TensorType.INT32)
            at[n.output[0]] = w.op(OP.RESHAPE, [x, to], shape, set_all(tfl.ReshapeOptionsT(), newShape=shape), tfl.BuiltinOptions.ReshapeOptions)
        elif n.op_type == "Softmax":
            at[n.output[0]] = x  # narrow's C leaves it to the caller
        else:
            sys.exit("%s: no counterpart for %s" % (path, n.op_type))
    return w.bytes([at[first]], [at[m.graph.output[0].name]])


def main():
    if os.environ.get("TFLM_ONE"):
        from tflite_micro.python.tflite_micro import runtime

        net = runtime.Interpreter.from_bytes(convert(sys.argv[1]), arena_size=4 << 20)
        net.print_allocations()
        return
    for path in sys.argv[1:]:
        out = subprocess.run([sys.executable, __file__, path], env={**os.environ, "TFLM_ONE": "1"}, capture_output=True, text=True)
        text = out.stdout + out.stderr
        sizes = [re.search(r"Arena allocation %s (\d+) bytes" % part, text) for part in ("head", "total")]
        if None in sizes:
            sys.exit("%s: tflite_micro fails:\n%s" % (path, text[-2000:]))
        print(os.path.basename(path), *(s.group(1) for s in sizes))


if __name__ == "__main__":
    main()
