"""Builds well-known networks with random weights, for timing: what they compute is nothing, how long it takes is what the real ones take.

    python bench/build_networks.py NAME MODEL.onnx CALIBRATION.npy

NAME is one of resnet50, mobilenetv2_224, vit_b16, bert_base (the encoder, 128 tokens), lstm2 (two layers of 256, 64 steps).
ViT takes the mean of its tokens where the original has a class token.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """An ONNX graph that grows node by node; values are names."""

    def __init__(self, shape):
        self.shape = shape
        self.rng = np.random.default_rng(1)
        self.nodes, self.initializers = [], []

    def constant(self, array):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def random(self, *shape, fan):
        return self.constant(self.rng.normal(0, fan**-0.5, shape).astype(np.float32))

    def node(self, op, *inputs, **attributes):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def conv(self, x, m, c, k, stride=1, groups=1, gain=2.0):
        fan = c // groups * k * k / gain
        return self.node("Conv", x, self.random(m, c // groups, k, k, fan=fan), self.random(m, fan=100), kernel_shape=[k, k],
                         strides=[stride] * 2, pads=[k // 2] * 4, group=groups)

    def dense(self, x, k, n):
        return self.node("Add", self.node("MatMul", x, self.random(k, n, fan=k)), self.random(n, fan=100))

    def layer_norm(self, x, n):
        return self.node("LayerNormalization", x, self.constant(np.ones(n, np.float32)), self.constant(np.zeros(n, np.float32)), axis=-1)

    def classifier(self, x, c):
        x = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.node("Gemm", x, self.random(1000, c, fan=c), self.random(1000, fan=100), transB=1)

    def encoder(self, x, width, heads, before):
        """A transformer layer; before says where the normalization is."""
        normal = self.layer_norm(x, width) if before else x
        q, k, v = (self.split_heads(self.dense(normal, width, width), width, heads, order) for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = self.node("Mul", self.node("MatMul", q, k), self.constant(np.float32((width / heads) ** -0.5)))
        mixed = self.node("Transpose", self.node("MatMul", self.node("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        mixed = self.node("Reshape", mixed, self.constant(np.array([0, 0, width])))
        x = self.node("Add", x, self.dense(mixed, width, width))
        if not before:
            x = self.layer_norm(x, width)
        hidden = self.gelu(self.dense(self.layer_norm(x, width) if before else x, width, 4 * width))
        x = self.node("Add", x, self.dense(hidden, 4 * width, width))
        return x if before else self.layer_norm(x, width)

    def split_heads(self, x, width, heads, order):
        return self.node("Transpose", self.node("Reshape", x, self.constant(np.array([0, 0, heads, width // heads]))), perm=order)

    def gelu(self, x):
        erf = self.node("Erf", self.node("Div", x, self.constant(np.float32(2**0.5))))
        return self.node("Mul", self.node("Mul", x, self.node("Add", erf, self.constant(np.float32(1)))), self.constant(np.float32(0.5)))

    def save(self, output, path):
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(self.nodes, "network", [tensor("x", TensorProto.FLOAT, ["N", *self.shape])],
                                  [tensor(output, TensorProto.FLOAT, None)], self.initializers)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def resnet50():
    b = Builder((3, 224, 224))
    x = b.node("Relu", b.conv("x", 64, 3, 7, 2))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    c = 64
    for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
        for i in range(blocks):
            s = stride if i == 0 else 1
            y = b.node("Relu", b.conv(x, width, c, 1))
            y = b.conv(b.node("Relu", b.conv(y, width, width, 3, s)), 4 * width, width, 1, gain=0.5)
            x = b.node("Relu", b.node("Add", y, b.conv(x, 4 * width, c, 1, s, gain=1) if i == 0 else x))
            c = 4 * width
    return b, b.classifier(x, c)


def mobilenetv2_224():
    b = Builder((3, 224, 224))

    def relu6(x):
        return b.node("Clip", x, b.constant(np.float32(0)), b.constant(np.float32(6)))

    x, c = relu6(b.conv("x", 32, 3, 3, 2)), 32
    for factor, width, blocks, stride in (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1):
        for i in range(blocks):
            s, hidden = stride if i == 0 else 1, factor * c
            y = x if factor == 1 else relu6(b.conv(x, hidden, c, 1))
            y = b.conv(relu6(b.conv(y, hidden, hidden, 3, s, hidden)), width, hidden, 1, gain=1)
            x = b.node("Add", x, y) if s == 1 and c == width else y
            c = width
    return b, b.classifier(relu6(b.conv(x, 1280, c, 1)), 1280)


def vit_b16():
    b = Builder((3, 224, 224))
    x = b.node("Conv", "x", b.random(768, 3, 16, 16, fan=768), kernel_shape=[16, 16], strides=[16, 16])
    x = b.node("Transpose", b.node("Reshape", x, b.constant(np.array([0, 768, 196]))), perm=[0, 2, 1])
    x = b.node("Add", x, b.random(1, 196, 768, fan=1000))
    for _ in range(12):
        x = b.encoder(x, 768, 12, True)
    x = b.node("ReduceMean", b.layer_norm(x, 768), axes=[1], keepdims=0)
    return b, b.node("Gemm", x, b.random(1000, 768, fan=768), b.random(1000, fan=100), transB=1)


def bert_base():
    b = Builder((128, 768))
    x = b.layer_norm("x", 768)
    for _ in range(12):
        x = b.encoder(x, 768, 12, False)
    return b, x


def lstm2():
    b = Builder((64, 80))
    x, inputs, hidden = b.node("Transpose", "x", perm=[1, 0, 2]), 80, 256
    for _ in range(2):
        x = b.node("LSTM", x, b.random(1, 4 * hidden, inputs, fan=inputs), b.random(1, 4 * hidden, hidden, fan=hidden),
                   b.random(1, 8 * hidden, fan=100), hidden_size=hidden)
        x, inputs = b.node("Squeeze", x, b.constant(np.array([1]))), hidden
    return b, b.node("Transpose", b.dense(x, hidden, 40), perm=[1, 0, 2])


NETWORKS = {f.__name__: f for f in (resnet50, mobilenetv2_224, vit_b16, bert_base, lstm2)}


def build(name, model, calibration, count=4):
    builder, output = NETWORKS[name]()
    builder.save(output, model)
    np.save(calibration, np.random.default_rng(2).normal(0, 1, (count, *builder.shape)).astype(np.float32))


if __name__ == "__main__":
    build(*sys.argv[1:])
