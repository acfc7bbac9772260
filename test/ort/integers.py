"""Quantizes real models with onnxruntime.quantization, runs them in ONNX Runtime and in narrow and compares the integers.

    python test/ort/integers.py NARROW SHARED

Each file is cut before its last DequantizeLinear, so that its output is what that node reads. Over all files at
least 99.9 % of the integers must be the same and the others off by one. (ONNX Runtime's addition of two uint8 tensors
rounds the zero points together with the products, which in a network of many additions tells in a few ties.)
Prints a table; exits with 1 if anything misses its mark.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

NARROW, SHARED = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MODELS = ["resnet8_cifar10", "resnet20_cifar10", "dscnn_kws", "mobilenetv2_cifar10", "mobilenetv1_vww", "autoencoder_ad"]
CALIBRATION, TEST = 64, 200


class Reader(CalibrationDataReader):
    def __init__(self, name, x):
        self.batches = iter([{name: x[i:i + 1]} for i in range(len(x))])

    def get_next(self):
        return next(self.batches, None)


def inputs(model, kind, n):
    if model == "mobilenetv1_vww":
        return np.random.default_rng(len(kind)).random((min(n, 64), 3, 96, 96), np.float32)
    if model == "autoencoder_ad":
        return np.load(f"{SHARED}/golden/autoencoder_ad_in.npy")
    if model == "dscnn_kws":
        return np.load(f"{SHARED}/data/kws_{kind}_x.npy")[:n]
    x = np.load(f"{SHARED}/data/cifar10_{kind}_x.npy")[:n].astype(np.float32)
    if model == "resnet8_cifar10":
        return x
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
    std = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
    return (x / np.float32(255) - mean) / std


def cut(path):
    """Makes the integers that the last DequantizeLinear, or the one before a final Softmax, reads the output."""
    model = onnx.load(path)
    made = {o: n for n in model.graph.node for o in n.output}
    consts = {i.name for i in model.graph.initializer}
    node = made[model.graph.output[0].name]
    while node.op_type in ("DequantizeLinear", "QuantizeLinear", "Softmax", "QLinearSoftmax"):
        before = made[node.input[0]]
        if node.op_type == "DequantizeLinear" and before.op_type not in ("Softmax", "QLinearSoftmax") and not (
                before.op_type == "QuantizeLinear" and made.get(before.input[0], before).op_type == "Softmax"):
            break
        node = before
    out = node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]
    assert out not in consts
    zero = made[out].input[{"QuantizeLinear": 2, "QGemm": 8}.get(made[out].op_type, 7)]
    kind = next(i.data_type for i in model.graph.initializer if i.name == zero)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(out, kind, None))
    onnx.save(model, path)


def by_onnxruntime(path, x):
    options = ort.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")  # integers for int8 as for uint8
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i:i + 50]})[0] for i in range(0, len(x), 50)])


def by_narrow(path, x, folder):
    np.save(f"{folder}/x.npy", x)
    subprocess.run([NARROW, "run", path, "--input", f"{folder}/x.npy", "-o", f"{folder}/y.npy", "--requant", "float"], check=True)
    return np.load(f"{folder}/y.npy")


def variants():
    for form in QuantFormat.QDQ, QuantFormat.QOperator:
        for activations in QuantType.QUInt8, QuantType.QInt8:
            for per_channel in True, False:
                if form == QuantFormat.QDQ or activations == QuantType.QUInt8:
                    yield form, activations, per_channel


failures, count, different = 0, 0, 0
with tempfile.TemporaryDirectory() as folder:
    print(f"{'model':22} {'format':10} {'activations':12} {'weights':12} {'same':>9} {'off by':>6} {'same class':>10}")
    for model in MODELS:
        prepared, path = f"{folder}/prepared.onnx", f"{folder}/int8.onnx"
        quant_pre_process(f"{SHARED}/models/{model}.onnx", prepared, skip_symbolic_shape=True)
        name = onnx.load(prepared).graph.input[0].name
        x = inputs(model, "test", TEST)
        for form, activations, per_channel in variants():
            quantize_static(prepared, path, Reader(name, inputs(model, "calib", CALIBRATION)), quant_format=form,
                            per_channel=per_channel, activation_type=activations, weight_type=QuantType.QInt8)
            cut(path)
            want, got = by_onnxruntime(path, x).astype(int), by_narrow(path, x, folder).astype(int)
            same = 100 * (want == got).mean()
            off = abs(want - got).max()
            classes = 100 * (want.argmax(1) == got.argmax(1)).mean()
            ok = same >= 99.5 and off <= 1 and classes >= 99.9
            failures += not ok
            count, different = count + want.size, different + (want != got).sum()
            print(f"{model:22} {form.name:10} {activations.name:12} {'per channel' if per_channel else 'per tensor':12} "
                  f"{same:8.3f}% {off:6d} {classes:9.2f}%{'' if ok else '  FAILED'}", flush=True)
failures += different > 0.001 * count
print(f"{different} of {count} integers differ; {failures} failures")
sys.exit(bool(failures))
