#!/usr/bin/env python3
"""Builds transformers of known shapes with random weights, as exporters write them: what speed is measured on.

    python bench/transformers.py FOLDER [--layers N]

writes FOLDER/vit_b16.onnx (a picture [N,3,224,224] to 1000 classes) and FOLDER/bert_base.onnx ([N,128,768] embeddings and an
additive mask [N,1,1,128] to 768 numbers), and calibration inputs for both (vit_b16_x.npy; bert_base_x.npz).
"""

import argparse
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Adds nodes and weights to a graph; every method returns the name of what it makes."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants, self.count = [], [], 0

    def constant(self, array):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def floats(self, *shape, scale=1.0):
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def op(self, kind, *inputs, **attrs):
        self.count += 1
        name = f"{kind.lower()}{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attrs))
        return name

    def linear(self, x, rows, cols):
        y = self.op("MatMul", x, self.floats(rows, cols, scale=rows**-0.5))
        return self.op("Add", self.floats(cols, scale=0.1), y)

    def norm(self, x, width):
        scale = self.constant((1 + 0.1 * self.random.standard_normal(width)).astype(np.float32))
        return self.op("LayerNormalization", x, scale, self.floats(width, scale=0.1), axis=-1, epsilon=1e-6)

    def gelu(self, x):
        inner = self.op("Erf", self.op("Div", x, self.constant(np.float32(2**0.5))))
        outer = self.op("Mul", x, self.op("Add", inner, self.constant(np.float32(1))))
        return self.op("Mul", outer, self.constant(np.float32(0.5)))

    def attention(self, x, tokens, width, heads, mask=None):
        def split(v, perm):
            shape = self.constant(np.array([0, tokens, heads, width // heads], np.int64))
            return self.op("Transpose", self.op("Reshape", v, shape), perm=perm)

        q = split(self.linear(x, width, width), [0, 2, 1, 3])
        k = split(self.linear(x, width, width), [0, 2, 3, 1])
        v = split(self.linear(x, width, width), [0, 2, 1, 3])
        scores = self.op("Div", self.op("MatMul", q, k), self.constant(np.float32((width // heads) ** 0.5)))
        if mask:
            scores = self.op("Add", scores, mask)
        y = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        y = self.op("Transpose", y, perm=[0, 2, 1, 3])
        y = self.op("Reshape", y, self.constant(np.array([0, tokens, width], np.int64)))
        return self.linear(y, width, width)

    def save(self, path, inputs, output, shape):
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs]
        out = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, os.path.basename(path), values, [out], self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def vit(path, layers, width=768, heads=12, tokens=197):
    b = Builder(1)
    x = b.op("Conv", "x", b.floats(width, 3, 16, 16, scale=768**-0.5), b.floats(width, scale=0.1), strides=[16, 16], kernel_shape=[16, 16])
    x = b.op("Transpose", b.op("Reshape", x, b.constant(np.array([0, width, 196], np.int64))), perm=[0, 2, 1])
    first = b.op("Mul", b.op("Slice", x, *[b.constant(np.array(v, np.int64)) for v in ([0], [1], [1])]), b.constant(np.zeros((1, 1, width), np.float32)))
    first = b.op("Add", first, b.floats(1, 1, width, scale=0.5))
    x = b.op("Add", b.op("Concat", first, x, axis=1), b.floats(1, tokens, width, scale=0.2))
    for _ in range(layers):
        x = b.op("Add", b.attention(b.norm(x, width), tokens, width, heads), x)
        h = b.gelu(b.linear(b.norm(x, width), width, 4 * width))
        x = b.op("Add", b.linear(h, 4 * width, width), x)
    x = b.op("Gather", b.norm(x, width), b.constant(np.array(0, np.int64)), axis=1)
    y = b.op("Gemm", x, b.floats(width, 1000, scale=width**-0.5), b.floats(1000, scale=0.1))
    b.save(path, [("x", ["N", 3, 224, 224])], y, ["N", 1000])


def bert(path, layers, width=768, heads=12, tokens=128):
    b = Builder(2)
    x = b.norm("x", width)
    for _ in range(layers):
        x = b.norm(b.op("Add", b.attention(x, tokens, width, heads, "mask"), x), width)
        h = b.linear(b.gelu(b.linear(x, width, 4 * width)), 4 * width, width)
        x = b.norm(b.op("Add", h, x), width)
    x = b.op("Gather", x, b.constant(np.array(0, np.int64)), axis=1)
    y = b.op("Tanh", b.linear(x, width, width))
    b.save(path, [("x", ["N", tokens, width]), ("mask", ["N", 1, 1, tokens])], y, ["N", width])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("--layers", type=int, default=12)
    a = p.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    vit(os.path.join(a.folder, "vit_b16.onnx"), a.layers)
    bert(os.path.join(a.folder, "bert_base.onnx"), a.layers)
    random = np.random.default_rng(3)
    np.save(os.path.join(a.folder, "vit_b16_x.npy"), random.standard_normal((8, 3, 224, 224)).astype(np.float32))
    mask = np.where(np.arange(128) < random.integers(32, 129, (8, 1, 1, 1)), 0, -10000).astype(np.float32)
    np.savez(os.path.join(a.folder, "bert_base_x.npz"), x=random.standard_normal((8, 128, 768)).astype(np.float32), mask=mask)


if __name__ == "__main__":
    main()
